// The texts of the shaders. Those of a grid are made for the field: its decoder is small and stands in them as numbers.
//
// Convention: a lattice point (i, j) of a tile lies i steps across and j steps down from its first one. Features and
// layers are packed in fours. Coordinates never enter as float32: the page hands over, for every level and axis, the
// first point's cell and its place in the cell, and the two steps as whole cells and the rest; for every ridge the
// first point's phase and its steps, of sines without whole turns. So a picture stays sharp at any zoom.

const HEADER = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
`;

const CORNERS = `#version 300 es
void main() {
  gl_Position = vec4(float((gl_VertexID & 1) * 4 - 1), float((gl_VertexID & 2) * 2 - 1), 0.0, 1.0);
}`;

// A GPU's own sine may be wrong by 2^-11 or more for large arguments. Here the nearest multiple of pi is taken off in
// three parts, then follows the odd polynomial of degree 11 with the least relative error on [-pi/2, pi/2], which is
// 2e-11.
const SINES = `
float takenOff(float z, float turns) {
  return ((z - turns * 3.140625) - turns * 9.67502593994140625e-4) - turns * 1.50995802e-7;
}
float polynomial(float r) {
  float s = r * r;
  return r + r * s * (-1.6666666632e-1 + s * (8.3333313267e-3 + s * (-1.9840894512e-4
    + s * (2.7526639168e-6 - s * 2.3909595341e-8))));
}
float sine(float z) {
  float turns = round(z * 0.318309886184);
  return (int(turns) & 1) == 0 ? polynomial(takenOff(z, turns)) : -polynomial(takenOff(z, turns));
}
float cosine(float z) {
  float whole = floor(z * 0.318309886184);
  float r = takenOff(z, whole + 0.5);
  return (int(whole) & 1) == 0 ? -polynomial(r) : polynomial(r);
}
`;

const FUNCTION_TEXTS = {
  linear: "float linear(float z) { return z; }",
  sine: "",
  cosine: "",
  relu: "float relu(float z) { return max(z, 0.0); }",
  tanh: "float tanh_(float z) { float e = exp(-2.0 * abs(z)); return sign(z) * (1.0 - e) / (1.0 + e); }",
  logistic: "float logistic(float z) { return 1.0 / (1.0 + exp(-z)); }",
  silu: "float silu(float z) { return z / (1.0 + exp(-z)); }",
  softplus: "float softplus(float z) { return max(z, 0.0) + log(1.0 + exp(-abs(z))); }",
  gelu: `float gelu(float z) {
  float x = z * 0.70710678, term = x, sum = x;
  if (abs(x) > 4.0) return max(z, 0.0);
  for (int n = 1; n < 70; n++) {
    term *= 2.0 * x * x / float(2 * n + 1);
    sum += term;
  }
  return 0.5 * z * (1.0 + 1.12837917 * exp(-x * x) * sum);
}`,
  smooth_relu: `float smooth_relu(float z) {
  float u = clamp(z + 1.0, 0.0, 2.0);
  return 0.25 * u * u + max(z - 1.0, 0.0);
}`,
};
const FUNCTION_NAMES = Object.keys(FUNCTION_TEXTS);

function functionName(name) {
  return name === "tanh" ? "tanh_" : name;
}

function functionTexts(names) {
  return SINES + [...new Set(names)].map((name) => FUNCTION_TEXTS[name]).join("\n");
}

function inFours(name) {
  const f = functionName(name);
  return `vec4 in_fours(vec4 z) { return vec4(${f}(z.x), ${f}(z.y), ${f}(z.z), ${f}(z.w)); }`;
}

// The features of ridges: four at a time, one below the other in the target.
function stemShader(functions) {
  const cases = [...new Set(functions)].map((name) => {
    return `if (which == ${FUNCTION_NAMES.indexOf(name)}) return ${functionName(name)}(z);`;
  });
  return `${HEADER}${functionTexts(functions)}
uniform sampler2D ridges;
uniform int height;
out vec4 features;
float feature(int which, float z) {
  ${cases.join("\n  ")}
  return 0.0;
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  float i = float(at.x), j = float(at.y % height);
  int first = at.y / height * 4;
  vec4 found;
  for (int c = 0; c < 4; c++) {
    vec4 ridge = texelFetch(ridges, ivec2(first + c, 0), 0);
    found[c] = feature(int(ridge.w), ridge.x + i * ridge.y + j * ridge.z);
  }
  features = found;
}`;
}

// One layer: four outputs at a time; a row of the weights is one output, its last texel holds the bias.
function layerShader(activation) {
  return `${HEADER}${functionTexts([activation])}
${inFours(activation)}
uniform sampler2D inputs, weights;
uniform int height, groups;
out vec4 outputs;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  int row = at.y % height, first = at.y / height * 4;
  vec4 sum = vec4(0.0);
  for (int k = 0; k < 4; k++) sum[k] = texelFetch(weights, ivec2(groups, first + k), 0).x;
  for (int g = 0; g < groups; g++) {
    vec4 h = texelFetch(inputs, ivec2(at.x, g * height + row), 0);
    sum += vec4(
      dot(h, texelFetch(weights, ivec2(g, first), 0)), dot(h, texelFetch(weights, ivec2(g, first + 1), 0)),
      dot(h, texelFetch(weights, ivec2(g, first + 2), 0)), dot(h, texelFetch(weights, ivec2(g, first + 3), 0)));
  }
  outputs = in_fours(sum);
}`;
}

// Means over n x n lattice points, in the values' units.
const MEAN_SHADER = `${HEADER}
uniform sampler2D inputs;
uniform ivec2 corner;
uniform int n;
uniform vec4 scale, offset;
out vec4 value;
void main() {
  ivec2 first = (ivec2(gl_FragCoord.xy) - corner) * n;
  vec4 sum = vec4(0.0);
  for (int a = 0; a < n; a++) for (int b = 0; b < n; b++) sum += texelFetch(inputs, first + ivec2(b, a), 0);
  value = sum / float(n * n) * scale + offset;
}`;

function number(x) {
  const text = Math.fround(x).toPrecision(9);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const TABLE_WIDTH = 4096;

// The shader of a grid and its decoder, and the tables that it reads: levels of one, of two and of more features.
function gridShader(field) {
  const { encoding, dim } = field;
  const tables = [1, 2, 4].map((components) => ({ components, numbers: [] }));
  const levels = encoding.levels.map((level) => placedLevel(level, field.arrays[encoding.table], tables));
  const features = levels.flatMap((level, l) =>
    Array.from({ length: level.features }, (_, f) => `level${l}_${f >> 2}.${"xyzw"[f & 3]}`));
  const activations = field.network.layers.map((layer) => layer.activation);
  return {
    tables,
    text: `${HEADER}${functionTexts(activations)}
uniform sampler2D table1, table2, table4;
uniform ivec2 corner;
uniform int n;
uniform ivec3 cells[${levels.length * dim}];
uniform vec3 places[${levels.length * dim}];
out vec4 value;
${tapsText(encoding.order)}
void settle(int axis, ivec2 at, vec2 part, int nodes, out int first, out vec4 weights) {
  ivec3 whole = cells[axis];
  vec3 place = places[axis];
  float t = place.x + dot(vec2(at), place.yz) + dot(part, vec2(whole.yz) + place.yz);
  int cell = whole.x + at.x * whole.y + at.y * whole.z + int(floor(t));
  float f = t - floor(t);
  float along = float(cell) + f - ${encoding.order === 2 ? "0.5" : "0.0"};
  if (along < 1.5 || along > float(nodes) - 2.5) {
    along = clamp(along, 1.5, float(nodes) - 2.5) + ${encoding.order === 2 ? "0.5" : "0.0"};
    cell = int(floor(along));
    f = along - floor(along);
  }
  first = cell - ${encoding.order === 1 ? 0 : 1};
  weights = taps(f);
}
${levels.map((level, l) => levelText(level, l, dim, encoding.order)).join("\n")}
${activations.map((name, k) => inFours(name).replace("in_fours", `layer${k}`)).join("\n")}
vec4 value_at(ivec2 at, vec2 part) {
${levels.map((level, l) => levelCalls(level, l)).join("\n")}
${decoderText(field, features)}
}
void main() {
  ivec2 first = ivec2(gl_FragCoord.xy) - corner;
  vec4 sum = vec4(0.0);
  for (int a = 0; a < n; a++) for (int b = 0; b < n; b++) {
    vec2 part = (vec2(float(b), float(a)) + 0.5) / float(n) - 0.5;
    sum += value_at(first, part);
  }
  value = sum / float(n * n);
}`,
  };
}

function tapsText(order) {
  const body = {
    1: "return vec4(1.0 - f, f, 0.0, 0.0);",
    2: "f -= 0.5; return vec4((0.5 - f) * (0.5 - f) / 2.0, 0.75 - f * f, (0.5 + f) * (0.5 + f) / 2.0, 0.0);",
    3: `float g = 1.0 - f;
  return vec4(g * g * g, 4.0 - 6.0 * f * f + 3.0 * f * f * f, 4.0 - 6.0 * g * g + 3.0 * g * g * g, f * f * f) / 6.0;`,
  };
  return `vec4 taps(float f) {\n  ${body[order]}\n}`;
}

// The level with the place of its first texel; its numbers go to the table of its size, filled up to whole texels.
function placedLevel(level, numbers, tables) {
  const table = level.features === 1 ? tables[0] : level.features === 2 ? tables[1] : tables[2];
  const count = level.nodes.reduce((product, nodes) => product * nodes, 1);
  const texels = Math.ceil(level.features / table.components);
  const first = table.numbers.reduce((sum, part) => sum + part.length, 0) / table.components;
  const part = new Float32Array(count * texels * table.components);
  for (let node = 0; node < count; node++) {
    const begin = level.start + node * level.features;
    part.set(numbers.subarray(begin, begin + level.features), node * texels * table.components);
  }
  table.numbers.push(part);
  return { ...level, table: `table${table.components}`, first, texels };
}

function levelText(level, l, dim, order) {
  const settle = level.nodes.map((nodes, k) => `settle(${l * dim + k}, at, part, ${nodes}, c${k}, w${k});`).join(" ");
  const loops = level.nodes.map((_, k) => `for (int t${k} = 0; t${k} < ${order + 1}; t${k}++)`).join(" ");
  const node = level.nodes.reduce((row, nodes, k) => `${row && `(${row}) * ${nodes} + `}c${k} + t${k}`, "");
  const weight = level.nodes.map((_, k) => `w${k}[t${k}]`).join(" * ");
  return `vec4 level${l}(ivec2 at, vec2 part, int four) {
  int ${level.nodes.map((_, k) => `c${k}`).join(", ")};
  vec4 ${level.nodes.map((_, k) => `w${k}`).join(", ")}, sum = vec4(0.0);
  ${settle}
  ${loops} {
    int place = ${level.first} + (${node}) * ${level.texels} + four;
    sum += ${weight} * texelFetch(${level.table}, ivec2(place % ${TABLE_WIDTH}, place / ${TABLE_WIDTH}), 0);
  }
  return sum;
}`;
}

function levelCalls(level, l) {
  const parts = Array.from({ length: level.texels }, (_, p) => `  vec4 level${l}_${p} = level${l}(at, part, ${p});`);
  return parts.join("\n");
}

// The layers with their numbers, as products of 4 x 4 matrices.
function decoderText(field, features) {
  const { arrays, network, value_scale, value_offset } = field;
  const lines = [...packedText("z", features)];
  let from = { name: "z", size: features.length };
  network.layers.forEach(({ weight, bias, factor }, k) => {
    const size = arrays[bias].length;
    for (let g = 0; g < size; g += 4) {
      const sums = productsText(arrays[weight], from.size, size, g, factor, from.name);
      const shift = vectorText(Array.from(arrays[bias].subarray(g, g + 4), (b) => b * factor));
      lines.push(`  vec4 h${k}_${g / 4} = layer${k}(${shift} + ${sums});`);
    }
    from = { name: `h${k}_`, size };
  });
  const { channels } = field;
  const straight = () => productsText(arrays[network.skip], features.length, channels, 0, 1, "z");
  const skip = network.skip === null ? "" : ` + ${straight()}`;
  lines.push(`  return (${from.name}0${skip}) * ${vectorText(value_scale)} + ${vectorText(value_offset)};`);
  return lines.join("\n");
}

function packedText(name, features) {
  const lines = [];
  for (let g = 0; g < features.length; g += 4) {
    const four = Array.from({ length: 4 }, (_, k) => features[g + k] ?? "0.0");
    lines.push(`  vec4 ${name}${g / 4} = vec4(${four.join(", ")});`);
  }
  return lines;
}

// Rows g to g + 3 of a weight (outputs, inputs) times the vectors called `name`0, `name`1, ...
function productsText(weight, inputs, outputs, g, factor, name) {
  const products = [];
  for (let i = 0; i < inputs; i += 4) {
    const columns = [];
    for (let c = i; c < i + 4; c++) {
      for (let r = g; r < g + 4; r++) {
        columns.push(number(c < inputs && r < outputs ? weight[r * inputs + c] * factor : 0));
      }
    }
    products.push(`mat4(${columns.join(",")}) * ${name}${i / 4}`);
  }
  return products.join(" + ");
}

function vectorText(values) {
  return `vec4(${Array.from({ length: 4 }, (_, k) => number(values[k] ?? 0)).join(", ")})`;
}

// Values as colours on the screen, bilinear where the lattice is another one; left of the slider the pixels.
const NONE = 1e30; // stands for no value, which float32 textures need not hold
const NOTHING = 1e25; // means of values and of none are above
const PRESENT_SHADER = `${HEADER}
#define NOTHING ${number(NOTHING)}
uniform sampler2D values, pixels;
uniform ivec2 size;
uniform float factor;
uniform vec2 offset;
uniform int height, channels, shown;
uniform bool colours, direct;
uniform vec3 scale[5], background;
uniform vec2 range;
uniform vec4 box;
uniform float slider;
uniform ivec2 pixelCell, pixelCount;
uniform vec2 pixelPlace, pixelStep;
out vec4 colour;
vec3 composed(vec4 v) {
  v = clamp(v, 0.0, 1.0);
  if (channels <= 2) return mix(background, v.rrr, channels == 2 ? v.g : 1.0);
  return mix(background, v.rgb, channels == 4 ? v.a : 1.0);
}
vec3 scaled(float v) {
  float s = clamp((v - range.x) / (range.y - range.x), 0.0, 1.0) * 4.0;
  int k = min(int(s), 3);
  return mix(scale[k], scale[k + 1], s - float(k));
}
vec4 valueAt(vec2 at) {
  if (direct) return texelFetch(values, ivec2(at), 0);
  vec2 place = at / factor + offset - 0.5, f = place - floor(place);
  ivec2 first = ivec2(floor(place));
  ivec2 low = clamp(first, ivec2(0), size - 1), high = clamp(first + 1, ivec2(0), size - 1);
  vec4 upper = mix(texelFetch(values, low, 0), texelFetch(values, ivec2(high.x, low.y), 0), f.x);
  vec4 lower = mix(texelFetch(values, ivec2(low.x, high.y), 0), texelFetch(values, high, 0), f.x);
  return mix(upper, lower, f.y);
}
vec4 pixelAt(vec2 at) {
  vec2 steps = pixelPlace + at * pixelStep;
  ivec2 cell = clamp(pixelCell + ivec2(floor(steps)), ivec2(0), pixelCount - 1);
  if (pixelStep.x < 1.0) return texelFetch(pixels, cell, 0);
  return texture(pixels, (vec2(pixelCell) + steps) / vec2(pixelCount));
}
void main() {
  vec2 at = vec2(gl_FragCoord.x, float(height) - gl_FragCoord.y);
  if (any(lessThan(at, box.xy)) || any(greaterThan(at, box.zw))) {
    colour = vec4(background, 1.0);
    return;
  }
  vec4 v = at.x < slider ? pixelAt(at) : valueAt(at);
  if (at.x < slider && channels == 2) v.g = v.a; // a grey pixel has its alpha in the last place, a value in the second
  if (colours) colour = vec4(composed(v), 1.0);
  else colour = vec4(v[shown] > NOTHING ? background : scaled(v[shown]), 1.0);
}`;
