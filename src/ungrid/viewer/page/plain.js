// Drawing without WebGL2: the evaluator of `evaluator.js` and a canvas of pixels; the same interface as `GpuEngine`.

class PlainEngine {
  constructor(field, canvas) {
    Object.assign(this, { field, canvas, name: "plain", pixels: null });
    this.context = canvas.getContext("2d", { alpha: false });
    this.evaluator = makeEvaluator(field);
    this.lattice = { cost: costOf(field) };
    this.tile = { width: 64, height: 8 };
    this.small = document.createElement("canvas");
  }

  resize(width, height) {
    [this.canvas.width, this.canvas.height] = [width, height];
    this.fine = this.target(width, height);
    [this.coarse, this.other] = [0, 1].map(() => this.target(Math.ceil(width / 2), Math.ceil(height / 2)));
  }

  target(width, height) {
    return { width, height, values: new Float32Array(width * height * this.field.channels) };
  }

  setPixels(image) {
    this.pixels = image;
    return true;
  }

  fill(name, rectangle, view, n) {
    fillPlainly(this.evaluator, this[name], rectangle, view, n);
  }

  present(look, { rectangle = null, coarse = null, moved = null } = {}) {
    const { context, canvas, fine } = this;
    if (moved) {
      const corner = moved.offset.map((place) => -place * moved.factor);
      context.drawImage(canvas, ...corner, canvas.width * moved.factor, canvas.height * moved.factor);
    } else if (coarse) this.presentCoarse(look, coarse);
    else {
      const part = rectangle ?? { x: 0, y: 0, width: fine.width, height: fine.height };
      context.putImageData(this.coloured(fine, part, look), part.x, part.y);
    }
    if (!rectangle) this.clearAround(look);
    if (this.pixels && look.slider > 0) this.presentPixels(look);
  }

  // The browser interpolates the colours.
  presentCoarse(look, { target, factor, width, height }) {
    [this.small.width, this.small.height] = [width, height];
    this.small.getContext("2d").putImageData(this.coloured(this[target], { x: 0, y: 0, width, height }, look), 0, 0);
    this.context.imageSmoothingEnabled = true;
    this.context.drawImage(this.small, 0, 0, width * factor, height * factor);
  }

  coloured({ width: stride, values }, { x, y, width, height }, look) {
    const { channels } = this.field;
    const image = new ImageData(width, height);
    for (let j = 0, out = 0; j < height; j++) {
      for (let i = 0; i < width; i++, out += 4) {
        const place = ((y + j) * stride + x + i) * channels;
        const colour = colourOf(values.subarray(place, place + channels), look);
        for (let c = 0; c < 3; c++) image.data[out + c] = Math.round(255 * colour[c]);
        image.data[out + 3] = 255;
      }
    }
    return image;
  }

  // The ground around the field.
  clearAround({ box: [left, top, right, bottom], background }) {
    const { context, canvas: { width, height } } = this;
    context.fillStyle = cssColour(background);
    context.fillRect(0, 0, left, height);
    context.fillRect(right, 0, width - right, height);
    context.fillRect(0, 0, width, top);
    context.fillRect(0, bottom, width, height - bottom);
  }

  presentPixels({ box: [left, top, right, bottom], slider, background }) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(0, 0, slider, this.canvas.height);
    context.clip();
    context.fillStyle = cssColour(background);
    context.fillRect(left, top, right - left, bottom - top);
    context.imageSmoothingEnabled = (right - left) / this.pixels.width < 1;
    context.drawImage(this.pixels, left, top, right - left, bottom - top);
    context.restore();
  }

  settled() {
    return new Promise((resolve) => setTimeout(resolve, 0));
  }

  sample(view, width, height) {
    const target = this.target(width, height);
    fillPlainly(this.evaluator, target, { x: 0, y: 0, width, height }, view, 1);
    const { channels } = this.field;
    return Array.from({ length: width * height }, (_, p) =>
      Array.from(target.values.subarray(p * channels, (p + 1) * channels)));
  }
}

// The values of a view on a rectangle of a lattice, means over n x n points in each cell.
function fillPlainly(evaluator, { width: stride, values }, { x, y, width, height }, view, n) {
  const { channels, dim, scale, center } = evaluator.field;
  const { origin, across, down } = divided(view, n);
  const value = new Float64Array(channels);
  const point = new Float64Array(dim);
  for (let j = y; j < y + height; j++) {
    for (let i = x; i < x + width; i++) {
      const place = (j * stride + i) * channels;
      for (let k = 0; k < dim; k++) point[k] = (view.origin[k] + i * view.across[k] + j * view.down[k]) * scale[k] + center[k];
      if (!evaluator.field.region.contains(point)) {
        values.fill(NaN, place, place + channels);
        continue;
      }
      values.fill(0, place, place + channels);
      for (let sub = 0; sub < n * n; sub++) {
        const [right, below] = [i * n + (sub % n), j * n + Math.floor(sub / n)];
        for (let k = 0; k < dim; k++) {
          point[k] = (origin[k] + right * across[k] + below * down[k]) * scale[k] + center[k];
        }
        evaluator.value(point, value);
        for (let c = 0; c < channels; c++) values[place + c] += value[c] / (n * n);
      }
    }
  }
}

// Products of one evaluation, roughly.
function costOf(field) {
  const { encoding, network, arrays, kindOfField } = field;
  if (kindOfField === "slabs") return costOf({ ...field.parts[0], arrays });
  if (kindOfField === "steps") return costOf({ ...field.space, arrays });
  if (kindOfField === "scene") return field.cost;
  const layers = network.layers.reduce((sum, { weight }) => sum + arrays[weight].length, 0);
  return layers + encodingCost(encoding);
}

function encodingCost(encoding) {
  if (encoding.kind === "grid") return encoding.levels.length * (encoding.order + 1) ** encoding.extent.length * 8;
  if (encoding.kind === "joined") return encoding.parts.reduce((sum, part) => sum + encodingCost(part), 0);
  if (encoding.kind === "products") return encodingCost(encoding.space) * (encoding.degree + 1);
  if (encoding.kind === "separable") return encoding.counts.reduce((product, n) => product * n, 20);
  return 20 * (encoding.functions ?? encoding.exponents ?? [encoding.order]).length;
}
