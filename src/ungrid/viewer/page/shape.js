// The surface of a signed distance field: rays from an orbiting camera, first through a coarse lattice of the distances
// inside the page, then, at rest, each point by Newton's iteration on the field itself, whose gradient is the normal.
//
// Convention: places are in the user's units in the order of the field's axes; y is up. The camera looks at the middle of
// the domain from `distance` half diagonals away. Pixels are square; a ray's direction has length one.
//
// Source: Hart 1996, "Sphere tracing: a geometric method for the antialiased ray tracing of implicit surfaces".

const LENS = 0.55; // half the height of the picture at distance one
const STEP_SHARE = 0.9; // of the distance: the lattice is not exact
const MOST_STEPS = 160;
const FRAME = 35; // milliseconds of a coarse picture, and of a batch of finer ones
const SURFACE_FACTORS = [1, 2, 4, 8, 16];
const START_RATE = 150; // rays a millisecond, before any is measured
const NEWTON = 6; // at most, at the point that is probed; pixels take one step, whose error is the square of the lattice's

class ShapeView extends Orbit {
  // The view of slices comes later: the surface is what is looked at first.
  constructor(field) {
    super();
    Object.assign(this, { nearest: 0.3, farthest: 6 });
    Object.assign(this, { field, view: null, canvas: element("surface"), evaluator: makeEvaluator(field), rate: START_RATE });
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.lattice = new Lattice(field.solid, field.arrays[field.solid.values], 1);
    this.low = field.axes.map((axis) => axis.low);
    this.high = field.axes.map((axis) => axis.high);
    this.order = ["x", "y", "z"].map((name) => field.axes.findIndex((axis) => axis.name === name));
    this.middle = this.low.map((low, k) => (low + this.high[k]) / 2);
    this.radius = Math.hypot(...this.low.map((low, k) => (this.high[k] - low) / 2));
    this.cell = Math.min(...field.solid.step);
    Object.assign(this, { cells: new Int32Array(3), parts: new Float64Array(3) });
    Object.assign(this, { wanted: 0, waiting: [], running: 0, pointer: null });
    this.timings = { first: null, coarse: null, fine: null };
    this.shown = new Promise((resolve) => (this.show = resolve)); // when there is a first picture
    this.listen();
    this.resize();
    this.reset();
  }

  listen() {
    this.listenTo(this.canvas);
    element("cut").addEventListener("change", () => this.draw());
    element("through").addEventListener("input", () => element("cut").checked && this.draw());
    new ResizeObserver(() => this.resize() && this.draw()).observe(element("surface-stage"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // Whether the size has changed.
  resize() {
    const stage = element("surface-stage");
    const density = Math.min(1.5, devicePixelRatio);
    const size = [stage.clientWidth, stage.clientHeight].map((n) => Math.max(1, Math.round(n * density)));
    if (this.size?.every((n, k) => n === size[k])) return false;
    this.size = size;
    [this.canvas.width, this.canvas.height] = size;
    return true;
  }

  reset() {
    Object.assign(this, { yaw: 0.6, pitch: 0.45, distance: 1.55 });
    this.draw();
  }

  // The camera's place and axes, in the order of the field's axes.
  camera() {
    const { yaw, pitch } = this;
    const [c, s, d, e] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const ordered = (xyz) => this.order.reduce((made, k, n) => ((made[k] = xyz[n]), made), [0, 0, 0]);
    const [back, right, up] = [[s * d, e, c * d], [c, 0, -s], [-s * e, d, -c * e]].map(ordered);
    return { back, right, up, eye: this.middle.map((m, k) => m + back[k] * this.distance * this.radius) };
  }

  ray({ back, right, up }, x, y) {
    const [width, height] = this.size;
    const pixel = (2 * LENS) / height;
    const [a, b] = [(x - width / 2) * pixel, (height / 2 - y) * pixel];
    const direction = back.map((n, k) => -n + a * right[k] + b * up[k]);
    const length = Math.hypot(...direction);
    return direction.map((n) => n / length);
  }

  // The part of a ray inside of the domain, of its half beyond the slice where the shape is cut open.
  span(eye, direction) {
    let [near, far] = [0, Infinity];
    for (let k = 0; k < 3; k++) {
      const isCut = k === this.view?.slice.axis && element("cut").checked;
      const high = isCut ? this.view.center[k] * this.field.scale[k] + this.field.center[k] : this.high[k];
      const ends = [(this.low[k] - eye[k]) / direction[k], (high - eye[k]) / direction[k]];
      near = Math.max(near, Math.min(...ends));
      far = Math.min(far, Math.max(...ends));
    }
    return [near, far];
  }

  // The lattice's distance at a place of a ray, trilinear; written out, since it is what takes the time.
  distanceAt(eye, direction, t) {
    const { low, step, shape: [, ny, nz], shape, values } = this.lattice;
    const { cells, parts } = this;
    for (let k = 0; k < 3; k++) {
      const place = Math.max(0, Math.min(shape[k] - 1, (eye[k] + t * direction[k] - low[k]) / step[k]));
      cells[k] = Math.min(Math.floor(place), shape[k] - 2);
      parts[k] = place - cells[k];
    }
    const [a, b, c] = parts;
    const row = (cells[0] * ny + cells[1]) * nz + cells[2];
    const [next, over] = [row + nz, row + ny * nz];
    const line = (at) => values[at] + c * (values[at + 1] - values[at]);
    const near = line(row) + b * (line(next) - line(row));
    return near + a * (line(over) + b * (line(over + nz) - line(over)) - near);
  }

  // How far along a ray the lattice's surface is; NaN where it is missed.
  march(eye, direction) {
    const [near, far] = this.span(eye, direction);
    let [t, last, before] = [near, NaN, near];
    for (let step = 0; step < MOST_STEPS && t < far; step++) {
      const d = this.distanceAt(eye, direction, t);
      if (d <= 0) return step ? before + ((t - before) * last) / (last - d) : t;
      [last, before] = [d, t];
      t += Math.max(STEP_SHARE * d, 0.2 * this.cell);
    }
    return NaN;
  }

  // The point of the field itself near a hit of the lattice, and its normal; a cut face has that of the slice.
  exactly(eye, direction, t, steps = 1) {
    const [near] = this.span(eye, direction);
    let [found, normal] = [t, null];
    for (let step = 0; step < steps; step++) {
      const { value: [distance], gradient: [slope] } = this.evaluator.valueAndGradient(this.at(eye, direction, found));
      normal = slope;
      if (found <= near && distance <= 0) return { t: near, normal: this.face() };
      const along = slope.reduce((sum, n, k) => sum + n * direction[k], 0);
      const move = Math.max(-this.cell, Math.min(this.cell, -distance / (Math.abs(along) > 0.05 ? along : -0.05)));
      found += move;
      if (Math.abs(move) < 1e-9 * this.radius) break;
    }
    return { t: found, normal };
  }

  at(eye, direction, t) {
    return eye.map((place, k) => place + t * direction[k]);
  }

  face() {
    return this.field.axes.map((_, k) => (k === this.view.slice.axis ? 1 : 0));
  }

  // The lattice's normal.
  roughNormal(eye, direction, t) {
    const [near] = this.span(eye, direction);
    if (t <= near) return this.face();
    const place = this.at(eye, direction, t);
    const axes = [[this.cell, 0, 0], [0, this.cell, 0], [0, 0, this.cell]];
    return axes.map((axis) => this.distanceAt(place, axis, 1) - this.distanceAt(place, axis, -1));
  }

  // A light from the camera's upper left, and a weak one from behind.
  shade(normal, { back, right, up }) {
    const length = Math.hypot(...normal) || 1;
    const along = (axis) => axis.reduce((sum, n, k) => sum + (n * normal[k]) / length, 0);
    const [front, side, top] = [along(back), along(right), along(up)];
    const light = Math.max(0, 0.72 * front - 0.42 * side + 0.55 * top);
    const rim = (1 - Math.max(0, front)) ** 3;
    return [0.86, 0.8, 0.72].map((part, c) => Math.min(1, part * (0.16 + 0.78 * light) + rim * [0.1, 0.13, 0.2][c]));
  }

  // Coarse at once, then every pixel by the lattice, then by the field.
  async draw(since = performance.now()) {
    const mine = ++this.wanted;
    this.running++;
    try {
      const camera = this.camera();
      const fits = (factor) => (this.size[0] * this.size[1]) / factor ** 2 <= this.rate * FRAME;
      const factor = SURFACE_FACTORS.find(fits) ?? SURFACE_FACTORS.at(-1);
      element("surface-state").textContent = "coarse";
      const passes = factor > 1 ? [[factor, false], [1, false], [1, true]] : [[1, false], [1, true]];
      for (const [size, isExact] of passes) {
        const isFirst = size === passes[0][0] && !isExact;
        if (!(await this.pass(camera, size, isExact, isFirst ? Infinity : FRAME, mine))) return;
        if (isFirst) this.note("coarse", since);
      }
      element("surface-state").textContent = "exact";
      this.note("fine", since);
    } finally {
      this.running--;
      if (!this.running) for (const resolve of this.waiting.splice(0)) resolve();
    }
  }

  note(name, since) {
    this.timings[name] = performance.now() - since;
    this.timings.first ??= performance.now();
    this.show();
    this.showPlace();
  }

  // One picture in bands of rows; false where another one is wanted in between.
  async pass(camera, factor, isExact, budget, mine) {
    const [width, height] = this.size.map((n) => Math.ceil(n / factor));
    const background = themeColour("--back");
    for (let top = 0; top < height; ) {
      const began = performance.now();
      const rows = [];
      while (top + rows.length < height && performance.now() - began < budget) {
        rows.push(this.row(camera, top + rows.length, width, factor, isExact, background));
      }
      this.put(rows, top, width, factor);
      const rate = (rows.length * width) / Math.max(0.5, performance.now() - began);
      if (!isExact) this.rate = 0.5 * this.rate + 0.5 * rate;
      top += rows.length;
      if (budget !== Infinity) await new Promise((resolve) => setTimeout(resolve, 0));
      if (mine !== this.wanted) return false;
    }
    return true;
  }

  row(camera, y, width, factor, isExact, background) {
    const bytes = new Uint8ClampedArray(4 * width);
    for (let x = 0; x < width; x++) {
      const direction = this.ray(camera, (x + 0.5) * factor, (y + 0.5) * factor);
      const t = this.march(camera.eye, direction);
      const colour = Number.isNaN(t) ? background : this.shade(
        isExact ? this.exactly(camera.eye, direction, t).normal : this.roughNormal(camera.eye, direction, t), camera);
      for (let c = 0; c < 3; c++) bytes[4 * x + c] = 255 * colour[c];
      bytes[4 * x + 3] = 255;
    }
    return bytes;
  }

  put(rows, top, width, factor) {
    if (!rows.length) return;
    const image = new ImageData(width, rows.length);
    rows.forEach((bytes, k) => image.data.set(bytes, 4 * k * width));
    if (factor === 1) return this.context.putImageData(image, 0, top);
    const small = document.createElement("canvas");
    [small.width, small.height] = [width, rows.length];
    small.getContext("2d").putImageData(image, 0, 0);
    this.context.drawImage(small, 0, top * factor, width * factor, rows.length * factor);
  }

  point(event) {
    const frame = this.canvas.getBoundingClientRect();
    this.pointer = event && [event.clientX - frame.left, event.clientY - frame.top].map(
      (place, k) => (place * this.size[k]) / [frame.width, frame.height][k]);
    this.showPlace();
  }

  // The point of the surface under the pointer or in the middle of the picture; null where there is none.
  probe([x, y] = this.size.map((n) => n / 2)) {
    const camera = this.camera();
    const direction = this.ray(camera, x, y);
    const t = this.march(camera.eye, direction);
    if (Number.isNaN(t)) return null;
    const found = this.exactly(camera.eye, direction, t, NEWTON);
    return { place: this.at(camera.eye, direction, found.t), normal: found.normal };
  }

  placeText(found) {
    if (!found) return "no surface";
    const brief3 = (numbers) => numbers.map((n) => n.toFixed(3)).join(", ");
    const names = this.field.axes.map((axis) => axis.name).join(", ");
    const length = Math.hypot(...found.normal) || 1;
    return `${names} = ${brief3(found.place)}; normal ${brief3(found.normal.map((n) => n / length))}`;
  }

  showPlace() {
    const where = this.pointer ? "Pointer" : "Middle";
    element("surface-place").textContent = `${where}: ${this.placeText(this.probe(this.pointer ?? undefined))}`;
  }

  // For screen readers, when the keys rest.
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      element("surface-spoken").textContent = `In the middle: ${this.placeText(this.probe())}`;
    }, SPEECH_DELAY);
  }

  // Resolves when nothing is left to draw.
  complete() {
    return this.running ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }
}
