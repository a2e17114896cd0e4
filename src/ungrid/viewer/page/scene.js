// The page of a radiance field: turn around it, come closer; colours, or how far away what is seen lies.
//
// Convention: places in the world. The camera looks at `middle` from `distance` times that of the first view; `yaw` and
// `pitch` are zero and that of the first view there. Directions of rays have the length one along the optical axis, so
// that the depths of rays are depths along it.

const SUBSAMPLES = 2; // along each side of a pixel, when the view rests
const RANGE_RAYS = [16, 12]; // that find the range of depths

// Frames whose rays take as long as what they meet: how coarse the first one is follows from whole ones before it, since
// batches at a picture's edge, where often nothing is, say little.
class SceneFrames extends Frames {
  constructor(engine) {
    super(engine);
    this.wholeRate = FIRST_RATE / 4;
  }

  // A view of a scene is nowhere in the one before it.
  moveOld() {}

  coarseFactors(points) {
    this.rate = Math.min(this.rate, this.wholeRate);
    return super.coarseFactors(points);
  }

  async drawCoarse(job, factor) {
    const [isFirst, began] = [this.coarse === null, performance.now()];
    await super.drawCoarse(job, factor);
    if (!isFirst) return;
    const { fine, lattice } = this.engine;
    const products = ((fine.width * fine.height) / factor ** 2) * lattice.cost;
    this.wholeRate = 0.5 * this.wholeRate + (0.5 * products) / Math.max(1, performance.now() - began);
  }
}

class SceneView extends Orbit {
  constructor(field, engine) {
    super();
    Object.assign(this, { field, engine, frames: new SceneFrames(engine), canvas: engine.canvas, pointer: null });
    Object.assign(this, { nearest: 0.05, farthest: 8, evaluator: makeEvaluator(field) });
    this.listen();
    engine.restored = () => {
      this.frames.holds(null);
      this.draw();
    };
    this.resize();
    this.reset();
  }

  listen() {
    this.listenTo(this.canvas);
    element("depth").addEventListener("change", () => this.showDepth());
    new ResizeObserver(() => this.resize() && this.draw()).observe(element("stage"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.frames.recolour(this.look()));
  }

  // Whether the size has changed.
  resize() {
    const stage = element("stage");
    const density = Math.min(1.5, devicePixelRatio);
    const size = [stage.clientWidth, stage.clientHeight].map((n) => Math.max(1, Math.round(n * density)));
    if (this.size?.every((n, k) => n === size[k])) return false;
    this.size = size;
    this.engine.resize(...size);
    this.frames.holds(null);
    return true;
  }

  reset() {
    Object.assign(this, { yaw: 0, pitch: this.field.camera.pitch, distance: 1 });
    this.draw();
  }

  // No farther than where the photographs were taken from, where they were taken from one side.
  turnBy(right, up, since = undefined) {
    const { swing, pitch } = this.field.camera;
    const within = (angle) => Math.min(swing, Math.max(-swing, angle));
    if (swing === null) return super.turnBy(right, up, since);
    [this.yaw, this.pitch] = [within(this.yaw + right), pitch + within(this.pitch + up - pitch)];
    return this.draw(since);
  }

  // The camera's place and axes.
  camera() {
    const { middle, up: top, side, distance } = this.field.camera;
    const third = cross(top, side);
    const [c, s, d, e] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const back = top.map((n, a) => d * (c * side[a] + s * third[a]) + e * n);
    const right = top.map((_, a) => c * third[a] - s * side[a]);
    return { back, right, up: cross(back, right), eye: middle.map((m, a) => m + this.distance * distance * back[a]) };
  }

  // The rays through the middles of the pixels: six numbers each.
  rays() {
    const [width, height] = this.size;
    const { back, right, up, eye } = this.camera();
    const pixel = (2 * this.field.camera.lens) / Math.min(width, height);
    const first = back.map((n, a) => -n + pixel * (0.5 - width / 2) * right[a] + pixel * (height / 2 - 0.5) * up[a]);
    const still = [0, 0, 0];
    return {
      origin: [...eye, ...first],
      across: [...still, ...right.map((n) => pixel * n)],
      down: [...still, ...up.map((n) => -pixel * n)],
    };
  }

  get isDepth() {
    return element("depth").checked;
  }

  look() {
    const [width, height] = this.size;
    const range = this.isDepth ? this.depths(this.rays()) : [0, 1];
    if (this.isDepth) showScale(SCALE, range);
    return {
      box: [0, 0, width, height], shown: this.isDepth ? 3 : 0, channels: 3, colours: !this.isDepth, scale: SCALE,
      background: themeColour("--back"), range, slider: 0, pixelCell: [0, 0], pixelPlace: [0, 0], pixelStep: [1, 1],
    };
  }

  draw(since = undefined) {
    this.frames.request(this.rays(), this.look(), this.engine.name === "plain" ? 1 : SUBSAMPLES, since);
    this.showPlace();
  }

  showDepth() {
    element("legend").hidden = !this.isDepth;
    this.frames.recolour(this.look());
  }

  // The least depth of some rays, and one that most of them do not reach: what is seen may go on to infinity.
  depths(view) {
    const [columns, rows] = RANGE_RAYS;
    const found = [];
    for (let n = 0; n < columns * rows; n++) {
      const [x, y] = [((n % columns) + 0.5) / columns, (Math.floor(n / columns) + 0.5) / rows];
      const { depth } = this.evaluator.follow(this.rayAt(view, [x * this.size[0], y * this.size[1]]));
      if (!Number.isNaN(depth)) found.push(depth);
    }
    found.sort((a, b) => a - b);
    const [least, largest] = found.length ? [found[0], found[Math.floor(0.95 * (found.length - 1))]] : [0, 1];
    return [least, Math.max(largest, least + 1e-6 * Math.abs(least) + 1e-12)];
  }

  // The ray through a place of the canvas, in pixels from its upper left corner.
  rayAt({ origin, across, down }, [x, y]) {
    return origin.map((start, k) => start + (x - 0.5) * across[k] + (y - 0.5) * down[k]);
  }

  point(event) {
    const frame = this.canvas.getBoundingClientRect();
    const share = event && [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    this.pointer = share && share.map((part, k) => part * this.size[k]);
    this.showPlace();
  }

  // What the ray under the pointer, or in the middle of the picture, meets.
  probe() {
    return this.evaluator.follow(this.rayAt(this.rays(), this.pointer ?? this.size.map((n) => n / 2)));
  }

  placeText({ colour, opacity, place, depth }) {
    const three = (numbers) => numbers.map((n) => n.toFixed(3)).join(", ");
    const seen = `red, green, blue ${three(colour)}; opacity ${opacity.toFixed(3)}`;
    if (!place) return `${seen}; nothing there`;
    return `${seen}; depth ${brief(depth)}; x, y, z = ${three(place)}; density ${brief(this.evaluator.density(place))}`;
  }

  showPlace() {
    element("place").textContent = `${this.pointer ? "Pointer" : "Middle"}: ${this.placeText(this.probe())}`;
  }

  // For screen readers, when the keys rest.
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      element("spoken").textContent = `In the middle: ${this.placeText(this.probe())}`;
    }, SPEECH_DELAY);
  }
}

function cross([a, b, c], [d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

async function startView(field) {
  const engine = makeEngine(field, element("canvas"), SceneEngine);
  const view = new SceneView(field, engine);
  await view.frames.shown;
  const { evaluator, frames } = view;
  return {
    engine, view, timings: frames.timings, complete: () => frames.complete(),
    density: (points) => points.map((point) => evaluator.density(point)),
    colour: (points, directions) => points.map((point, n) => evaluator.colour(point, directions[n])),
  };
}
