// Radiance fields with WebGL2: rays are marched through textures of the bricks, then a small network is added to what they
// met.
//
// Convention: a view is a lattice of rays { origin, across, down }, each of six numbers, of which only directions change.
// The bricks that can be seen lie in an atlas of 5^3 texels each, so that the hardware may interpolate; the last axis of
// the lattice is the first one of a texture. The texture `bricks` has for each brick its place in the atlas, and in the
// upper eight bits how far the next brick is that can be seen.

const MARCH_TILE = 128; // rays along the sides of what is marched at once

class SceneEngine extends GpuEngine {
  static canDraw() {
    return true;
  }

  makeLattice() {
    return new SceneProgram(this);
  }
}

class SceneProgram {
  constructor(engine) {
    const { gl, field } = engine;
    Object.assign(this, { engine, gl, field, cost: field.cost, tile: { width: MARCH_TILE, height: MARCH_TILE } });
    this.seen = seenBricks(engine);
    this.textures = null;
    this.marching = new Program(gl, marchShader(field));
    this.decoding = new Program(gl, decodeShader(field));
    this.met = Object.fromEntries(["sums", "more", "places"].map((name) => [name, engine.texture(MARCH_TILE, MARCH_TILE, 4)]));
    const framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    const outputs = Object.values(this.met).map(({ texture }, k) => {
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + k, gl.TEXTURE_2D, texture, 0);
      return gl.COLOR_ATTACHMENT0 + k;
    });
    gl.drawBuffers(outputs);
    this.target = { framebuffer };
  }

  // A texture in three dimensions; interpolated where its numbers are half floats.
  volume(internal, format, type, [width, height, depth], numbers) {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage3D(gl.TEXTURE_3D, 0, internal, width, height, depth, 0, format, type, numbers);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
    const filter = type === gl.HALF_FLOAT ? gl.LINEAR : gl.NEAREST;
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, name, filter);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) {
      gl.texParameteri(gl.TEXTURE_3D, name, gl.CLAMP_TO_EDGE);
    }
    return { texture };
  }

  atlas({ index, away, rows, codes, halves, levels, blocks }) {
    const { gl, seen: { bricks: seen, side, size } } = this;
    const slots = new Uint32Array(rows.length / AROUND);
    seen.forEach((brick, slot) => (slots[brick] = slot));
    const texels = size[0] * size[1] * size[2];
    const [densities, colours, features] = [1, 4, 4].map((components) => new Uint16Array(components * texels));
    const within = LOCAL.map((_, v) => (Math.floor(v / 25) * size[1] + (Math.floor(v / 5) % 5)) * size[0] + (v % 5));
    seen.forEach((brick, slot) => {
      const [x, y, z] = [slot % side, Math.floor(slot / side) % side, Math.floor(slot / side ** 2)].map((n) => 5 * n);
      const first = (z * size[1] + y) * size[0] + x;
      for (let v = 0; v < AROUND; v++) {
        const row = NUMBERS * rows[AROUND * brick + v];
        const texel = first + within[v];
        densities[texel] = halves[codes[row]];
        for (let c = 0; c < 4; c++) colours[4 * texel + c] = halves[levels * (c + 1) + codes[row + c + 1]];
        for (let c = 0; c < 3; c++) features[4 * texel + c] = halves[levels * (c + 5) + codes[row + c + 5]];
      }
    });
    const entries = new Uint32Array(index.length).map((_, n) => away[n] * 2 ** 24 + slots[index[n]]);
    return {
      bricks: this.volume(gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT, [...blocks].reverse(), entries),
      densities: this.volume(gl.R16F, gl.RED, gl.HALF_FLOAT, size, densities),
      colours: this.volume(gl.RGBA16F, gl.RGBA, gl.HALF_FLOAT, size, colours),
      features: this.volume(gl.RGBA16F, gl.RGBA, gl.HALF_FLOAT, size, features),
    };
  }

  // The three layers below each other: a texel is what one input gives to four outputs.
  weights() {
    const { field } = this;
    const layers = field.decoder.map((number) => field.arrays[number]);
    const { groups, columns, height } = decoderSize(field);
    const numbers = new Float32Array(4 * columns * height);
    let row = 0;
    for (const [k, layer] of layers.entries()) {
      const outputs = k < 2 ? layers[2].length / 3 : 3;
      for (let i = 0; i < layer.length / outputs; i++) {
        for (let j = 0; j < outputs; j++) numbers[4 * ((row + (j >> 2)) * columns + i) + (j & 3)] = layer[i * outputs + j];
      }
      row += k < 2 ? groups : 1;
    }
    return this.engine.texture(columns, height, 4, numbers);
  }

  fill(target, { x, y, width, height }, view, n) {
    const { engine, field, seen: { size } } = this;
    this.textures ??= { ...this.atlas(field.bricks), weights: this.weights() }; // after the first frame, which needs none
    const side = Math.floor(MARCH_TILE / n);
    for (const part of tiles(width, height, { width: side, height: side })) {
      const [left, top] = [x + part.x, y + part.y];
      const { origin, across, down } = divided(shifted(view, left, top), n);
      const rays = { eye: origin.slice(0, 3), first: origin.slice(3), across: across.slice(3), down: down.slice(3) };
      engine.into(this.target, 0, 0, part.width * n, part.height * n);
      this.marching.run({ ...this.textures, ...rays, frame: field.frame, size });
      engine.into(target, left, top, part.width, part.height);
      const { back, background } = field;
      this.decoding.run({ ...this.met, ...this.textures, ...rays, back, background, corner: [left, top], n });
    }
  }
}

// The bricks that can be seen, how many of them stand in a row of the atlas, and its texels.
function seenBricks({ gl, field }) {
  field.bricks ??= new Bricks(field);
  const { isSeen, blocks } = field.bricks;
  const bricks = Array.from(isSeen.keys()).filter((brick) => isSeen[brick]);
  const side = Math.max(1, Math.ceil(Math.cbrt(bricks.length)));
  const size = [side, side, Math.max(1, Math.ceil(bricks.length / side ** 2))].map((count) => 5 * count);
  if (Math.max(...size, ...blocks) > gl.getParameter(gl.MAX_3D_TEXTURE_SIZE)) throw new Error("too many bricks");
  return { bricks, side, size };
}

function decoderSize({ decoder, arrays }) {
  const width = arrays[decoder[2]].length / 3;
  const groups = Math.ceil(width / 4);
  return { groups, columns: Math.max(SUMS + HARMONICS + 1, 4 * groups), height: 2 * groups + 1 };
}

const VOLUMES = `${HEADER}precision highp sampler3D;
precision highp usampler3D;
uniform vec3 eye, first, across, down;
`;

// Where a contracted lattice has its inner cube, and the map of space into it and out of it.
function contractionText({ blocks }) {
  const nodes = 4 * blocks[0];
  return `
const float MIDDLE = ${number((nodes - 1) / 2)}, HALF = ${number((nodes - 2.1) / 4)};
int outer_axis(vec3 place) {
  vec3 size = abs(place);
  float largest = max(max(size.x, size.y), size.z);
  return largest <= 1.0 ? ${INNER} : size.x == largest ? 0 : size.y == largest ? 1 : 2;
}
vec3 contracted(vec3 place, int region) {
  if (region == ${INNER}) return clamp(place, -2.0, 2.0);
  float size = max(abs(place[region]), 1.0), side = sign(place[region]);
  place /= size;
  place[region] = (2.0 - 1.0 / size) * side;
  return clamp(place, -2.0, 2.0);
}
vec3 expanded(vec3 place) {
  int axis = outer_axis(place);
  if (axis == ${INNER}) return place;
  float size = 1.0 / max(2.0 - abs(place[axis]), 1e-6), side = sign(place[axis]);
  place *= size;
  place[axis] = size * side;
  return place;
}`;
}

// A stretch of a ray, as `SceneEvaluator.march` has it.
function marchText({ march, blocks }) {
  return `
uniform usampler3D bricks;
uniform sampler3D densities, colours, features;
uniform mat4 frame;
uniform ivec3 size;
layout(location = 0) out vec4 sums;
layout(location = 1) out vec4 more;
layout(location = 2) out vec4 places;
const vec3 TOP = vec3(${blocks.map((count) => number(4 * count - 1.001)).join(", ")});
const float STEP = ${number(march.step)};
float left = 1.0;
void march(vec3 start, vec3 along, float begin, float dt, int count) {
  vec3 inverse = 1.0 / mix(along, vec3(1e-30), equal(along, vec3(0.0)));
  int side = size.x / 5;
  for (int k = 0; k < count;) {
    vec3 place = start + (begin + (float(k) + 0.5) * dt) * along;
    ivec3 brick = clamp(ivec3(place), ivec3(0), ivec3(TOP)) >> 2;
    uint entry = texelFetch(bricks, brick.zyx, 0).r;
    float away = float(entry >> 24);
    if (away > 0.0) {
      vec3 edge = 4.0 * (vec3(brick) + mix(vec3(1.0 - away), vec3(away), greaterThan(along, vec3(0.0))));
      vec3 leave = abs((edge - place) * inverse);
      k += int(min(min(min(leave.x, leave.y), leave.z) / dt, 1e6)) + 1;
      continue;
    }
    k++;
    int slot = int(entry & 0xffffffu);
    vec3 corner = 5.0 * vec3(slot % side, (slot / side) % side, slot / (side * side));
    vec3 texel = (corner + 0.5 + (place - 4.0 * vec3(brick)).zyx) / vec3(size);
    float raw = textureLod(densities, texel, 0.0).r;
    if (raw <= ${number(march.floor)}) continue;
    float passed = exp(-min(${number(march.scale)} * log(1.0 + exp(min(raw, ${number(RAW_LIMIT)}))), 80.0));
    float share = left * (1.0 - passed);
    if (share <= ${number(march.least)}) continue;
    left *= passed;
    sums += share * textureLod(colours, texel, 0.0);
    more += share * textureLod(features, texel, 0.0);
    places.xyz += share * place;
    if (left < ${number(march.stop)}) return;
  }
}`;
}

function marchShader(field) {
  return `${VOLUMES}${marchText(field)}
${field.contracted ? contractionText(field) + piecesText(field) : BOX}
void main() {
  sums = vec4(0.0);
  more = vec4(0.0);
  places = vec4(0.0);
  vec3 direction = first + (gl_FragCoord.x - 0.5) * across + (gl_FragCoord.y - 0.5) * down;
  vec4 s = frame * vec4(eye, 1.0), d = frame * vec4(direction, 0.0);
  vec3 start = s.xyz, along = d.xyz;
  if (d.w != 0.0) {
    s -= s.z / d.z * d;
    start = s.xyz / s.w;
    along = d.xyz / d.w - start;
  }
  follow(start, along);
  more.w = left;
}`;
}

const BOX = `
void follow(vec3 start, vec3 along) {
  vec3 inverse = 1.0 / mix(along, vec3(1e-12), lessThan(abs(along), vec3(1e-12)));
  vec3 one = -start * inverse, other = (TOP - start) * inverse;
  vec3 near = min(one, other), far = max(one, other);
  float begin = max(max(near.x, near.y), max(near.z, 0.0)), end = min(min(far.x, far.y), far.z);
  float dt = STEP / length(along);
  if (end > begin) march(start, along, begin, dt, int((end - begin) / dt));
}`;

// The straight pieces of a ray in a contracted lattice, one after another.
function piecesText({ march }) {
  return `
const float LAST = ${number(FAR_PIECE)};
float next_crossing(vec3 u, vec3 v, float t) {
  float after = t * (1.0 + 1e-6), found = LAST;
  for (int a = 0; a < 3; a++) {
    for (int b = -1; b < a; b++) {
      for (float side = -1.0; side < 2.0; side += 2.0) {
        float rate = b < 0 ? v[a] : v[a] - side * v[b], apart = b < 0 ? u[a] - side : u[a] - side * u[b];
        float at = -apart / rate;
        if (rate != 0.0 && at > after) found = min(found, at);
      }
    }
  }
  return found;
}
int region_between(vec3 u, vec3 v, float begin, float end) {
  return outer_axis(u + 0.5 * (begin + end) * v);
}
void follow(vec3 start, vec3 along) {
  vec3 u = (start - MIDDLE) / HALF, v = normalize(along);
  float begin = ${number(NEAR_PIECE)};
  for (int n = 0; n < 13 && begin < 0.99 * LAST && left >= ${number(march.stop)}; n++) {
    float end = next_crossing(u, v, begin);
    int region = region_between(u, v, begin, end);
    for (int m = 0; m < 12 && end < 0.99 * LAST; m++) {
      float later = next_crossing(u, v, end);
      if (region_between(u, v, end, later) != region) break;
      end = later;
    }
    vec3 from = MIDDLE + HALF * contracted(u + begin * v, region), to = MIDDLE + HALF * contracted(u + end * v, region);
    int count = int(length(to - from) / STEP + 0.5);
    if (count > 0) march(from, to - from, 0.0, 1.0 / float(count), count);
    begin = end;
  }
}`;
}

// Colours and depths of what the rays met, means over n x n of them.
function decodeShader(field) {
  const { groups } = decoderSize(field);
  const place = field.contracted ? "MIDDLE + HALF * expanded((lattice - MIDDLE) / HALF)" : "lattice";
  const layer = (k, from, count, to) => `
  for (int j = 0; j < ${groups}; j++) {
    vec4 sum = vec4(0.0);
    for (int i = 0; i < ${count}; i++) sum += four(${k * groups} + j, i, ${from}[i]);
    ${to}[j] = max(sum, 0.0);
  }`;
  return `${VOLUMES}${field.contracted ? contractionText(field) : ""}
uniform sampler2D sums, more, places, weights;
uniform mat4 back;
uniform vec3 background;
uniform ivec2 corner;
uniform int n;
out vec4 value;
vec4 four(int row, int i, vec4 x) {
  return x.x * texelFetch(weights, ivec2(4 * i, row), 0) + x.y * texelFetch(weights, ivec2(4 * i + 1, row), 0)
    + x.z * texelFetch(weights, ivec2(4 * i + 2, row), 0) + x.w * texelFetch(weights, ivec2(4 * i + 3, row), 0);
}
vec3 decoded(vec4 a, vec4 b, vec3 d) {
  float xx = d.x * d.x, yy = d.y * d.y, zz = d.z * d.z;
  vec4 inputs[6], one[${groups}], two[${groups}];
  inputs[0] = a;
  inputs[1] = vec4(b.xyz, 0.28209479177387814);
  inputs[2] = vec4(0.4886025119029199 * d.yzx, 1.0925484305920792 * d.x * d.y);
  inputs[3] = vec4(1.0925484305920792 * d.y * d.z, 0.31539156525252005 * (2.0 * zz - xx - yy),
    1.0925484305920792 * d.x * d.z, 0.5462742152960396 * (xx - yy));
  inputs[4] = vec4(0.5900435899266435 * d.y * (3.0 * xx - yy), 2.890611442640554 * d.x * d.y * d.z,
    0.4570457994644658 * d.y * (4.0 * zz - xx - yy), 0.3731763325901154 * d.z * (2.0 * zz - 3.0 * xx - 3.0 * yy));
  inputs[5] = vec4(0.4570457994644658 * d.x * (4.0 * zz - xx - yy), 1.445305721320277 * d.z * (xx - yy),
    0.5900435899266435 * d.x * (xx - 3.0 * yy), 0.0);
  ${layer(0, "inputs", 6, "one")}${layer(1, "one", groups, "two")}
  vec4 sum = vec4(0.0);
  for (int i = 0; i < ${groups}; i++) sum += four(${2 * groups}, i, two[i]);
  return sum.rgb;
}
float depth(vec3 lattice, vec3 direction) {
  vec4 world = back * vec4(${place}, 1.0);
  return min(dot(world.xyz / world.w - eye, direction) / dot(direction, direction), 1e20);
}
void main() {
  ivec2 at = (ivec2(gl_FragCoord.xy) - corner) * n;
  value = vec4(0.0);
  for (int j = 0; j < n; j++) for (int i = 0; i < n; i++) {
    ivec2 ray = at + ivec2(i, j);
    vec3 direction = first + float(ray.x) * across + float(ray.y) * down;
    vec4 a = texelFetch(sums, ray, 0), b = texelFetch(more, ray, 0);
    vec4 found = vec4(a.rgb + b.w * background, ${number(NONE)});
    if (b.w < 1.0) found.rgb += (1.0 - b.w) * decoded(a, b, normalize(direction));
    if (1.0 - b.w >= ${number(MET)}) found.w = depth(texelFetch(places, ray, 0).xyz / (1.0 - b.w), direction);
    value += found / float(n * n);
  }
}`;
}
