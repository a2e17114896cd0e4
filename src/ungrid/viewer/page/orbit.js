// A camera that turns around a middle: by mouse, touch, wheel, keys and buttons.
//
// Convention: what is made from it has a canvas, `yaw`, `pitch` and `distance` with the limits `nearest` and `farthest`,
// and the methods `draw(since)`, `reset()`, `point(event)` and `speak()`.

const TURN = 0.15; // radians, with an arrow key

class Orbit {
  listenTo(canvas) {
    this.held = new Map();
    element("closer").addEventListener("click", () => this.zoomBy(1.25));
    element("farther").addEventListener("click", () => this.zoomBy(0.8));
    element("front").addEventListener("click", () => this.reset());
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.held.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.held.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  zoomBy(factor, since = undefined) {
    this.distance = Math.min(this.farthest, Math.max(this.nearest, this.distance / factor));
    this.draw(since);
  }

  turnBy(right, up, since = undefined) {
    this.yaw += right;
    this.pitch = Math.min(1.55, Math.max(-1.55, this.pitch + up));
    this.draw(since);
  }

  onWheel(event) {
    event.preventDefault();
    const amount = Math.max(-300, Math.min(300, event.deltaY * (event.deltaMode === 1 ? 16 : 1)));
    this.zoomBy(Math.exp(-amount / 600), performance.now());
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (event.shiftKey ? 3 : 1) * TURN;
    const turns = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (turns[event.key]) this.turnBy(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.25);
    else if (event.key === "-") this.zoomBy(0.8);
    else if (event.key === "0" || event.key === "Home") this.reset();
    else return;
    event.preventDefault();
    this.point(null);
    this.speak();
  }

  // One pointer turns, two zoom.
  onMove(event) {
    if (!this.held.has(event.pointerId)) return this.point(event);
    const before = [...this.held.values()];
    const last = this.held.get(event.pointerId);
    this.held.set(event.pointerId, [event.clientX, event.clientY]);
    if (before.length === 2) return this.zoomBy(apart([...this.held.values()]) / Math.max(1, apart(before)));
    return this.turnBy((last[0] - event.clientX) / 150, (event.clientY - last[1]) / 150);
  }
}
