// Start, and the hook for tests and for people with a console: `window.ungrid`.
//
//   ready                       a promise: the first frame is there, perhaps a coarse one
//   evaluate(points)            values (n, c) at points (n, d) in the user's units, float64
//   gradient(points)            exact derivatives (n, c, d); not of scenes
//   sample(view, width, height) values (width * height, c) as the drawing engine computes them, row by row; the view is
//                               { origin, across, down } in the user's units
//   density(points)             of a scene, whose own points (n, 6) are rays: at points (n, 3) of the world
//   colour(points, directions)  of a scene: what points send against directions (n, 3)
//   complete()                  a promise: nothing is left to draw
//   engine, view, timings       which engine draws; the view; milliseconds: `first` frame since the page was opened,
//                               `coarse` and `fine` frame since they were asked for
//
// Where the address ends in #plain, the page draws without WebGL2.

function showFacts(field) {
  const line = Object.entries(field.facts).map(([name, text]) => `${name}: ${text}`).join(" · ");
  document.getElementById("facts").textContent = line;
}

function inUnits({ origin, across, down }, { center, scale }) {
  const steps = (direction) => direction.map((step, k) => step / scale[k]);
  return { origin: origin.map((place, k) => (place - center[k]) / scale[k]), across: steps(across), down: steps(down) };
}

async function start(hook) {
  const field = await readField();
  const evaluator = makeEvaluator(field);
  showFacts(field);
  Object.assign(hook, {
    field,
    evaluate: (points) => points.map((point) => Array.from(evaluator.value(point, new Float64Array(field.channels)))),
    gradient: (points) => points.map((point) => evaluator.valueAndGradient(point).gradient),
    sample: (view, width, height) => hook.engine.sample(inUnits(view, field), width, height),
  });
  Object.assign(hook, await startView(field));
  return true;
}

// What went wrong, where it is seen.
function showFailure(error) {
  const message = document.createElement("p");
  message.setAttribute("role", "alert");
  message.textContent = `This page could not start: ${error.message}. It needs a browser of 2023 or later.`;
  document.querySelector("main").prepend(message);
  throw error;
}

window.ungrid = {};
window.ungrid.ready = start(window.ungrid).catch(showFailure);
