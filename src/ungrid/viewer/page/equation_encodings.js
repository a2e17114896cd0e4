// Encodings of solutions of equations, in float64: the formulas of the Python classes of the same names.
//
// Convention: streams as in `evaluator.js`. Complex numbers are pairs [real, imaginary]; z is (x, y) about a corner,
// turned so that its first edge lies on the positive real axis.

const NEAREST = 1e-12; // to a corner: there the functions are evaluated beside it

function makeEncoding(encoding, arrays, dim) {
  const made = { grid: GridEncoding, ridges: RidgeEncoding, joined: JoinedEncoding, products: ProductsEncoding,
    separable: SeparableEncoding, corner: CornerEncoding, elastic: ElasticEncoding, multipoles: MultipolesEncoding };
  return new made[encoding.kind]({ encoding, arrays, dim });
}

// Views of a part of every stream, made once for every set of streams.
class Views {
  constructor(first, size) {
    Object.assign(this, { first, size, known: new WeakMap() });
  }

  of(streams) {
    if (!this.known.has(streams)) {
      this.known.set(streams, streams.map((stream) => stream.subarray(this.first, this.first + this.size)));
    }
    return this.known.get(streams);
  }
}

class JoinedEncoding {
  constructor({ encoding, arrays, dim }) {
    this.parts = encoding.parts.map((part) => makeEncoding(part, arrays, dim));
    this.size = 0;
    this.views = this.parts.map(({ size }) => {
      this.size += size;
      return new Views(this.size - size, size);
    });
  }

  encode(unit, streams) {
    this.parts.forEach((part, k) => part.encode(unit, this.views[k].of(streams)));
  }
}

// Features of space times Legendre polynomials of time, which run fastest.
class ProductsEncoding {
  constructor({ encoding, arrays, dim }) {
    Object.assign(this, { dim, count: encoding.degree + 1, extent: encoding.extent });
    this.space = makeEncoding(encoding.space, arrays, dim - 1);
    this.size = this.space.size * this.count;
    this.spatial = [1, dim].map((n) => Array.from({ length: n }, () => new Float64Array(this.space.size)));
  }

  encode(unit, streams) {
    const { dim, count, extent } = this;
    const spatial = this.spatial[streams.length > 1 ? 1 : 0];
    this.space.encode(unit, spatial);
    const [time, rates] = legendre(unit[dim - 1] / extent, count);
    for (let j = 0; j < this.size; j++) {
      const [feature, n] = [Math.floor(j / count), j % count];
      streams[0][j] = spatial[0][feature] * time[n];
      for (let s = 1; s < streams.length; s++) {
        streams[s][j] = s === dim ? (spatial[0][feature] * rates[n]) / extent : spatial[s][feature] * time[n];
      }
    }
  }
}

// Polynomials and their derivatives by their recurrences.
function legendre(s, count) {
  const [values, rates] = [[1, s], [0, 1]];
  for (let n = 2; n < count; n++) {
    values.push(((2 * n - 1) * s * values[n - 1] - (n - 1) * values[n - 2]) / n);
    rates.push(n * values[n - 1] + s * rates[n - 1]);
  }
  return [values, rates];
}

function chebyshev(s, count) {
  const [values, rates] = [[1, s], [0, 1]];
  for (let n = 2; n < count; n++) {
    values.push(2 * s * values[n - 1] - values[n - 2]);
    rates.push(2 * values[n - 1] + 2 * s * rates[n - 1] - rates[n - 2]);
  }
  return [values, rates];
}

class SeparableEncoding {
  constructor({ encoding }) {
    Object.assign(this, encoding);
    this.size = encoding.counts.reduce((product, n) => product * n, 1);
  }

  encode(unit, streams) {
    const { counts, extent, size } = this;
    const axes = counts.map((count, k) => chebyshev(unit[k] / extent[k], count));
    for (let s = 0; s < streams.length; s++) {
      for (let j = 0; j < size; j++) {
        let [product, rest] = [s ? 1 / extent[s - 1] : 1, j];
        for (let k = counts.length - 1; k >= 0; k--) {
          product *= axes[k][k === s - 1 ? 1 : 0][rest % counts[k]];
          rest = Math.floor(rest / counts[k]);
        }
        streams[s][j] = product;
      }
    }
  }
}

function times([a, b], [c, d]) {
  return [a * c - b * d, a * d + b * c];
}

// z^λ for λ = [real, imaginary], with log z given.
function powerOf([a, b], [logRadius, angle]) {
  const size = Math.exp(a * logRadius - b * angle);
  const phase = b * logRadius + a * angle;
  return [size * Math.cos(phase), size * Math.sin(phase)];
}

// z^λ and its derivative by z; of a whole λ those of z^λ log z.
function powerAndRate([a, b], logarithm) {
  const [value, below] = [powerOf([a, b], logarithm), powerOf([a - 1, b], logarithm)];
  if (b !== 0 || !Number.isInteger(a)) return [value, times([a, b], below)];
  return [times(value, logarithm), times(below, [a * logarithm[0] + 1, a * logarithm[1]])];
}

// log z about a corner, with the jump of its angle at the cut.
class CornerPlace {
  constructor({ vertex, direction, angle, cut }) {
    this.opposite = cut === null ? angle / 2 : cut - Math.PI;
    const turn = direction + this.opposite;
    Object.assign(this, { vertex, c: Math.cos(turn), s: Math.sin(turn) });
    this.slope = [Math.cos(direction), -Math.sin(direction)]; // dz / dx
  }

  logarithm([x, y]) {
    const [dx, dy] = [x - this.vertex[0], y - this.vertex[1]];
    const [across, up] = [this.c * dx + this.s * dy, this.c * dy - this.s * dx];
    return [Math.log(Math.max(Math.hypot(across, up), NEAREST)), Math.atan2(up, across) + this.opposite];
  }
}

class CornerEncoding {
  constructor({ encoding }) {
    this.place = new CornerPlace(encoding);
    Object.assign(this, { exponents: encoding.exponents, part: encoding.cosine ? 0 : 1, size: encoding.exponents.length });
  }

  encode(unit, streams) {
    const logarithm = this.place.logarithm(unit);
    this.exponents.forEach((exponent, j) => {
      const [value, rate] = powerAndRate([exponent, 0], logarithm);
      streams[0][j] = value[this.part];
      if (streams.length === 1) return;
      const east = times(rate, this.place.slope);
      streams[1][j] = east[this.part];
      streams[2][j] = times(east, [0, 1])[this.part];
    });
  }
}

// For every power z^λ and z* z^(λ-1), real and imaginary parts.
class ElasticEncoding {
  constructor({ encoding }) {
    this.place = new CornerPlace(encoding);
    this.exponents = encoding.exponents.flatMap(([a, b]) => (b === 0 ? [[a, 0]] : [[a, b], [a, -b]]));
    this.size = 4 * this.exponents.length;
  }

  encode(unit, streams) {
    const logarithm = this.place.logarithm(unit);
    const [re, im] = powerOf([1, 0], logarithm);
    const [mirrored, slope] = [[re, -im], this.place.slope];
    this.exponents.forEach(([a, b], k) => {
      const [value, rate] = powerAndRate([a, b], logarithm);
      const [lower, lowerRate] = powerAndRate([a - 1, b], logarithm);
      this.write(streams[0], k, value, times(mirrored, lower));
      if (streams.length === 1) return;
      const [east, product] = [times(rate, slope), times(times(mirrored, lowerRate), slope)];
      const other = times([slope[0], -slope[1]], lower);
      this.write(streams[1], k, east, [product[0] + other[0], product[1] + other[1]]);
      const north = times([product[0] - other[0], product[1] - other[1]], [0, 1]);
      this.write(streams[2], k, times(east, [0, 1]), north);
    });
  }

  write(stream, k, value, product) {
    [stream[4 * k], stream[4 * k + 1], stream[4 * k + 2], stream[4 * k + 3]] = [...value, ...product];
  }
}

class MultipolesEncoding {
  constructor({ encoding }) {
    Object.assign(this, { center: encoding.center, radius: encoding.radius, order: encoding.order });
    this.size = 1 + 2 * encoding.order;
  }

  encode([x, y], streams) {
    let z = [(x - this.center[0]) / this.radius, (y - this.center[1]) / this.radius];
    if (Math.hypot(...z) < NEAREST) z = [NEAREST, 0];
    const logarithm = [Math.log(Math.hypot(...z)), Math.atan2(z[1], z[0])];
    for (let k = 0; k <= this.order; k++) {
      const value = k ? powerOf([-k, 0], logarithm) : logarithm;
      const rate = powerOf([-k - 1, 0], logarithm).map((part) => (part * (k ? -k : 1)) / this.radius);
      [value, rate, times(rate, [0, 1])].slice(0, streams.length).forEach((number, s) => {
        if (k) [streams[s][2 * k - 1], streams[s][2 * k]] = number;
        else [streams[s][0]] = number;
      });
    }
  }
}
