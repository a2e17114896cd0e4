// The field of one axis on regular points: rows of any density, and the whole sound at its rate, a part at a time.
//
// Convention: a row is { start, step, count } in the user's units; its values are channel after channel for every
// point.

const GPU_PAYS = 20000; // products of one evaluation above which rows are computed by the shaders
const ROW_WIDTH = 64; // a row is folded into lattices of this width
const SLICE = 25; // milliseconds of work before the page may answer

class Rows {
  constructor(field, engine) {
    Object.assign(this, { field, engine, evaluator: makeEvaluator(field) });
    this.onGpu = engine instanceof GpuEngine && engine.lattice.cost > GPU_PAYS;
    this.rate = this.onGpu ? 1 : 50; // points a millisecond, until it is measured
  }

  // The values of a row; `go` says after every slice whether they are still wanted.
  async fill({ start, step, count }, go) {
    const { channels } = this.field;
    const values = new Float32Array(count * channels);
    for (let begin = 0; begin < count; ) {
      const size = Math.min(count - begin, Math.max(ROW_WIDTH, Math.round(this.rate * SLICE)));
      const began = performance.now();
      values.set(this.part(start + begin * step, step, size), begin * channels);
      this.rate = 0.5 * this.rate + (0.5 * size) / Math.max(0.5, performance.now() - began);
      begin += size;
      if (begin < count) await new Promise((resolve) => setTimeout(resolve, 0));
      if (!go()) return null;
    }
    return values;
  }

  part(start, step, count) {
    const { field, evaluator } = this;
    if (this.onGpu) return this.folded(start, step, count);
    const values = new Float64Array(count * field.channels);
    for (let i = 0; i < count; i++) evaluator.value([start + i * step], values, i * field.channels);
    return values;
  }

  folded(start, step, count) {
    const { center, scale, channels } = this.field;
    const unit = step / scale[0];
    const view = { origin: [(start - center[0]) / scale[0]], across: [unit], down: [ROW_WIDTH * unit] };
    const rows = Math.ceil(count / ROW_WIDTH);
    return this.engine.sample(view, ROW_WIDTH, rows).flat().slice(0, count * channels);
  }
}

const LOWEST_RATE = 8000; // that every browser plays
const HIGHEST_RATE = 96000;

// The whole sound, computed while nothing else is to do.
class Sound {
  constructor(field, rows) {
    Object.assign(this, { field, rows, known: 0, coming: null });
    const [axis] = field.axes;
    const given = field.metadata.sample_rate ?? 1 / (field.spacing?.[0] ?? (axis.high - axis.low) / 4096);
    this.rate = field.kind === "audio" ? Math.min(HIGHEST_RATE, Math.max(LOWEST_RATE, given)) : given;
    this.count = Math.max(1, Math.round((axis.high - axis.low) * this.rate));
    this.values = new Float32Array(this.count * field.channels);
  }

  get share() {
    return this.known / this.count;
  }

  // Goes on until all is known or `idle()` is false; who asks while a part is being computed waits for it.
  async extend(idle) {
    while (this.known < this.count && idle()) {
      this.coming ??= this.nextPart().finally(() => (this.coming = null));
      await this.coming;
    }
  }

  async nextPart() {
    const { rows, field, rate } = this;
    const count = Math.min(this.count - this.known, Math.max(ROW_WIDTH, Math.round(rows.rate * SLICE)));
    const row = { start: field.axes[0].low + (this.known + 0.5) / rate, step: 1 / rate, count };
    this.values.set(await rows.fill(row, () => true), this.known * field.channels);
    this.known += count;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  // The least and the largest value of a channel between two places, or null where they are not known yet.
  extremes(low, high, channel) {
    const { axes, channels } = this.field;
    const first = Math.max(0, Math.floor((low - axes[0].low) * this.rate));
    const end = Math.min(this.count, Math.ceil((high - axes[0].low) * this.rate));
    if (end > this.known) return null;
    let [least, largest] = [Infinity, -Infinity];
    for (let i = first; i < end; i++) {
      const value = this.values[i * channels + channel];
      if (value < least) least = value;
      if (value > largest) largest = value;
    }
    return [least, largest];
  }

  // An AudioBuffer of the part between two places.
  buffer(context, low, high) {
    const { channels, axes } = this.field;
    const first = Math.max(0, Math.floor((low - axes[0].low) * this.rate));
    const end = Math.min(this.count, Math.max(first + 1, Math.ceil((high - axes[0].low) * this.rate)));
    const made = context.createBuffer(channels, end - first, this.rate);
    for (let c = 0; c < channels; c++) {
      const data = made.getChannelData(c);
      for (let i = first; i < end; i++) data[i - first] = Math.min(1, Math.max(-1, this.values[i * channels + c]));
    }
    return made;
  }
}
