// The table of values and derivatives at a point, and what all views share.

const SPEECH_DELAY = 500; // milliseconds that keys rest before screen readers are told

const element = (id) => document.getElementById(id);

// WebGL2 where the browser has it and takes the shaders, else the plain engine: on a new canvas, since one that has
// been asked for WebGL2 gives nothing else.
function makeEngine(field, canvas, Gpu = GpuEngine) {
  if (location.hash === "#plain" || !Gpu.canDraw(field)) return new PlainEngine(field, canvas);
  try {
    const engine = Gpu.make(field, canvas);
    if (engine) return engine;
  } catch (error) {
    console.info(`drawing without WebGL2: ${error.message}`);
  }
  const other = canvas.cloneNode();
  canvas.replaceWith(other);
  return new PlainEngine(field, other);
}

function showHeader(field) {
  const rates = field.axes.map((axis) => `∂/∂${axis.name}${axis.unit ? ` (per ${axis.unit})` : ""}`);
  element("probe-head").replaceChildren(...["channel", "value", ...rates].map((text) => cell("th", text, "col")));
}

function showValues(field, value, gradient) {
  element("probe").replaceChildren(...field.out_names.map((name, c) => {
    const row = document.createElement("tr");
    const rates = gradient[c].map((rate) => cell("td", brief(rate)));
    row.append(cell("th", name, "row"), cell("td", field.precise ? exactly(value[c]) : value[c].toFixed(5)), ...rates);
    return row;
  }));
}

// The legend of a scale.
function showScale(colours, [least, largest]) {
  const scale = element("scale");
  const context = scale.getContext("2d");
  for (let x = 0; x < scale.width; x++) {
    context.fillStyle = cssColour(scaled(x / (scale.width - 1), colours));
    context.fillRect(x, 0, 1, scale.height);
  }
  element("least").textContent = brief(least);
  element("largest").textContent = brief(largest);
}

function apart([a, b]) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

function cell(tag, text, scope = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (scope) made.scope = scope;
  return made;
}

// Ten digits, of a small difference three.
function exactly(x) {
  return x !== 0 && Math.abs(x) < 1e-4 ? brief(x) : String(Number(x.toPrecision(10)));
}

// An axis may be a number of a family of problems, or its logarithm: then the number is what is shown.
function nameOf(axis) {
  return axis.parameter ?? axis.name;
}

function placeOn(axis, place) {
  if (axis.parameter) return brief(axis.name === axis.parameter ? place : Math.exp(place));
  return `${brief(place)}${axis.unit && ` ${axis.unit}`}`;
}

// Three digits, without an exponent where that is readable.
function brief(x) {
  if (Number.isNaN(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e5 || size < 1e-3) return x.toExponential(2);
  return String(Number(x.toPrecision(3)));
}
