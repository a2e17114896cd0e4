// A radiance field in sparse bricks, followed along rays in float64: the plain twin of `scene_gpu.js`.
//
// Convention: a ray has six numbers, its origin and its direction in the world. Its values are red, green, blue, and the
// depth of the mean place that it meets, in lengths of its direction: NaN where it meets less than half of an opacity.
// A brick holds 4^3 nodes of eight numbers: the raw density, red, green, blue, and features. Brick 0 stands for all that
// are not kept. A number is stored as the place of its value in a table, which has `levels` half floats for each of the
// eight; nodes that no ray can meet are not stored, and have the numbers of brick 0, the first ones in the table.
//
// Source: rays are marched as in `ungrid.kernels.bricks`, which names where the model comes from.

const NODES = 64; // of a brick
const AROUND = 125; // nodes of a brick and the first ones behind it
const NUMBERS = 8; // of a node
const SUMS = 7; // that a ray adds up
const HARMONICS = 16;
const FARTHEST_BRICK = 200; // in one jump
const RAW_LIMIT = 20;
const MET = 0.5; // opacity from which a ray has met something
const NEAR_PIECE = 0.05; // where rays begin in a contracted lattice, in half widths of its inner cube
const FAR_PIECE = 1e9;
const INNER = 3; // the region of the inner cube; the others have the number of their axis

// For each of a brick's nodes and the first ones behind it: which brick it belongs to, and its place there.
const LOCAL = Array.from({ length: AROUND }, (_, v) => {
  const [l, m, n] = [Math.floor(v / 25), Math.floor(v / 5) % 5, v % 5];
  return (((l >> 2) * 4 + (m >> 2) * 2 + (n >> 2)) << 6) + ((l & 3) << 4) + ((m & 3) << 2) + (n & 3);
});

// The bricks as they are marched through, made once for a page.
class Bricks {
  constructor({ blocks, arrays, places, stored, codes, table, levels, march }) {
    Object.assign(this, { blocks, levels, shape: blocks.map((count) => 4 * count) });
    this.table = Float32Array.from(arrays[table], fromHalf);
    this.halves = arrays[table];
    this.codes = spread(arrays[stored], arrays[codes]);
    const [place, kept] = [arrays[places], arrays[places].length / 3];
    this.index = new Int32Array(blocks[0] * blocks[1] * blocks[2]);
    for (let b = 0; b < kept; b++) this.index[this.at(place[b], place[kept + b], place[2 * kept + b])] = b + 1;
    this.rows = new Uint32Array((kept + 1) * AROUND);
    for (let b = 0; b < kept; b++) this.setRows(b + 1, place[b], place[kept + b], place[2 * kept + b]);
    this.cells = new Float32Array(this.rows.length);
    for (let v = 0; v < this.cells.length; v++) this.cells[v] = this.table[this.codes[NUMBERS * this.rows[v]]];
    this.isSeen = new Uint8Array(kept + 1);
    for (let v = AROUND; v < this.cells.length; v++) if (this.cells[v] > march.floor) this.isSeen[Math.floor(v / AROUND)] = 1;
    this.away = distances(this.index, this.isSeen, blocks);
  }

  at(i, j, k) {
    return (i * this.blocks[1] + j) * this.blocks[2] + k;
  }

  // The nodes of a brick from (0, 0, 0) to (4, 4, 4), of which the last ones belong to the bricks behind it.
  setRows(b, i, j, k) {
    const [x, y, z] = this.blocks;
    const isThere = (n) => i + (n >> 2) < x && j + ((n >> 1) & 1) < y && k + (n & 1) < z;
    const owners = new Uint32Array(8);
    for (let n = 0; n < 8; n++) owners[n] = isThere(n) ? this.index[this.at(i + (n >> 2), j + ((n >> 1) & 1), k + (n & 1))] : 0;
    for (let v = 0; v < AROUND; v++) {
      const owner = owners[LOCAL[v] >> 6];
      this.rows[b * AROUND + v] = owner * NODES + (LOCAL[v] & 63);
    }
  }

  number(row, c) {
    return this.table[this.levels * c + this.codes[NUMBERS * row + c]];
  }
}

function fromHalf(bits) {
  const [power, digits] = [(bits >> 10) & 31, bits & 1023];
  const size = power === 0 ? digits * 2 ** -24 : (1 + digits / 1024) * 2 ** (power - 15);
  return bits >> 15 ? -size : size;
}

// The codes of all nodes, eight for each; `stored` has a bit for every node of the kept bricks. Codes are given as
// differences from those before.
function spread(stored, codes) {
  const made = new Uint8Array(NUMBERS * (8 * stored.length + NODES));
  const count = codes.length / NUMBERS;
  const last = new Uint8Array(NUMBERS);
  for (let node = 0, next = 0; node < 8 * stored.length; node++) {
    if (!((stored[node >> 3] >> (node & 7)) & 1)) continue;
    const row = NUMBERS * (node + NODES);
    for (let c = 0; c < NUMBERS; c++) made[row + c] = last[c] += codes[c * count + next];
    next++;
  }
  return made;
}

// Chessboard distances to the next brick that can be seen: a sweep over the neighbours before every brick, and one over
// those behind it.
function distances(index, isSeen, [nx, ny, nz]) {
  const strides = [(ny + 2) * (nz + 2), nz + 2, 1];
  const found = new Uint8Array((nx + 2) * strides[0]).fill(FARTHEST_BRICK);
  const inside = new Uint32Array(index.length);
  for (let i = 0, n = 0; i < nx; i++) {
    for (let j = 0; j < ny; j++) {
      for (let k = 0; k < nz; k++, n++) inside[n] = (i + 1) * strides[0] + (j + 1) * strides[1] + k + 1;
    }
  }
  index.forEach((brick, n) => isSeen[brick] && (found[inside[n]] = 0));
  const before = [];
  for (let n = 0; n < 13; n++) {
    before.push((Math.floor(n / 9) - 1) * strides[0] + ((Math.floor(n / 3) % 3) - 1) * strides[1] + (n % 3) - 1);
  }
  const sweep = (at, sign) => {
    for (const step of before) found[at] = Math.min(found[at], found[at + sign * step] + 1);
  };
  for (let n = 0; n < inside.length; n++) sweep(inside[n], 1);
  for (let n = inside.length - 1; n >= 0; n--) sweep(inside[n], -1);
  return Uint8Array.from(inside, (at) => Math.min(found[at], FARTHEST_BRICK));
}

class SceneEvaluator {
  constructor(field) {
    field.bricks ??= new Bricks(field);
    Object.assign(this, { field, bricks: field.bricks });
    this.weights = field.decoder.map((number) => field.arrays[number]);
    this.width = this.weights[2].length / 3;
    this.inputs = new Float64Array(SUMS + HARMONICS);
    this.layers = [0, 1].map(() => new Float64Array(this.width));
    const nodes = this.bricks.shape[0];
    [this.middle, this.half] = [(nodes - 1) / 2, (nodes - 2.1) / 4]; // of a contracted lattice and its inner cube
  }

  // The values of a ray, written to `out` from `place` on.
  value(ray, out, place = 0) {
    const { colour, depth } = this.follow(ray);
    for (let c = 0; c < 3; c++) out[place + c] = colour[c];
    out[place + 3] = depth;
    return out;
  }

  // What a ray meets: its colour, opacity, mean place in the world and depth.
  follow(ray) {
    const { field, bricks } = this;
    const origin = Array.from(ray).slice(0, 3);
    const direction = Array.from(ray).slice(3, 6);
    const met = { left: 1, sums: new Float64Array(SUMS), place: [0, 0, 0] };
    const [start, along] = this.inLattice(origin, direction);
    if (field.contracted) this.marchPieces(start, along, met);
    else {
      const top = bricks.shape.map((nodes) => nodes - 1.001);
      const [begin, end] = inside(start, along, top);
      const dt = field.march.step / Math.hypot(...along);
      if (end > begin) this.march(start, along, begin, dt, Math.floor((end - begin) / dt), met);
    }
    const opacity = 1 - met.left;
    const added = this.decoded(met.sums, direction);
    const colour = added.map((part, c) => met.sums[c] + met.left * field.background[c] + opacity * part);
    const place = opacity < MET ? null : this.toWorld(met.place.map((sum) => sum / opacity));
    const squared = direction.reduce((sum, d) => sum + d * d, 0);
    const depth = place ? place.reduce((sum, p, a) => sum + (p - origin[a]) * direction[a], 0) / squared : NaN;
    return { colour, opacity, place, depth };
  }

  // A ray in the lattice's coordinates; under a projective frame from its near plane to where its point at infinity goes.
  inLattice(origin, direction) {
    const [s, d] = [transformed(this.field.frame, origin, 1), transformed(this.field.frame, direction, 0)];
    if (d[3] === 0) return [s.slice(0, 3), d.slice(0, 3)];
    const t = -s[2] / d[2];
    const start = [0, 1, 2].map((a) => (s[a] + t * d[a]) / (s[3] + t * d[3]));
    return [start, start.map((place, a) => d[a] / d[3] - place)];
  }

  toWorld(lattice) {
    const { field: { back, contracted }, middle, half } = this;
    const inner = () => expanded(lattice.map((x) => (x - middle) / half)).map((x) => middle + half * x);
    const [x, y, z, w] = transformed(back, contracted ? inner() : lattice, 1);
    return [x / w, y / w, z / w];
  }

  // A point of the world in the lattice.
  toLattice(point) {
    const { frame, contracted } = this.field;
    const [x, y, z, w] = transformed(frame, point, 1);
    const linear = [x / w, y / w, z / w];
    if (!contracted) return linear;
    const inner = linear.map((place) => (place - this.middle) / this.half);
    return contractedPlace(inner, outerAxis(inner)).map((place) => this.middle + this.half * place);
  }

  // Adds what a stretch of `count` steps of a ray meets. Written out, since it is what takes the time.
  march(start, along, begin, dt, count, met) {
    const { index, away, cells, blocks } = this.bricks;
    const { floor, least, stop, scale } = this.field.march;
    const by = blocks[1];
    const bz = blocks[2];
    for (let k = 0; k < count; ) {
      const t = begin + (k + 0.5) * dt;
      const x = start[0] + t * along[0];
      const y = start[1] + t * along[1];
      const z = start[2] + t * along[2];
      const i = Math.trunc(x);
      const j = Math.trunc(y);
      const m = Math.trunc(z);
      const at = ((i >> 2) * by + (j >> 2)) * bz + (m >> 2);
      if (away[at] > 0) {
        const leave = Math.min(
          leaving(x, along[0], i >> 2, away[at]),
          leaving(y, along[1], j >> 2, away[at]),
          leaving(z, along[2], m >> 2, away[at]),
        );
        k += Math.floor(Math.min(leave / dt, 1e6)) + 1;
        continue;
      }
      k++;
      const v = index[at] * AROUND + (i & 3) * 25 + (j & 3) * 5 + (m & 3);
      const fz = z - m;
      const c00 = cells[v] + fz * (cells[v + 1] - cells[v]);
      const c01 = cells[v + 5] + fz * (cells[v + 6] - cells[v + 5]);
      const c10 = cells[v + 25] + fz * (cells[v + 26] - cells[v + 25]);
      const c11 = cells[v + 30] + fz * (cells[v + 31] - cells[v + 30]);
      const c0 = c00 + (y - j) * (c01 - c00);
      const raw = c0 + (x - i) * (c10 + (y - j) * (c11 - c10) - c0);
      if (raw <= floor) continue;
      const passed = Math.exp(-scale * Math.log1p(Math.exp(Math.min(raw, RAW_LIMIT))));
      const share = met.left * (1 - passed);
      if (share <= least) continue;
      met.left *= passed;
      this.gather(v, [x - i, y - j, fz], share, met.sums);
      met.place[0] += share * x;
      met.place[1] += share * y;
      met.place[2] += share * z;
      if (met.left < stop) return;
    }
  }

  // Adds the colours and features at a place of a cell, times a share.
  gather(v, [fx, fy, fz], share, sums) {
    const { rows, codes, table, levels } = this.bricks;
    for (let corner = 0; corner < 8; corner++) {
      const [a, b, c] = [corner >> 2, (corner >> 1) & 1, corner & 1];
      const weight = share * (a ? fx : 1 - fx) * (b ? fy : 1 - fy) * (c ? fz : 1 - fz);
      const row = NUMBERS * rows[v + 25 * a + 5 * b + c];
      for (let f = 0; f < SUMS; f++) sums[f] += weight * table[levels * (f + 1) + codes[row + f + 1]];
    }
  }

  // Through the straight pieces of a ray in a contracted lattice, as `pieces` of the kernels has them.
  marchPieces(start, along, met) {
    const { middle, half } = this;
    const { step, stop } = this.field.march;
    const length = Math.hypot(...along);
    const [u, v] = [start.map((x) => (x - middle) / half), along.map((d) => d / length)];
    const cuts = [...crossings(u, v), FAR_PIECE];
    const at = (t, region) => contractedPlace(u.map((x, a) => x + t * v[a]), region).map((x) => middle + half * x);
    let [begin, last] = [NEAR_PIECE, -1];
    const ends = [];
    for (const end of cuts) {
      if (end - begin >= 1e-7 * end) {
        const halfway = 0.5 * (begin + end);
        const region = outerAxis(u.map((x, a) => x + halfway * v[a]));
        if (region !== last) ends.push([at(begin, region)]);
        ends.at(-1)[1] = at(end, region);
        last = region;
      }
      begin = end;
    }
    for (const [from, to] of ends) {
      const line = to.map((x, a) => x - from[a]);
      const count = Math.floor(Math.hypot(...line) / step + 0.5);
      if (count) this.march(from, line, 0, 1 / count, count, met);
      if (met.left < stop) return;
    }
  }

  // What depends on the view, of sums of colours and features seen along a direction.
  decoded(sums, direction) {
    const { inputs, layers, weights: [first, second, last], width } = this;
    const length = Math.hypot(...direction);
    inputs.set(sums);
    inputs.set(harmonics(...direction.map((d) => d / length)), SUMS);
    product(first, inputs, layers[0]);
    product(second, layers[0], layers[1]);
    const added = [0, 0, 0];
    for (let i = 0; i < width; i++) for (let c = 0; c < 3; c++) added[c] += layers[1][i] * last[3 * i + c];
    return added;
  }

  // The eight numbers at a point of the world; outside, and where no brick is kept, those of brick 0.
  numbers(point) {
    const { bricks } = this;
    const lattice = this.toLattice(point);
    const cell = lattice.map((x, a) => Math.floor(Math.max(0, Math.min(x, bricks.shape[a] - 2))));
    const isOutside = lattice.some((x, a) => x < 0 || x > bricks.shape[a] - 1);
    const brick = isOutside ? 0 : bricks.index[bricks.at(...cell.map((i) => i >> 2))];
    if (!brick) return Array.from({ length: NUMBERS }, (_, c) => bricks.number(0, c));
    const v = brick * AROUND + (cell[0] & 3) * 25 + (cell[1] & 3) * 5 + (cell[2] & 3);
    const parts = lattice.map((x, a) => x - cell[a]);
    const weight = (corner) => corner.reduce((w, side, a) => w * (side ? parts[a] : 1 - parts[a]), 1);
    return Array.from({ length: NUMBERS }, (_, c) => {
      let sum = 0;
      for (let n = 0; n < 8; n++) {
        const corner = [n >> 2, (n >> 1) & 1, n & 1];
        sum += weight(corner) * bricks.number(bricks.rows[v + 25 * corner[0] + 5 * corner[1] + corner[2]], c);
      }
      return sum;
    });
  }

  // Optical depth for each unit of the world's length.
  density(point) {
    const [raw] = this.numbers(point);
    return this.field.density_scale * (Math.max(raw, 0) + Math.log1p(Math.exp(-Math.abs(raw))));
  }

  // The colour that a point sends against a direction.
  colour(point, direction) {
    const sums = this.numbers(point).slice(1);
    return this.decoded(sums, direction).map((part, c) => part + sums[c]);
  }
}

EVALUATORS.scene = SceneEvaluator;

// A 4 x 4 matrix, row by row, times a point (w is 1) or a direction (w is 0).
function transformed(matrix, [x, y, z], w) {
  return [0, 4, 8, 12].map((r) => matrix[r] * x + matrix[r + 1] * y + matrix[r + 2] * z + matrix[r + 3] * w);
}

// How far it is along one axis to where a ray leaves the cube of bricks that cannot be seen.
function leaving(place, along, brick, away) {
  if (along === 0) return Infinity;
  const edge = 4 * brick + (along > 0 ? 4 * away : 4 - 4 * away);
  return Math.abs((edge - place) / along);
}

// The stretch of a ray within the box from 0 to `top`.
function inside(start, along, top) {
  let [begin, end] = [0, Infinity];
  for (let a = 0; a < 3; a++) {
    if (Math.abs(along[a]) < 1e-12) {
      if (start[a] < 0 || start[a] > top[a]) return [1, 0];
      continue;
    }
    const ends = [-start[a] / along[a], (top[a] - start[a]) / along[a]];
    [begin, end] = [Math.max(begin, Math.min(...ends)), Math.min(end, Math.max(...ends))];
  }
  return [begin, end];
}

// Where a ray may go to another region of a contracted lattice, ascending.
function crossings(u, v) {
  const found = [];
  for (let a = 0; a < 3; a++) {
    for (const sign of [-1, 1]) {
      for (let b = -1; b < a; b++) {
        const rate = b < 0 ? v[a] : v[a] - sign * v[b];
        const t = -(b < 0 ? u[a] - sign : u[a] - sign * u[b]) / rate;
        if (rate !== 0 && t > NEAR_PIECE && t < FAR_PIECE) found.push(t);
      }
    }
  }
  return found.sort((s, t) => s - t);
}

// The axis with the largest coordinate outside of the inner cube, or `INNER`.
function outerAxis(place) {
  let [found, largest] = [INNER, 1];
  place.forEach((x, a) => {
    if (Math.abs(x) > largest) [found, largest] = [a, Math.abs(x)];
  });
  return found;
}

// Space in the cube of half width 2; as `contract` of the kernels.
function contractedPlace(place, region) {
  if (region === INNER) return place;
  const size = Math.max(Math.abs(place[region]), 1);
  const outer = (x, a) => (a === region ? (2 - 1 / size) * Math.sign(x) : x / size);
  return place.map((x, a) => Math.max(-2, Math.min(2, outer(x, a))));
}

function expanded(place) {
  const axis = outerAxis(place);
  if (axis === INNER) return place;
  const size = 1 / Math.max(2 - Math.abs(place[axis]), 1e-6);
  return place.map((x, a) => (a === axis ? size * Math.sign(x) : x * size));
}

// The real spherical harmonics of degree 0 to 3.
function harmonics(x, y, z) {
  const [xx, yy, zz] = [x * x, y * y, z * z];
  return [
    0.28209479177387814, 0.4886025119029199 * y, 0.4886025119029199 * z, 0.4886025119029199 * x,
    1.0925484305920792 * x * y, 1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy),
    1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy), 0.5900435899266435 * y * (3 * xx - yy),
    2.890611442640554 * x * y * z, 0.4570457994644658 * y * (4 * zz - xx - yy),
    0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy), 0.4570457994644658 * x * (4 * zz - xx - yy),
    1.445305721320277 * z * (xx - yy), 0.5900435899266435 * x * (xx - 3 * yy),
  ];
}

// relu(inputs weight), weight (inputs, outputs).
function product(weight, inputs, outputs) {
  const width = outputs.length;
  outputs.fill(0);
  for (let i = 0; i < inputs.length; i++) {
    const x = inputs[i];
    if (x !== 0) for (let j = 0; j < width; j++) outputs[j] += x * weight[i * width + j];
  }
  for (let j = 0; j < width; j++) outputs[j] = Math.max(0, outputs[j]);
}
