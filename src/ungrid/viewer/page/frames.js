// One view after another: a coarse frame at once, finer ones, the fine one from the middle outwards, then means over
// pixels.
//
// Convention: what is wanted last counts; work on an older view stops at its next batch. A batch takes about `BATCH`
// milliseconds at the speed measured so far, so the page answers while it draws; up to `LONGEST_BATCH` when a view has
// been left alone for a while. Showing a canvas costs much where the browser has no graphics hardware, so it is shown
// now and then.

const BATCH = 30;
const LONGEST_BATCH = 60;
const SHOW = 150; // milliseconds
const COARSE = 35; // milliseconds for the coarse frame, besides showing it
const FACTORS = [1, 2, 4, 8, 16, 32, 64];
const SLOW = 32; // a first factor above which the old frame is shown where it lies in the new view
const FIRST_RATE = 2e5; // products a millisecond, before anything is measured
const FIRST_PRODUCTS = 5e6; // of the first frame, by the plain evaluator
const SMALLEST_TILE = 64; // points: smaller ones cost more than they save
const MOST_SUBSAMPLES = 8; // along each side of a pixel

class Frames {
  constructor(engine) {
    Object.assign(this, { engine, wanted: null, running: false, rate: FIRST_RATE });
    this.timings = { first: null, coarse: null, fine: null };
    [this.waiting, this.awaited] = [[], []];
    this.shown = new Promise((resolve) => (this.show = resolve)); // when there is a first frame
    [this.shownCoarse, this.spare] = ["coarse", "other"];
    this.holds(null);
  }

  // The lattices hold nothing yet of this view.
  holds(view) {
    Object.assign(this, { coarse: null, done: [], whole: false, drawn: view });
  }

  // Draw `view` as `look` says; means over n x n points in a pixel in the end. `since`: when it was asked for.
  request(view, look, n, since = performance.now()) {
    this.wanted = { view, look, n: Math.min(n, MOST_SUBSAMPLES), since };
    if (!this.running) this.run();
  }

  // Colour the values that are there once more.
  recolour(look) {
    if (this.wanted) this.wanted.look = look;
    if (this.coarse && !this.whole) this.engine.present(look, { coarse: this.coarse });
    if (this.whole) this.engine.present(look);
    else for (const rectangle of this.done) this.engine.present(look, { rectangle });
  }

  // Resolves when the wanted view has its first frame.
  next() {
    return new Promise((resolve) => this.awaited.push(resolve));
  }

  // Resolves when the last wanted frame is complete.
  complete() {
    return this.running ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }

  async run() {
    this.running = true;
    try {
      let done = null;
      while (done !== this.wanted) {
        done = this.wanted;
        await this.draw(done);
      }
    } finally {
      this.running = false;
    }
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  async draw(job) {
    const { fine } = this.engine;
    const factors = this.coarseFactors(fine.width * fine.height);
    if (factors[0] >= SLOW) this.moveOld(job);
    this.holds(job.view);
    if (this.timings.first === null && this.engine.fillWithoutShaders) await this.drawFirst(job);
    for (const factor of factors) {
      await this.drawCoarse(job, factor);
      if (job !== this.wanted) return;
    }
    if (!factors.length) this.engine.present(job.look); // the surroundings of the field
    for (const n of new Set([1, job.n])) {
      await this.drawFine(job, n);
      if (job !== this.wanted) return;
      if (n === 1 && !factors.length) this.note("coarse", job);
      this.whole = true;
    }
    this.note("fine", job);
  }

  note(name, job) {
    this.timings[name] = performance.now() - job.since;
    this.timings.first ??= performance.now();
    this.show();
    for (const resolve of this.awaited.splice(0)) resolve();
  }

  // How many pixels a point of each coarse frame stands for; none where a fine frame is as quick.
  coarseFactors(points) {
    const fits = (factor) => ((points / factor ** 2) * this.engine.lattice.cost) / this.rate <= COARSE;
    const found = [];
    for (let factor = FACTORS.find(fits) ?? FACTORS.at(-1); factor > 1; factor /= 4) found.push(factor);
    return found.filter((factor, k) => k === 0 || factor > 2); // twice as coarse in a row is no help
  }

  // The last complete frame where it lies in the new view, for engines whose first coarse frame shows little.
  moveOld({ view, look }) {
    if (!this.whole) return;
    const axis = view.across.findIndex((step) => step !== 0);
    const other = view.down.findIndex((step) => step !== 0);
    const { origin, across, down } = this.drawn;
    const steps = (k, direction) => (view.origin[k] - origin[k]) / direction[k];
    const offset = [steps(axis, across), steps(other, down)];
    this.engine.present(look, { moved: { factor: across[axis] / view.across[axis], offset } });
  }

  // The lattice whose points stand for factor x factor pixels.
  coarseLattice({ view }, factor) {
    const { fine } = this.engine;
    const { origin } = shifted(view, (factor - 1) / 2, (factor - 1) / 2);
    const [across, down] = [view.across, view.down].map((steps) => steps.map((step) => step * factor));
    const [width, height] = [fine.width, fine.height].map((size) => Math.ceil(size / factor));
    return { view: { origin, across, down }, width, height };
  }

  // The very first frame, while shaders are being compiled; of wide networks it would show too little.
  async drawFirst(job) {
    const { engine } = this;
    const [points, most] = [engine.fine.width * engine.fine.height, FIRST_PRODUCTS / engine.lattice.cost];
    const factor = FACTORS.find((f) => f > 1 && points / f ** 2 <= most);
    if (!factor || factor > SLOW) return;
    const { view, width, height } = this.coarseLattice(job, factor);
    engine.fillWithoutShaders(this.shownCoarse, view, width, height);
    this.coarse = { target: this.shownCoarse, factor, width, height };
    engine.present(job.look, { coarse: this.coarse });
    await engine.settled();
    this.note("coarse", job);
  }

  async drawCoarse(job, factor) {
    const { engine } = this;
    const { view, width, height } = this.coarseLattice(job, factor);
    const first = this.coarse === null;
    const queue = tiles(width, height, first ? engine.tile : this.tile(1));
    const budget = first ? Infinity : BATCH;
    const fillOne = (rectangle) => engine.fill(this.spare, rectangle, view, 1);
    const complete = await this.fill(job, queue, budget, fillOne, 1, () => {
      if (queue.length) return;
      [this.shownCoarse, this.spare] = [this.spare, this.shownCoarse];
      this.coarse = { target: this.shownCoarse, factor, width, height };
      engine.present(job.look, { coarse: this.coarse });
    });
    if (complete && first) this.note("coarse", job);
  }

  async drawFine(job, n) {
    const { engine } = this;
    const inside = (rectangle) => within(rectangle, job.look.box);
    const queue = tiles(engine.fine.width, engine.fine.height, this.tile(n)).map(inside).filter(Boolean);
    const filled = [];
    let last = performance.now();
    const fillOne = (rectangle) => {
      engine.fill("fine", rectangle, job.view, n);
      filled.push(rectangle);
    };
    await this.fill(job, queue, BATCH, fillOne, n, () => {
      if (queue.length && performance.now() - last < SHOW) return;
      for (const rectangle of filled) engine.present(job.look, { rectangle });
      this.done.push(...filled.splice(0));
      last = performance.now();
    });
  }

  // Empties a queue of rectangles in batches; false where another view is wanted in between.
  async fill(job, queue, shortest, fillOne, n, afterBatch) {
    while (queue.length) {
      const began = performance.now();
      const budget = Math.max(shortest, Math.min(LONGEST_BATCH, (began - job.since) / 20));
      let points = 0;
      do {
        const rectangle = queue.shift();
        fillOne(rectangle);
        points += rectangle.width * rectangle.height * n * n;
      } while (queue.length && (points * this.engine.lattice.cost) / this.rate < budget);
      afterBatch();
      await this.engine.settled();
      this.measure(points, began);
      if (job !== this.wanted && queue.length) return false;
    }
    return true;
  }

  // The engine's tile, halved until it fits into a batch.
  tile(n) {
    let { width, height } = this.engine.tile;
    while (width * height > SMALLEST_TILE && (width * height * n * n * this.engine.lattice.cost) / this.rate > BATCH) {
      [width, height] = width > height ? [width / 2, height] : [width, height / 2];
    }
    return { width, height };
  }

  // The speed from this batch and those before; single small ones say little.
  measure(points, began) {
    const found = (points * this.engine.lattice.cost) / Math.max(1, performance.now() - began);
    this.rate = 0.5 * this.rate + 0.5 * found;
  }
}

// The part of a rectangle inside a box of pixels, or null.
function within({ x, y, width, height }, [left, top, right, bottom]) {
  const [x0, y0] = [Math.max(x, Math.floor(left)), Math.max(y, Math.floor(top))];
  const [x1, y1] = [Math.min(x + width, Math.ceil(right)), Math.min(y + height, Math.ceil(bottom))];
  return x1 > x0 && y1 > y0 ? { x: x0, y: y0, width: x1 - x0, height: y1 - y0 } : null;
}
