// The page of a field of one axis: its curve with zoom, value and derivative at a point, and for sounds the sound.
//
// Convention: the view is { low, span } in the user's units. One lane for each channel. Where a column of the canvas
// holds many samples it shows their least and largest value, else the curve is evaluated between the samples.

const ZOOM_STEP = 1.5;
const PAN_SHARE = 0.1;
const SMALLEST_SPAN = 1e-11; // of the whole axis: float64 places are about 1e-16 apart
const MANY = 4; // samples in a column
const POINTS = 2; // evaluated in a column
const COARSE = 40; // milliseconds for the first curve
const LANE = 170; // css pixels
const FOOT = 24; // below the lanes, for the axis
const LABEL = 19;

class SoundView {
  constructor(field, engine) {
    Object.assign(this, { field, engine, canvas: element("canvas"), evaluator: makeEvaluator(field) });
    this.context = this.canvas.getContext("2d");
    this.rows = new Rows(field, engine);
    this.sound = new Sound(field, this.rows);
    this.axis = field.axes[0];
    this.whole = this.axis.high - this.axis.low;
    Object.assign(this, { pointer: null, held: new Map(), curve: null, drawing: 0, waiting: [], player: null });
    this.timings = { first: null, coarse: null, fine: null };
    this.shown = new Promise((resolve) => (this.show = resolve)); // when there is a first curve
    const most = Math.max(...field.range.flat().map(Math.abs), 1e-12);
    this.bounds = field.kind === "audio" ? field.range.map(() => [-most, most]) : field.range.map(widened);
    showHeader(field);
    this.isSound = field.kind === "audio";
    for (const id of ["play", "space-key"]) element(id).hidden = !this.isSound;
    this.listen();
    this.resize();
    this.reset();
    new ResizeObserver(() => this.resized()).observe(element("stage"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  resize() {
    const stage = element("stage");
    stage.style.height = `${LANE * this.field.channels + FOOT}px`;
    this.density = Math.min(2, devicePixelRatio);
    this.size = [stage.clientWidth, stage.clientHeight].map((n) => Math.max(1, Math.round(n * this.density)));
    [this.canvas.width, this.canvas.height] = this.size;
  }

  resized() {
    if (Math.round(element("stage").clientWidth * this.density) === this.size[0]) return;
    this.resize();
    this.draw();
  }

  reset() {
    Object.assign(this, { low: this.axis.low, span: this.whole });
    this.draw();
  }

  get zoom() {
    return this.whole / this.span;
  }

  // Zoom by a factor about a share of the width.
  zoomBy(factor, about = 0.5, since = undefined) {
    const place = this.low + about * this.span;
    this.span = Math.min(this.whole, Math.max(SMALLEST_SPAN * this.whole, this.span / factor));
    this.low = place - about * this.span;
    this.keepInside();
    this.draw(since);
  }

  panBy(share) {
    this.low += share * this.span;
    this.keepInside();
    this.draw();
  }

  keepInside() {
    this.low = Math.min(this.axis.high - this.span, Math.max(this.axis.low, this.low));
  }

  get perColumn() {
    return (this.span * this.sound.rate) / this.size[0];
  }

  // Evaluate the curve of this view, coarse first, and paint it after each pass.
  async draw(since = performance.now()) {
    const mine = ++this.drawing;
    element("zoom").textContent = `zoom ${brief(this.zoom)}×`;
    this.showProbe();
    if (!(this.perColumn > MANY && this.sound.share === 1)) {
      const points = POINTS * this.size[0];
      const passes = this.strides(points);
      for (const stride of passes) {
        const step = (this.span / points) * stride;
        const row = { start: this.low + step / 2, step, count: Math.ceil(points / stride) };
        const values = await this.rows.fill(row, () => mine === this.drawing);
        if (!values) return;
        this.curve = { ...row, values };
        this.paint();
        if (stride > 1 || passes.length === 1) this.note("coarse", since);
      }
    } else this.paint();
    this.note("fine", since);
    if (this.sound.share < 1) await this.extendSound(mine);
    if (mine === this.drawing) for (const resolve of this.waiting.splice(0)) resolve();
  }

  // Every how many points a pass evaluates: all of them at once where there is time for that.
  strides(points) {
    const coarse = [1, 4, 16].find((stride) => points / stride <= this.rows.rate * COARSE) ?? 64;
    return coarse === 1 ? [1] : [coarse, 1];
  }

  async extendSound(mine) {
    await this.sound.extend(() => mine === this.drawing);
    if (mine === this.drawing) this.paint();
  }

  note(name, since) {
    this.timings[name] = performance.now() - since;
    this.timings.first ??= performance.now();
    this.show();
  }

  // Resolves when the view and the whole sound are there.
  complete() {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.draw();
    });
  }

  paint() {
    const { context, size } = this;
    context.fillStyle = cssColour(themeColour("--back"));
    context.fillRect(0, 0, ...size);
    for (let c = 0; c < this.field.channels; c++) this.paintLane(c);
    this.paintAxis();
  }

  paintLane(channel) {
    const { context, size, density } = this;
    const [least, largest] = this.bounds[channel];
    const height = LANE * density;
    const up = (value) => height * (channel + 0.5 - 0.92 * ((value - least) / (largest - least) - 0.5));
    context.fillStyle = cssColour(themeColour("--line"));
    for (const value of [largest, (least + largest) / 2, least]) context.fillRect(0, up(value), size[0], density);
    context.strokeStyle = context.fillStyle = cssColour(themeColour("--wave"));
    if (this.perColumn > MANY) this.paintColumns(channel, up);
    else this.paintCurve(channel, up);
    this.label(`${this.field.out_names[channel]}, up to ${brief(largest)}`, up(largest));
    if (!this.isSound) this.label(brief(least), up(least) - LABEL * density);
  }

  // Text on its own ground, below `top`.
  label(text, top) {
    const { context, density } = this;
    context.font = `${12 * density}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.fillStyle = cssColour(themeColour("--back"));
    context.fillRect(0, top + density, context.measureText(text).width + 12 * density, LABEL * density);
    context.fillStyle = cssColour(themeColour("--soft"));
    context.fillText(text, 6 * density, top + 14 * density);
  }

  paintColumns(channel, up) {
    const { context, size, sound, density } = this;
    for (let x = 0; x < size[0]; x++) {
      const [low, high] = [x, x + 1].map((place) => this.low + (place / size[0]) * this.span);
      const found = sound.extremes(low, high, channel) ?? this.extremesOfCurve(low, high, channel);
      if (found) context.fillRect(x, up(found[1]) - density / 2, 1, up(found[0]) - up(found[1]) + density);
    }
  }

  extremesOfCurve(low, high, channel) {
    if (!this.curve) return null;
    const { start, step, count, values } = this.curve;
    const first = Math.max(0, Math.min(count - 1, Math.floor((low - start) / step)));
    const last = Math.max(first, Math.min(count - 1, Math.ceil((high - start) / step)));
    const found = [];
    for (let i = first; i <= last; i++) found.push(values[i * this.field.channels + channel]);
    return [Math.min(...found), Math.max(...found)];
  }

  paintCurve(channel, up) {
    if (!this.curve) return;
    const { context, size } = this;
    const { start, step, count, values } = this.curve;
    context.lineWidth = 2 * this.density;
    context.lineJoin = "round";
    context.beginPath();
    for (let i = 0; i < count; i++) {
      const x = ((start + i * step - this.low) / this.span) * size[0];
      context.lineTo(x, up(values[i * this.field.channels + channel]));
    }
    context.stroke();
  }

  paintAxis() {
    const { context, size, density, axis } = this;
    context.fillStyle = cssColour(themeColour("--soft"));
    context.textAlign = "center";
    const step = roundStep((this.span * 90 * density) / size[0]);
    const digits = Math.max(0, Math.min(15, -Math.floor(Math.log10(step) + 1e-9)));
    for (let k = Math.ceil(this.low / step); k * step <= this.low + this.span; k++) {
      const x = ((k * step - this.low) / this.span) * size[0];
      context.fillRect(x, size[1] - FOOT * density, density, 5 * density);
      const text = `${(k * step).toFixed(digits)}${axis.unit && ` ${axis.unit}`}`;
      if (x > 40 * density && x < size[0] - 40 * density) context.fillText(text, x, size[1] - 6 * density);
    }
  }

  listen() {
    const { canvas } = this;
    element("zoom-in").addEventListener("click", () => this.zoomBy(ZOOM_STEP));
    element("zoom-out").addEventListener("click", () => this.zoomBy(1 / ZOOM_STEP));
    element("reset").addEventListener("click", () => this.reset());
    element("play").addEventListener("click", () => this.playOrStop());
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.held.set(event.pointerId, this.shareOf(event));
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.held.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  shareOf(event) {
    const frame = this.canvas.getBoundingClientRect();
    return (event.clientX - frame.left) / frame.width;
  }

  onWheel(event) {
    event.preventDefault();
    const since = performance.now();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return this.panBy(event.deltaX / 1000);
    const amount = Math.max(-300, Math.min(300, event.deltaY * (event.deltaMode === 1 ? 16 : 1)));
    return this.zoomBy(Math.exp(-amount / 300), this.shareOf(event), since);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (event.shiftKey ? 3 : 1) * PAN_SHARE;
    if (event.key === "ArrowLeft") this.panBy(-step);
    else if (event.key === "ArrowRight") this.panBy(step);
    else if (event.key === "+" || event.key === "=") this.zoomBy(ZOOM_STEP);
    else if (event.key === "-") this.zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0" || event.key === "Home") this.reset();
    else if (event.key === " " && this.isSound) this.playOrStop();
    else return;
    event.preventDefault();
    this.point(null);
    this.speak();
  }

  onMove(event) {
    const before = [...this.held.values()];
    if (this.held.has(event.pointerId)) {
      this.held.set(event.pointerId, this.shareOf(event));
      const after = [...this.held.values()];
      const mean = (shares) => shares.reduce((sum, share) => sum + share, 0) / shares.length;
      this.panBy(mean(before) - mean(after));
      if (after.length === 2) {
        const apart = ([a, b]) => Math.max(1e-3, Math.abs(a - b));
        this.zoomBy(apart(after) / apart(before), mean(after));
      }
    }
    this.point(this.shareOf(event));
  }

  point(share) {
    this.pointer = share;
    this.showProbe();
  }

  probed() {
    return this.low + (this.pointer ?? 0.5) * this.span;
  }

  showProbe() {
    const place = this.probed();
    const { value, gradient } = this.evaluator.valueAndGradient([place]);
    const digits = Math.max(0, Math.min(16, Math.ceil(-Math.log10(this.span / this.size[0])) + 1));
    const unit = this.axis.unit && ` ${this.axis.unit}`;
    element("place").textContent =
      `${this.pointer === null ? "Middle" : "Pointer"}: ${this.axis.name} = ${place.toFixed(digits)}${unit}`;
    showValues(this.field, value, gradient);
  }

  // For screen readers, when the keys rest.
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const said = this.evaluator.valueAndGradient([this.probed()]).value.map((v) => v.toFixed(3)).join(", ");
      element("spoken").textContent = `Zoom ${brief(this.zoom)}. In the middle: ${said}`;
    }, SPEECH_DELAY);
  }

  async playOrStop() {
    if (this.player) return this.stop();
    const player = { context: new AudioContext(), low: this.low, high: this.low + this.span };
    this.player = player;
    await this.sound.extend(() => {
      this.showPlaying(`Preparing, ${Math.floor(100 * this.sound.share)} %`);
      return this.player === player;
    });
    if (this.player !== player) return;
    player.source = player.context.createBufferSource();
    player.source.buffer = this.sound.buffer(player.context, player.low, player.high);
    player.source.connect(player.context.destination);
    player.source.onended = () => this.player === player && this.stop();
    player.began = player.context.currentTime;
    player.source.start();
    this.showPlaying("Stop");
    this.movePlayhead(player);
  }

  stop() {
    const { context } = this.player;
    this.player = null;
    context.close();
    element("playhead").hidden = true;
    this.showPlaying("Play what is shown");
  }

  showPlaying(text) {
    element("play").textContent = text;
    element("play").setAttribute("aria-pressed", String(this.player !== null));
  }

  movePlayhead(player) {
    if (this.player !== player) return;
    const place = player.low + player.context.currentTime - player.began;
    const share = (place - this.low) / this.span;
    element("playhead").hidden = share < 0 || share > 1;
    element("playhead").style.left = `${100 * share}%`;
    const again = () => this.movePlayhead(player);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) setTimeout(again, 500);
    else requestAnimationFrame(again);
  }
}

function widened([least, largest]) {
  const margin = largest > least ? 0 : 1;
  return [least - margin, largest + margin];
}

// The next of 1, 2 and 5 times a power of ten.
function roundStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough);
}

async function startView(field) {
  const engine = makeEngine(field, document.createElement("canvas"));
  const view = new SoundView(field, engine);
  await view.shown;
  return { engine, view, timings: view.timings, complete: () => view.complete() };
}
