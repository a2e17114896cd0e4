// The page of a field on a plane: zoom and pan, the slider against the pixels, value and gradient at a point.
//
// Convention: the view is { center, pixel } in unit coordinates: the point in the middle of the canvas, and the width
// of one of its pixels, which is as high as wide. Pictures have their last axis to the right and the one before
// downwards; where the first axis is called x it points to the right, and the second one upwards. A third axis goes
// through the canvas, which shows a slice.

const ZOOM_STEP = 1.5;
const PAN_SHARE = 0.1; // of the canvas, with an arrow key
const SMALLEST_PIXEL = 1e-14; // in unit coordinates, whose float64 steps are about 1e-16
const LARGEST_PIXEL = 4; // times the pixel of the whole picture
const TWO_FRAMES = 34; // milliseconds of a screen
const WHOLE_TIME = 5; // seconds in which an evolution runs through

class PictureView {
  constructor(field, engine) {
    Object.assign(this, { field, engine, frames: new Frames(engine), canvas: engine.canvas });
    this.evaluator = makeEvaluator(field);
    const upright = field.axes[0].name === "x";
    const [right, vertical] = upright ? [0, 1] : [field.dim - 1, field.dim - 2];
    Object.assign(this, { right, vertical, sign: upright ? -1 : 1 });
    this.slice = field.dim === 3 ? new Slice(this, upright ? 2 : 0) : null;
    this.half = field.axes.map((axis, k) => (axis.high - axis.low) / 2 / field.scale[k]);
    this.shown = 0;
    this.slider = 0.5;
    this.pointer = null;
    this.held = new Map();
    this.showControls();
    this.listen();
    engine.restored = () => {
      this.frames.holds(null);
      this.draw();
    };
    this.resize();
    this.reset();
    new ResizeObserver(() => this.resized()).observe(element("stage"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.frames.recolour(this.look()));
  }

  resize() {
    const stage = element("stage");
    const width = stage.clientWidth;
    const aspect = this.half[this.vertical] / this.half[this.right];
    stage.style.height = `${Math.round(Math.max(200, Math.min(width * aspect, innerHeight * 0.72)))}px`;
    const density = Math.min(2, devicePixelRatio);
    this.size = [Math.max(1, Math.round(width * density)), Math.max(1, Math.round(stage.clientHeight * density))];
    this.engine.resize(...this.size);
    this.frames.holds(null);
  }

  resized() {
    const density = Math.min(2, devicePixelRatio);
    if (Math.round(element("stage").clientWidth * density) === this.size[0]) return;
    const before = this.size[0];
    this.resize();
    this.pixel *= before / this.size[0];
    this.draw();
  }

  get wholePixel() {
    return Math.max((2 * this.half[this.right]) / this.size[0], (2 * this.half[this.vertical]) / this.size[1]);
  }

  get zoom() {
    return this.wholePixel / this.pixel;
  }

  // The slice stays where it is.
  reset() {
    this.center = this.field.axes.map((_, k) => (this.slice?.axis === k ? this.slice.place : 0));
    this.pixel = this.wholePixel;
    this.draw();
  }

  // Zoom by a factor about a point of the canvas, or its middle.
  zoomBy(factor, about = this.size.map((n) => n / 2), since = undefined) {
    const before = this.unitAt(about);
    const largest = LARGEST_PIXEL * this.wholePixel;
    this.pixel = Math.min(largest, Math.max(SMALLEST_PIXEL, this.pixel / factor));
    const after = this.unitAt(about);
    this.center = this.center.map((place, k) => place + before[k] - after[k]);
    this.keepInside();
    this.draw(since);
  }

  panBy(right, down, since = undefined) {
    this.center[this.right] += right * this.pixel;
    this.center[this.vertical] += this.sign * down * this.pixel;
    this.keepInside();
    this.draw(since);
  }

  keepInside() {
    this.center = this.center.map((place, k) => Math.min(this.half[k], Math.max(-this.half[k], place)));
  }

  // Unit coordinates at a place of the canvas, counted in its pixels from the upper left corner.
  unitAt([x, y]) {
    const unit = [...this.center];
    unit[this.right] = this.center[this.right] + (x - this.size[0] / 2) * this.pixel;
    unit[this.vertical] = this.center[this.vertical] + this.sign * (y - this.size[1] / 2) * this.pixel;
    return unit;
  }

  canvasAt(unit) {
    const x = (unit[this.right] - this.center[this.right]) / this.pixel + this.size[0] / 2;
    const y = (this.sign * (unit[this.vertical] - this.center[this.vertical])) / this.pixel + this.size[1] / 2;
    return [x, y];
  }

  lattice() {
    const [across, down] = [0, 1].map(() => this.center.map(() => 0));
    across[this.right] = this.pixel;
    down[this.vertical] = this.sign * this.pixel;
    return { origin: this.unitAt([0.5, 0.5]), across, down };
  }

  draw(since = undefined) {
    this.frames.request(this.lattice(), this.look(), this.subsamples(), since);
    element("zoom").textContent = `zoom ${brief(this.zoom)}×`;
    this.showProbe();
  }

  // Points across a pixel, so that they lie as close as the samples that the field was fitted to.
  subsamples() {
    const { spacing, scale } = this.field;
    if (!spacing) return 1;
    const samples = [this.right, this.vertical].map((k) => (this.pixel * scale[k]) / spacing[k]);
    return Math.max(1, Math.ceil(Math.max(...samples) - 0.01));
  }

  look() {
    const [a, b] = [this.canvasAt(this.half.map((h) => -h)), this.canvasAt(this.half)];
    const box = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    const [least, largest] = this.field.range[this.shown];
    return {
      box, shown: this.shown, channels: this.field.channels, colours: hasColours(this.field), scale: scaleOf(this.field, this.shown),
      background: themeColour("--back"), range: [least, largest > least ? largest : least + 1],
      slider: Math.round(this.slider * this.size[0]), ...this.pixelLook(box),
    };
  }

  // Where the picture's pixels lie: the cell of the canvas's corner, the place in it, and cells in a pixel of the
  // canvas.
  pixelLook([left, top, right, bottom]) {
    const { width, height } = this.field.against ?? { width: 1, height: 1 };
    const step = [width / (right - left), height / (bottom - top)];
    const corner = [-left * step[0], -top * step[1]];
    const cell = corner.map(Math.floor);
    return { pixelCell: cell, pixelPlace: corner.map((place, k) => place - cell[k]), pixelStep: step };
  }

  async showAgainst() {
    const image = new Image();
    image.src = this.field.against.source;
    await image.decode();
    if (!this.engine.setPixels(image)) return;
    for (const id of ["compare", "divider", "left-label", "right-label"]) element(id).hidden = false;
    this.setSlider(this.slider);
  }

  setSlider(share) {
    this.slider = Math.min(1, Math.max(0, share));
    element("slider").value = Math.round(1000 * this.slider);
    element("divider").style.left = `${100 * this.slider}%`;
    element("left-label").hidden = this.slider < 0.1;
    element("right-label").hidden = this.slider > 0.9;
    this.frames.recolour(this.look());
  }

  showControls() {
    const { field } = this;
    showHeader(field);
    if (hasColours(field)) return;
    element("channel").replaceChildren(...field.out_names.map((name, k) => new Option(name, k)));
    element("channel-label").hidden = field.channels < 2;
    element("legend").hidden = false;
    this.showLegend();
  }

  showLegend() {
    showScale(scaleOf(this.field, this.shown), this.field.range[this.shown]);
  }

  listen() {
    const { canvas } = this;
    element("zoom-in").addEventListener("click", () => this.zoomBy(ZOOM_STEP));
    element("zoom-out").addEventListener("click", () => this.zoomBy(1 / ZOOM_STEP));
    element("reset").addEventListener("click", () => this.reset());
    element("slider").addEventListener("input", (event) => this.setSlider(event.target.value / 1000));
    element("channel").addEventListener("change", (event) => {
      this.shown = Number(event.target.value);
      this.showLegend();
      this.frames.recolour(this.look());
      this.profile?.draw();
    });
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.onUp(event));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  // The place of an event in pixels of the canvas.
  placeOf(event) {
    const frame = this.canvas.getBoundingClientRect();
    const share = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    return share.map((part, k) => part * this.size[k]);
  }

  onWheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const amount = Math.max(-300, Math.min(300, event.deltaY * lines));
    this.zoomBy(Math.exp(-amount / 300), this.placeOf(event), performance.now());
  }

  onKey(event) {
    const step = (event.shiftKey ? 3 : 1) * PAN_SHARE * Math.min(...this.size);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) this.panBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoomBy(ZOOM_STEP);
    else if (event.key === "-") this.zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0" || event.key === "Home") this.reset();
    else return;
    event.preventDefault();
    this.point(null);
    this.speak();
  }

  onDown(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.held.set(event.pointerId, this.placeOf(event));
    this.canvas.classList.add("dragging");
  }

  onUp(event) {
    this.held.delete(event.pointerId);
    if (!this.held.size) this.canvas.classList.remove("dragging");
  }

  // One pointer pans, two zoom about their middle.
  onMove(event) {
    const before = [...this.held.values()];
    if (this.held.has(event.pointerId)) {
      this.held.set(event.pointerId, this.placeOf(event));
      const after = [...this.held.values()];
      const [from, to] = [middle(before), middle(after)];
      this.panBy(from[0] - to[0], from[1] - to[1]);
      if (after.length === 2) this.zoomBy(apart(after) / Math.max(1, apart(before)), to);
    }
    this.point(this.placeOf(event));
  }

  point(place) {
    this.pointer = place;
    this.showProbe();
  }

  // The user's coordinates that the readout is about.
  probed() {
    const unit = this.unitAt(this.pointer ?? this.size.map((n) => n / 2));
    return unit.map((place, k) => place * this.field.scale[k] + this.field.center[k]);
  }

  showProbe() {
    const { field } = this;
    const point = this.probed();
    const { value, gradient } = this.evaluator.valueAndGradient(point);
    const digits = Math.max(0, Math.min(16, Math.ceil(-Math.log10(this.pixel * Math.min(...field.scale))) + 1));
    const names = field.axes.map(({ name, unit }, k) => `${name} = ${point[k].toFixed(digits)}${unit && ` ${unit}`}`);
    const where = this.pointer ? "Pointer" : "Middle";
    element("place").textContent = `${where}: ${names.join(", ")}${this.pixelText(point)}`;
    showValues(field, value, gradient);
  }

  // The place in pixels of the picture that the field was fitted to.
  pixelText(point) {
    const { spacing, axes, kind } = this.field;
    if (!spacing || kind !== "image") return "";
    const [row, column] = axes.map((axis, k) => ((point[k] - axis.low) / spacing[k] - 0.5).toFixed(2));
    return `; row ${row}, column ${column} of the picture`;
  }

  // For screen readers, when the keys rest.
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const { value } = this.evaluator.valueAndGradient(this.probed());
      const said = value.map((v, c) => `${this.field.out_names[c]} ${v.toFixed(3)}`).join(", ");
      element("spoken").textContent = `Zoom ${brief(this.zoom)}. In the middle: ${said}`;
    }, SPEECH_DELAY);
  }
}

function middle(places) {
  return [0, 1].map((k) => places.reduce((sum, place) => sum + place[k], 0) / places.length);
}

// The place of the canvas along a third axis: its slider, and for clips the time that runs.
class Slice {
  constructor(view, axis) {
    Object.assign(this, { view, axis, place: 0, playing: null });
    const { name } = view.field.axes[axis];
    element("slice").hidden = false;
    element("through-name").textContent = nameOf(view.field.axes[axis]);
    Object.assign(this, { half: (view.field.axes[axis].high - view.field.axes[axis].low) / 2 });
    this.show();
    element("through").addEventListener("input", (event) => this.moveTo(event.target.value / 500 - 1));
    const runs = view.field.kind === "video" || name === "t";
    this.rate = view.field.kind === "video" ? 1 : (2 * this.half) / WHOLE_TIME;
    for (const id of ["play", "speed-label"]) element(id).hidden = !runs;
    element("play").addEventListener("click", () => this.playOrStop());
  }

  // To a share of the way from the middle, -1 to 1.
  moveTo(share) {
    const { field } = this.view;
    this.place = (share * this.half) / field.scale[this.axis];
    this.view.center[this.axis] = this.place;
    this.show();
    this.view.draw();
  }

  show() {
    const { field } = this.view;
    const place = this.place * field.scale[this.axis];
    element("through").value = Math.round(500 * (place / this.half + 1));
    element("through-value").textContent = placeOn(field.axes[this.axis], place + field.center[this.axis]);
  }

  playOrStop() {
    this.playing = this.playing ? null : { last: performance.now() };
    element("play").textContent = this.playing ? "Stop" : "Play";
    element("play").setAttribute("aria-pressed", String(this.playing !== null));
    if (this.playing) requestAnimationFrame(() => this.step(this.playing));
  }

  // As much further as time has passed; from the end back to the beginning.
  async step(playing) {
    if (!playing || this.playing !== playing) return;
    const now = performance.now();
    const seconds = ((now - playing.last) / 1000) * this.rate * Number(element("speed").value);
    playing.last = now;
    const share = (this.place * this.view.field.scale[this.axis] + seconds) / this.half;
    this.moveTo(share > 1 ? -1 : share);
    await this.view.frames.next();
    requestAnimationFrame(() => this.step(playing));
  }
}

async function startView(field) {
  const surface = field.solid ? new ShapeView(field) : null;
  await surface?.shown;
  if (surface) await new Promise((resolve) => setTimeout(resolve, TWO_FRAMES)); // it is seen before shaders are compiled
  const engine = makeEngine(field, element("canvas"));
  const view = new PictureView(field, engine);
  if (surface) surface.view = view;
  if (field.against) await view.showAgainst();
  if (field.axes.length === 2 && (field.axes[1].name === "t" || field.axes[0].parameter)) new Profile(view);
  await view.frames.shown;
  const complete = () => Promise.all([view.frames.complete(), surface?.complete()]);
  return { engine, view, surface, timings: (surface ?? view.frames).timings, complete };
}
