// Drawing with WebGL2: lattices of values in float32 textures, and the canvas coloured from them.
//
// Convention: a view is { origin, across, down } in unit coordinates, one number for each axis and in float64: lattice
// point (i, j) lies at origin + i * across + j * down. Row 0 of a texture is the uppermost one.

const TILE = 64; // lattice points along the sides of what the layers of a network take at once
const FARTHEST = 1e6; // cells: what lies farther away is outside of every grid
const MOST_LITERALS = 4096; // numbers of a decoder that stand in the text of its shader

class GpuEngine {
  static canDraw(field) {
    if (field.precise) return false; // large numbers that cancel each other: float32 has too few digits
    const widths = field.network.layers.map((layer) => field.arrays[layer.bias].length);
    const numbers = field.network.layers.reduce((sum, layer) => sum + field.arrays[layer.weight].length, 0);
    if (field.channels > 4) return false;
    if (field.encoding.kind === "grid") return numbers <= MOST_LITERALS;
    return field.network.skip === null && Math.max(field.encoding.functions.length, ...widths) <= 1024;
  }

  // An engine, or null where there is no WebGL2 with float32 targets.
  static make(field, canvas) {
    const gl = canvas.getContext("webgl2", { preserveDrawingBuffer: true, antialias: false, alpha: false });
    if (!gl || !gl.getExtension("EXT_color_buffer_float")) return null;
    return new this(field, canvas, gl);
  }

  constructor(field, canvas, gl) {
    Object.assign(this, { field, canvas, gl, name: "WebGL2", image: null, restored: () => {} });
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.rebuild());
  }

  build() {
    const { gl } = this;
    gl.getExtension("EXT_color_buffer_float");
    gl.bindVertexArray(gl.createVertexArray());
    this.lattice = this.makeLattice();
    this.tile = this.lattice.tile;
    this.presentProgram = new Program(gl, PRESENT_SHADER);
    this.blank = this.texture(1, 1, 1, new Float32Array(1));
    this.pixels = null;
  }

  makeLattice() {
    return this.field.encoding.kind === "grid" ? new GridProgram(this) : new LayerPrograms(this);
  }

  // After the browser has taken the graphics away and given them back: everything again, then `restored`.
  rebuild() {
    this.build();
    this.fine = this.coarse = this.other = null;
    this.resize(this.canvas.width, this.canvas.height);
    if (this.image) this.setPixels(this.image);
    this.restored();
  }

  // A texture of float32 numbers, 1, 2 or 4 in a texel, with a framebuffer where there are 4.
  texture(width, height, components, numbers = null) {
    const { gl } = this;
    const [internal, format] = { 1: [gl.R32F, gl.RED], 2: [gl.RG32F, gl.RG], 4: [gl.RGBA32F, gl.RGBA] }[components];
    const made = { width, height, texture: gl.createTexture(), framebuffer: null };
    gl.bindTexture(gl.TEXTURE_2D, made.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, gl.FLOAT, numbers);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    if (numbers === null) {
      made.framebuffer = gl.createFramebuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, made.framebuffer);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, made.texture, 0);
    }
    return made;
  }

  release(target) {
    this.gl.deleteTexture(target.texture);
    this.gl.deleteFramebuffer(target.framebuffer);
  }

  resize(width, height) {
    for (const target of [this.fine, this.coarse, this.other]) if (target) this.release(target);
    [this.canvas.width, this.canvas.height] = [width, height];
    this.fine = this.texture(width, height, 4);
    [this.coarse, this.other] = [0, 1].map(() => this.texture(Math.ceil(width / 2), Math.ceil(height / 2), 4));
  }

  // The picture to compare with, from an image element.
  setPixels(image) {
    const { gl } = this;
    if (Math.max(image.width, image.height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return false;
    this.image = image;
    this.pixels = { width: image.width, height: image.height, texture: gl.createTexture() };
    gl.bindTexture(gl.TEXTURE_2D, this.pixels.texture);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    return true;
  }

  // Values of the view on a rectangle of a lattice ("fine", "coarse" or "other"), means over n x n points in each cell.
  fill(target, rectangle, view, n) {
    this.lattice.fill(this[target], rectangle, view, n);
  }

  // Values of the view on a whole small lattice by the plain evaluator, which needs no shader to be compiled first.
  fillWithoutShaders(target, view, width, height) {
    const { gl, field } = this;
    const values = new Float64Array(width * height * field.channels);
    fillPlainly(makeEvaluator(field), { width, values }, { x: 0, y: 0, width, height }, view, 1);
    const texels = new Float32Array(width * height * 4);
    values.forEach((value, p) => {
      texels[4 * Math.floor(p / field.channels) + (p % field.channels)] = Number.isNaN(value) ? NONE : value;
    });
    gl.bindTexture(gl.TEXTURE_2D, this[target].texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, gl.FLOAT, texels);
  }

  // Colour the canvas, or a rectangle of it, from the fine lattice, from a coarse one, or from the fine one of an old
  // view.
  present(look, { rectangle = null, coarse = null, moved = null } = {}) {
    const { gl, canvas } = this;
    const { x, y, width, height } = rectangle ?? { x: 0, y: 0, width: canvas.width, height: canvas.height };
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(x, canvas.height - y - height, width, height);
    const pixels = this.pixels ?? this.blank;
    this.presentProgram.run({
      ...look, scale: look.scale.flat(), values: coarse ? this[coarse.target] : this.fine, pixels, height: canvas.height,
      factor: (coarse ?? moved)?.factor ?? 1, offset: moved?.offset ?? [0, 0], direct: !coarse && !moved,
      size: coarse ? [coarse.width, coarse.height] : [canvas.width, canvas.height],
      pixelCount: [pixels.width, pixels.height], slider: this.pixels ? look.slider : -1,
    });
    gl.disable(gl.SCISSOR_TEST);
  }

  into(target, x, y, width, height) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.viewport(x, y, width, height);
  }

  // Resolves when everything that was asked for so far is done.
  settled() {
    const { gl } = this;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    return new Promise((resolve) => {
      const look = () => {
        if (!gl.isContextLost() && gl.clientWaitSync(fence, 0, 0) === gl.TIMEOUT_EXPIRED) return setTimeout(look, 1);
        gl.deleteSync(fence);
        return resolve();
      };
      setTimeout(look, 0);
    });
  }

  // The values of a view's lattice, row by row, as the shaders compute them.
  sample(view, width, height) {
    const { gl, field } = this;
    const target = this.texture(width, height, 4);
    for (const rectangle of tiles(width, height, this.tile)) this.lattice.fill(target, rectangle, view, 1);
    const read = new Float32Array(width * height * 4);
    this.into(target, 0, 0, width, height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, read);
    this.release(target);
    const known = (value) => (value > NOTHING ? NaN : value);
    return Array.from({ length: width * height }, (_, p) => Array.from(read.subarray(4 * p, 4 * p + field.channels), known));
  }
}

// The rectangles of a lattice, no larger than a tile, those in the middle first.
function tiles(width, height, tile) {
  const found = [];
  for (let y = 0; y < height; y += tile.height) {
    for (let x = 0; x < width; x += tile.width) {
      found.push({ x, y, width: Math.min(tile.width, width - x), height: Math.min(tile.height, height - y) });
    }
  }
  const away = (r) => Math.hypot(r.x + r.width / 2 - width / 2, r.y + r.height / 2 - height / 2);
  return found.sort((a, b) => away(a) - away(b));
}

// The view whose first lattice point is (x, y) of another one.
function shifted(view, x, y) {
  return { ...view, origin: view.origin.map((place, k) => place + x * view.across[k] + y * view.down[k]) };
}

// The view with n x n lattice points in each cell.
function divided(view, n) {
  const first = 0.5 / n - 0.5;
  const moved = shifted(view, first, first);
  return { origin: moved.origin, across: view.across.map((step) => step / n), down: view.down.map((step) => step / n) };
}

// A vertex and a fragment shader, with uniforms set by name.
class Program {
  constructor(gl, text) {
    this.gl = gl;
    this.program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, text]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
      this.failed = () => `${gl.getShaderInfoLog(shader)} ${gl.getProgramInfoLog(this.program)}`;
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS)) throw new Error(`a shader failed: ${this.failed()}`);
    const count = gl.getProgramParameter(this.program, gl.ACTIVE_UNIFORMS);
    this.uniforms = Array.from({ length: count }, (_, u) => {
      const { name, type } = gl.getActiveUniform(this.program, u);
      return { name: name.replace("[0]", ""), type, location: gl.getUniformLocation(this.program, name) };
    });
  }

  // Draws over the whole viewport.
  run(values) {
    const { gl } = this;
    gl.useProgram(this.program);
    const samplers = [gl.SAMPLER_2D, gl.SAMPLER_3D, gl.UNSIGNED_INT_SAMPLER_3D];
    let unit = 0;
    for (const { name, type, location } of this.uniforms) {
      const value = values[name];
      if (samplers.includes(type)) {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(type === gl.SAMPLER_2D ? gl.TEXTURE_2D : gl.TEXTURE_3D, value.texture);
        gl.uniform1i(location, unit++);
      } else if (type === gl.INT || type === gl.BOOL) gl.uniform1iv(location, [value].flat().map(Number));
      else if (type === gl.INT_VEC2) gl.uniform2iv(location, value);
      else if (type === gl.INT_VEC3) gl.uniform3iv(location, value);
      else if (type === gl.FLOAT) gl.uniform1f(location, value);
      else if (type === gl.FLOAT_VEC2) gl.uniform2fv(location, value);
      else if (type === gl.FLOAT_VEC3) gl.uniform3fv(location, value);
      else if (type === gl.FLOAT_MAT4) gl.uniformMatrix4fv(location, true, value);
      else gl.uniform4fv(location, value);
    }
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.activeTexture(gl.TEXTURE0);
  }
}

// A grid and its decoder, in one shader.
class GridProgram {
  constructor(engine) {
    const { gl, field } = engine;
    Object.assign(this, { engine, field, tile: { width: 128, height: 128 } });
    const { tables, text } = gridShader(field);
    this.program = new Program(gl, text);
    this.tables = Object.fromEntries(tables.map((table) => [`table${table.components}`, this.upload(table)]));
    this.cost = costOf(field);
  }

  upload({ components, numbers }) {
    const size = numbers.reduce((sum, part) => sum + part.length, 0);
    const height = Math.max(1, Math.ceil(size / components / TABLE_WIDTH));
    const filled = new Float32Array(height * TABLE_WIDTH * components);
    let place = 0;
    for (const part of numbers) {
      filled.set(part, place);
      place += part.length;
    }
    return this.engine.texture(TABLE_WIDTH, height, components, filled);
  }

  fill(target, { x, y, width, height }, view, n) {
    const { origin, across, down } = shifted(view, x, y);
    const { levels, order } = this.field.encoding;
    const cells = [];
    const places = [];
    for (const level of levels) {
      for (let k = 0; k < origin.length; k++) {
        const first = origin[k] * level.scale[k] + level.shift[k] + (order === 2 ? 0.5 : 0);
        for (const t of [first, across[k] * level.scale[k], down[k] * level.scale[k]]) {
          const whole = Math.max(-FARTHEST, Math.min(FARTHEST, Math.floor(t)));
          cells.push(whole);
          places.push(t - whole);
        }
      }
    }
    this.engine.into(target, x, y, width, height);
    this.program.run({ ...this.tables, cells, places, corner: [x, y], n });
  }
}

// Ridges and wide layers, each by a pass over a tile; the layers of plain coordinates begin with their own sums.
class LayerPrograms {
  constructor(engine) {
    const { gl, field } = engine;
    Object.assign(this, { engine, gl });
    const { ridges, layers } = unfolded(field);
    this.ridges = ridges;
    this.programs = {};
    this.layers = layers.map((layer) => this.upload(layer));
    this.stem = new Program(gl, stemShader(ridges.map((ridge) => ridge.name)));
    this.mean = new Program(gl, MEAN_SHADER);
    this.groups = Math.ceil(ridges.length / 4);
    const most = Math.max(this.groups, ...this.layers.map((layer) => layer.rows / 4));
    const rows = Math.min(TILE, Math.floor(gl.getParameter(gl.MAX_TEXTURE_SIZE) / most));
    this.height = rows;
    this.tile = { width: TILE, height: rows };
    this.scratch = [0, 1].map(() => engine.texture(TILE, rows * most, 4));
    this.stemTexture = engine.texture(this.groups * 4, 1, 4, new Float32Array(this.groups * 16));
    this.cost = costOf(field);
  }

  upload({ weight, bias, activation, factor }) {
    const inputs = weight.length / bias.length;
    const groups = Math.ceil(inputs / 4);
    const rows = Math.ceil(bias.length / 4) * 4;
    const numbers = new Float32Array((groups + 1) * 4 * rows);
    for (let j = 0; j < bias.length; j++) {
      const row = j * (groups + 1) * 4;
      for (let i = 0; i < inputs; i++) numbers[row + i] = weight[j * inputs + i] * factor;
      numbers[row + groups * 4] = bias[j] * factor;
    }
    const weights = this.engine.texture(groups + 1, rows, 4, numbers);
    this.programs[activation] ??= new Program(this.gl, layerShader(activation));
    return { groups, rows, weights, program: this.programs[activation] };
  }

  fill(target, { x, y, width, height }, view, n) {
    const side = { width: Math.floor(TILE / n), height: Math.floor(this.height / n) };
    for (const part of tiles(width, height, side)) {
      const placed = { ...part, x: x + part.x, y: y + part.y };
      this.fillPart(target, placed, divided(shifted(view, placed.x, placed.y), n), n);
    }
  }

  fillPart(target, { x, y, width, height }, view, n) {
    const { engine, gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.stemTexture.texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, this.groups * 4, 1, gl.RGBA, gl.FLOAT, this.ridgesAlong(view));
    let [from, to] = this.scratch;
    const lines = height * n;
    engine.into(from, 0, 0, width * n, lines * this.groups);
    this.stem.run({ ridges: this.stemTexture, height: lines });
    for (const { groups, rows, weights, program } of this.layers) {
      engine.into(to, 0, 0, width * n, (lines * rows) / 4);
      program.run({ inputs: from, weights, height: lines, groups });
      [from, to] = [to, from];
    }
    const { value_scale, value_offset } = engine.field;
    const filled = (values) => Array.from({ length: 4 }, (_, c) => values[c] ?? 0);
    engine.into(target, x, y, width, height);
    this.mean.run({ inputs: from, corner: [x, y], n, scale: filled(value_scale), offset: filled(value_offset) });
  }

  // For every ridge: its argument at the first point, the steps across and down, without whole turns, and its function.
  ridgesAlong({ origin, across, down }) {
    const numbers = new Float32Array(this.groups * 16);
    this.ridges.forEach(({ row, shift, name }, r) => {
      const along = (direction) => row.reduce((sum, slope, k) => sum + slope * direction[k], 0);
      const turns = name === "sine" || name === "cosine" ? 2 * Math.PI : Infinity;
      const reduced = [along(origin) + shift, along(across), along(down)].map((z) => z - nearest(z, turns));
      numbers.set([...reduced, FUNCTION_NAMES.indexOf(name)], 4 * r);
    });
    return numbers;
  }
}

// The multiple of a period that is nearest to z.
function nearest(z, period) {
  return period === Infinity ? 0 : Math.round(z / period) * period;
}

// The ridges and the layers after them. Where the encoding hands on the coordinates, the first layer's sums are ridges.
function unfolded(field) {
  const { encoding, network, arrays, dim } = field;
  const layers = network.layers.map((layer) => ({ ...layer, weight: arrays[layer.weight], bias: arrays[layer.bias] }));
  const rows = (numbers, r, factor = 1) => Array.from(numbers.subarray(r * dim, (r + 1) * dim), (w) => w * factor);
  if (encoding.functions.every((name) => name === "linear") && layers.length > 1) {
    const [{ weight, bias, factor, activation }, ...rest] = layers;
    const ridges = Array.from(bias, (b, r) => ({ row: rows(weight, r, factor), shift: b * factor, name: activation }));
    return { ridges, layers: rest };
  }
  const [slopes, shifts] = [arrays[encoding.rows], arrays[encoding.shifts]];
  const ridges = encoding.functions.map((name, r) => ({ row: rows(slopes, r), shift: shifts[r], name }));
  return { ridges, layers };
}
