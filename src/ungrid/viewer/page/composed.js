// Fields that are made of others, and what is shown beside a solution; all with the interface of `Evaluator`.

function makeEvaluator(field) {
  const made = EVALUATORS[field.kindOfField];
  if (!field.beside.length) return new made(field);
  const own = { ...field, channels: field.own, out_names: field.out_names.slice(0, field.own), beside: [] };
  return new Compared(field, new made(own));
}

// A part of a field as a field of its own, with the page's arrays.
function partOf(field, part) {
  return { ...part, arrays: field.arrays, dim: part.axes.length, channels: part.out_names.length, beside: [] };
}

// The field of the slab that a point lies in; at a cut that of the later one.
class SlabEvaluator {
  constructor(field) {
    this.field = field;
    this.parts = field.parts.map((part) => makeEvaluator(partOf(field, part)));
    this.cuts = field.parts.slice(1).map((part) => part.axes.at(-1).low);
  }

  part(point) {
    return this.parts[this.cuts.filter((cut) => point[point.length - 1] >= cut).length];
  }

  value(point, out, place = 0) {
    return this.part(point).value(point, out, place);
  }

  valueAndGradient(point) {
    return this.part(point).valueAndGradient(point);
  }
}

// Between two times the cubic that has value and rate at both.
class SteppedEvaluator {
  constructor(field) {
    Object.assign(this, { field, space: makeEvaluator(partOf(field, field.space)), times: field.times });
    this.found = new Float64Array(field.space.out_names.length);
  }

  // The numbers of the space's values at the interval's ends, and their weights and the weights' rates.
  weights(t) {
    const { times } = this;
    const first = Math.max(0, Math.min(times.length - 2, times.filter((time) => t >= time).length - 1));
    const step = times[first + 1] - times[first];
    const s = (t - times[first]) / step;
    const places = [first, first + 1, times.length + first, times.length + first + 1];
    const weights = [(1 + 2 * s) * (1 - s) ** 2, s * s * (3 - 2 * s), step * s * (1 - s) ** 2, -step * s * s * (1 - s)];
    const bend = (6 * s * (1 - s)) / step;
    return { places, weights, rates: [-bend, bend, (1 - s) * (1 - 3 * s), s * (3 * s - 2)] };
  }

  value(point, out, place = 0) {
    const { channels } = this.field;
    const { places, weights } = this.weights(point[point.length - 1]);
    this.space.value(point.slice(0, -1), this.found);
    for (let c = 0; c < channels; c++) {
      out[place + c] = weights.reduce((sum, weight, k) => sum + weight * this.found[places[k] * channels + c], 0);
    }
    return out;
  }

  valueAndGradient(point) {
    const { channels } = this.field;
    const { places, weights, rates } = this.weights(point[point.length - 1]);
    const { value, gradient } = this.space.valueAndGradient(point.slice(0, -1));
    const sum = (numbers, factors, c) => factors.reduce((s, w, k) => s + w * numbers[places[k] * channels + c], 0);
    const spatial = point.slice(0, -1).map((_, axis) => gradient.map((row) => row[axis]));
    const all = Array.from({ length: channels }, (_, c) => c);
    return {
      value: all.map((c) => sum(value, weights, c)),
      gradient: all.map((c) => [...spatial.map((row) => sum(row, weights, c)), sum(value, rates, c)]),
    };
  }
}

// The values, then those of every solution beside them, then the differences, which lie on a lattice.
class Compared {
  constructor(field, evaluator) {
    Object.assign(this, { field, evaluator, own: field.own });
    this.lattices = field.beside.map((beside) => new Lattice(beside, field.arrays[beside.values], this.own));
    this.apart = new Float64Array(this.own);
  }

  value(point, out, place = 0) {
    this.evaluator.value(point, out, place);
    this.lattices.forEach((lattice, k) => {
      lattice.value(point, this.apart);
      for (let c = 0; c < this.own; c++) {
        const at = place + (1 + 2 * k) * this.own + c;
        out[at] = out[place + c] - this.apart[c];
        out[at + this.own] = this.apart[c];
      }
    });
    return out;
  }

  valueAndGradient(point) {
    const { gradient } = this.evaluator.valueAndGradient(point);
    const value = Array.from(this.value(point, new Float64Array(this.field.channels)));
    return { value, gradient: value.map((_, c) => gradient[c] ?? point.map(() => NaN)) };
  }
}

// Values between the points of a lattice, linear along every axis; of points without a value the others count.
class Lattice {
  constructor({ low, step, shape }, values, channels) {
    Object.assign(this, { low, step, shape, values, channels });
    this.corners = 1 << shape.length;
  }

  value(point, out) {
    let total = 0;
    out.fill(0);
    for (let corner = 0; corner < this.corners; corner++) {
      let [row, weight] = [0, 1];
      for (let k = 0; k < this.shape.length; k++) {
        const last = this.shape[k] - 1;
        const place = Math.max(0, Math.min(last, (point[k] - this.low[k]) / this.step[k]));
        const cell = Math.min(Math.floor(place), Math.max(0, last - 1));
        const up = (corner >> k) & 1;
        row = row * this.shape[k] + Math.min(cell + up, last);
        weight *= up ? place - cell : 1 - place + cell;
      }
      if (weight === 0 || Number.isNaN(this.values[row * this.channels])) continue;
      total += weight;
      for (let c = 0; c < this.channels; c++) out[c] += weight * this.values[row * this.channels + c];
    }
    for (let c = 0; c < this.channels; c++) out[c] /= total;
    return out;
  }
}

// Whether points of the plane lie in the domain: inside an odd number of its outlines.
class Outline {
  constructor(field) {
    this.loops = field.outline ?? [];
  }

  contains([x, y]) {
    if (!this.loops.length) return true;
    let inside = false;
    for (const loop of this.loops) {
      for (let i = 0, j = loop.length - 1; i < loop.length; j = i++) {
        const [[x0, y0], [x1, y1]] = [loop[i], loop[j]];
        if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
      }
    }
    return inside;
  }
}

const EVALUATORS = { network: Evaluator, slabs: SlabEvaluator, steps: SteppedEvaluator }; // by kinds of fields
