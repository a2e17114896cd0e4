// The values along a line at one time, or for one number of a family: a curve with a slider, and the solutions beside it dashed.
//
// Convention: space is to the right. Time is the second axis, the number of a family the first one.

const PROFILE_POINTS = 241;

class Profile {
  constructor(view) {
    const along = view.field.axes[0].parameter ? 0 : 1;
    const [time, space] = [view.field.axes[along], view.field.axes[1 - along]];
    Object.assign(this, { view, along, space, time, place: time.low, playing: false, canvas: element("profile-canvas") });
    view.profile = this;
    element("profile").hidden = false;
    element("moment-name").textContent = nameOf(time);
    element("moment").addEventListener("input", (event) => this.moveTo(event.target.value / 1000));
    element("run").addEventListener("click", () => this.playOrStop());
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
  }

  moveTo(share) {
    this.place = this.time.low + share * (this.time.high - this.time.low);
    this.draw();
  }

  // The values there, (points, channels) one after another.
  values() {
    const { space, place, view: { evaluator, field } } = this;
    const out = new Float64Array(PROFILE_POINTS * field.channels);
    for (let i = 0; i < PROFILE_POINTS; i++) {
      const x = space.low + ((space.high - space.low) * i) / (PROFILE_POINTS - 1);
      evaluator.value(this.along ? [x, place] : [place, x], out, i * field.channels);
    }
    return out;
  }

  draw() {
    const { canvas, place, time, view: { field, shown } } = this;
    const density = Math.min(2, devicePixelRatio);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * density));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * density));
    const text = `${nameOf(time)} = ${placeOn(time, place)}`;
    element("moment").value = Math.round((1000 * (place - time.low)) / (time.high - time.low));
    element("moment-value").textContent = text;
    const context = canvas.getContext("2d");
    context.fillStyle = cssColour(themeColour("--back"));
    context.fillRect(0, 0, canvas.width, canvas.height);
    const isDifference = scaleOf(field, shown) === DIVERGING;
    const first = shown % field.own;
    const others = field.beside.map((_, k) => (1 + 2 * k) * field.own + first);
    const values = this.values();
    const drawn = isDifference ? [[shown, "--wave", []]] :
      [[first, "--wave", []], ...others.map((channel) => [channel, "--mark", [6, 6]])];
    for (const [channel, colour, dashes] of drawn) {
      this.curve(context, values, channel, field.range[isDifference ? shown : first], colour, dashes, density);
    }
    const [least, largest] = field.range[isDifference ? shown : first];
    this.label(context, brief(largest), 16 * density, density);
    this.label(context, brief(least), canvas.height - 6 * density, density);
    const names = drawn.map(([channel]) => field.out_names[channel]).join(" and, dashed, ");
    canvas.setAttribute("aria-label", `${names} over ${this.space.name} at ${text}`);
  }

  curve(context, values, channel, [least, largest], colour, dashes, density) {
    const { canvas, view: { field } } = this;
    const up = (value) => canvas.height * (0.95 - (0.9 * (value - least)) / (largest - least || 1));
    context.strokeStyle = cssColour(themeColour(colour));
    context.lineWidth = 2 * density;
    context.setLineDash(dashes.map((dash) => dash * density));
    context.beginPath();
    for (let i = 0; i < PROFILE_POINTS; i++) {
      context.lineTo((canvas.width * i) / (PROFILE_POINTS - 1), up(values[i * field.channels + channel]));
    }
    context.stroke();
  }

  label(context, text, bottom, density) {
    context.font = `${12 * density}px system-ui, sans-serif`;
    context.fillStyle = cssColour(themeColour("--soft"));
    context.fillText(text, 6 * density, bottom);
  }

  playOrStop() {
    this.playing = !this.playing;
    element("run").textContent = this.playing ? "Stop" : "Play";
    element("run").setAttribute("aria-pressed", String(this.playing));
    if (this.playing) this.step(performance.now());
  }

  // As much further as time has passed; from the end back to the beginning.
  step(last) {
    if (!this.playing) return;
    const now = performance.now();
    const share = (this.place - this.time.low) / (this.time.high - this.time.low) + (now - last) / 1000 / WHOLE_TIME;
    this.moveTo(share > 1 ? 0 : share);
    requestAnimationFrame(() => this.step(now));
  }
}
