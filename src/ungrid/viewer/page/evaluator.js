// The readable evaluator: the field's values and its gradient in float64, point by point.
//
// Convention: a point has one number for each axis, in the user's units. A stream is an array of features; stream 0 is
// the value, stream 1 + k the derivative along axis k, carried forward by the chain rule. The gradient is therefore
// exact.

class Evaluator {
  constructor(field) {
    this.field = field;
    this.encoding = makeEncoding(field.encoding, field.arrays, field.dim);
    this.layers = field.network.layers.map((layer) => new Layer(layer, field.arrays));
    this.skip = field.network.skip === null ? null : field.arrays[field.network.skip];
    this.unit = new Float64Array(field.dim);
    this.widest = Math.max(this.encoding.size, ...this.layers.map((layer) => layer.outputs));
    this.sets = [1, 1 + field.dim].map((count) => this.makeBuffers(count));
  }

  makeBuffers(count) {
    const streams = (size) => Array.from({ length: count }, () => new Float64Array(size));
    return { features: streams(this.encoding.size), one: streams(this.widest), other: streams(this.widest) };
  }

  // The values at one point, written to `out` from `place` on.
  value(point, out, place = 0) {
    const [value] = this.run(point, this.sets[0]);
    for (let c = 0; c < this.field.channels; c++) out[place + c] = value[c];
    return out;
  }

  // The values (c) and the gradient (c arrays of d) at one point.
  valueAndGradient(point) {
    const { channels, dim, scale } = this.field;
    const [value, ...slopes] = this.run(point, this.sets[1]);
    const gradient = [];
    for (let c = 0; c < channels; c++) {
      gradient.push(Array.from({ length: dim }, (_, k) => slopes[k][c] / scale[k]));
    }
    return { value: Array.from(value.subarray(0, channels)), gradient };
  }

  run(point, { features, one, other }) {
    const { axes, center, scale, value_scale, value_offset, channels } = this.field;
    for (let k = 0; k < axes.length; k++) {
      const { low, high, circle } = axes[k];
      const turns = circle ? Math.floor((point[k] - low) / (high - low)) : 0;
      this.unit[k] = (point[k] - turns * (high - low) - center[k]) / scale[k];
    }
    this.encoding.encode(this.unit, features);
    let [from, to, spare] = [features, one, other];
    for (const layer of this.layers) {
      layer.apply(from, to);
      [from, to, spare] = [to, spare, to];
    }
    for (let s = 0; s < features.length; s++) {
      if (this.skip) addProduct(this.skip, features[s], this.encoding.size, channels, from[s]);
      for (let c = 0; c < channels; c++) {
        from[s][c] = from[s][c] * value_scale[c] + (s === 0 ? value_offset[c] : 0);
      }
    }
    return from;
  }
}

function addProduct(weight, features, inputs, outputs, sums) {
  for (let j = 0; j < outputs; j++) {
    let sum = 0;
    for (let i = 0, w = j * inputs; i < inputs; i++, w++) sum += weight[w] * features[i];
    sums[j] += sum;
  }
}

class Layer {
  constructor({ weight, bias, activation, factor }, arrays) {
    this.weight = arrays[weight];
    this.bias = arrays[bias];
    this.outputs = this.bias.length;
    this.inputs = this.weight.length / this.outputs;
    this.factor = factor;
    this.activation = FUNCTIONS[activation];
  }

  apply(from, to) {
    const { weight, bias, inputs, outputs, factor } = this;
    const { value, slope } = this.activation;
    for (let j = 0; j < outputs; j++) {
      let sum = bias[j];
      const row = j * inputs;
      for (let i = 0; i < inputs; i++) sum += weight[row + i] * from[0][i];
      to[0][j] = value(factor * sum);
      for (let s = 1; s < from.length; s++) {
        let rate = 0;
        for (let i = 0; i < inputs; i++) rate += weight[row + i] * from[s][i];
        to[s][j] = slope(factor * sum) * factor * rate;
      }
    }
  }
}

class RidgeEncoding {
  constructor({ encoding, arrays, dim }) {
    this.rows = arrays[encoding.rows];
    this.shifts = arrays[encoding.shifts];
    this.functions = encoding.functions.map((name) => FUNCTIONS[name]);
    this.dim = dim;
    this.size = this.shifts.length;
  }

  encode(unit, streams) {
    for (let j = 0; j < this.size; j++) {
      let sum = this.shifts[j];
      for (let k = 0; k < this.dim; k++) sum += this.rows[j * this.dim + k] * unit[k];
      streams[0][j] = this.functions[j].value(sum);
      for (let s = 1; s < streams.length; s++) {
        streams[s][j] = this.functions[j].slope(sum) * this.rows[j * this.dim + s - 1];
      }
    }
  }
}

class GridEncoding {
  constructor({ encoding, arrays, dim }) {
    Object.assign(this, { dim, order: encoding.order, extent: encoding.extent, levels: encoding.levels });
    this.table = arrays[encoding.table];
    this.size = encoding.levels.reduce((sum, level) => sum + level.features, 0);
    this.taps = Array.from({ length: dim }, () => new Float64Array(encoding.order + 1));
    this.rates = Array.from({ length: dim }, () => new Float64Array(encoding.order + 1));
    this.first = new Int32Array(dim);
    this.tap = new Int32Array(dim);
  }

  encode(unit, streams) {
    let column = 0;
    for (const stream of streams) stream.fill(0);
    for (const level of this.levels) {
      for (let k = 0; k < this.dim; k++) this.setTaps(unit[k], k, level, streams.length > 1);
      this.sumTaps(level, 0, 0, 1, streams, column);
      column += level.features;
    }
  }

  // The first node along an axis, the weights of its taps, and their derivatives: none outside the box.
  setTaps(place, k, level, needsRates) {
    const extent = this.extent[k];
    const t = Math.min(extent, Math.max(-extent, place)) * level.scale[k] + level.shift[k];
    const cell = Math.floor(this.order === 2 ? t + 0.5 : t);
    this.first[k] = this.order === 1 ? cell : cell - 1;
    splineTaps(t - cell, this.order, this.taps[k]);
    if (needsRates) splineRates(t - cell, this.order, Math.abs(place) <= extent ? level.scale[k] : 0, this.rates[k]);
  }

  // Adds weight times node over all taps of the axes from `k` on.
  sumTaps(level, k, row, weight, streams, column) {
    const last = k === this.dim - 1;
    for (let tap = 0; tap <= this.order; tap++) {
      this.tap[k] = tap;
      const node = row * level.nodes[k] + this.first[k] + tap;
      const product = weight * this.taps[k][tap];
      if (last) this.addNode(level, level.start + node * level.features, product, streams, column);
      else this.sumTaps(level, k + 1, node, product, streams, column);
    }
  }

  addNode(level, place, weight, streams, column) {
    for (let f = 0; f < level.features; f++) streams[0][column + f] += weight * this.table[place + f];
    for (let s = 1; s < streams.length; s++) {
      let rate = 1;
      for (let k = 0; k < this.dim; k++) rate *= (k === s - 1 ? this.rates : this.taps)[k][this.tap[k]];
      for (let f = 0; f < level.features; f++) streams[s][column + f] += rate * this.table[place + f];
    }
  }
}

// Uniform B-splines at the place f in a cell: from -1/2 to 1/2 for order 2, else from 0 to 1.
function splineTaps(f, order, out) {
  if (order === 1) {
    out[0] = 1 - f;
    out[1] = f;
  } else if (order === 2) {
    out[0] = (0.5 - f) ** 2 / 2;
    out[1] = 0.75 - f * f;
    out[2] = (0.5 + f) ** 2 / 2;
  } else {
    out[0] = (1 - f) ** 3 / 6;
    out[1] = (4 - 6 * f * f + 3 * f ** 3) / 6;
    out[2] = (1 + 3 * f + 3 * f * f - 3 * f ** 3) / 6;
    out[3] = f ** 3 / 6;
  }
}

function splineRates(f, order, scale, out) {
  if (order === 1) {
    out[0] = -scale;
    out[1] = scale;
  } else if (order === 2) {
    out[0] = scale * (f - 0.5);
    out[1] = -2 * scale * f;
    out[2] = scale * (f + 0.5);
  } else {
    out[0] = (-scale * (1 - f) ** 2) / 2;
    out[1] = scale * (1.5 * f * f - 2 * f);
    out[2] = scale * (0.5 + f - 1.5 * f * f);
    out[3] = (scale * f * f) / 2;
  }
}
