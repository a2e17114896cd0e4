// The description of the field and its arrays, out of the two elements of the page that hold them.
//
// Convention: the bytes are deflated; an array's bytes are little-endian and lie plane by plane, the first bytes of all
// its numbers before all second ones. Numbers of the type int16 count steps.

const NUMBER_TYPES = {
  float32: Float32Array, float64: Float64Array, int16: Int16Array, uint8: Uint8Array, uint16: Uint16Array,
};

async function readField() {
  const field = JSON.parse(document.getElementById("description").textContent);
  const bytes = await inflated(fromBase64(document.getElementById("numbers").textContent));
  field.arrays = field.arrays.map((entry) => readArray(bytes, entry));
  field.dim = field.axes.length;
  field.own = field.out_names.length;
  for (const { name } of field.beside) {
    for (const join of [", ", " − "]) field.out_names.push(...field.out_names.slice(0, field.own).map((own) => own + join + name));
  }
  field.channels = field.out_names.length;
  field.region = new Outline(field);
  return field;
}

function fromBase64(text) {
  const letters = atob(text.trim());
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function readArray(bytes, { type, step, offset, shape }) {
  const count = shape.reduce((product, n) => product * n, 1);
  const width = NUMBER_TYPES[type].BYTES_PER_ELEMENT;
  const joined = new Uint8Array(count * width);
  for (let plane = 0; plane < width; plane++) {
    for (let i = 0; i < count; i++) joined[i * width + plane] = bytes[offset + plane * count + i];
  }
  const numbers = new NUMBER_TYPES[type](joined.buffer);
  return type === "int16" ? new Float32Array(numbers).map((n) => n * step) : numbers;
}
