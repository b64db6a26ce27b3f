// What a pointer, or the crosshair that keys move, does on the picture.

import { strokeTwice } from "./stage.js";
import { encodePlane, paintRuns } from "./rle.js";

export const TOOLS = {
  add: { name: "Click: this is the object", icon: "add", key: "p" },
  subtract: { name: "Click: this is not the object", icon: "subtract", key: "m" },
  box: { name: "Box around the object", icon: "box", key: "b" },
  brush: { name: "Brush: paint the mask", icon: "brush", key: "r" },
  eraser: { name: "Eraser: take away from the mask", icon: "eraser", key: "e" },
  lasso: { name: "Lasso: draw around the object", icon: "lasso", key: "l" },
  hand: { name: "Move the picture", icon: "hand", key: "h" },
};

export class Tools {
  /** `act` prompts the selected object: act(change), see `Actions.prompt`. */
  constructor(store, stage, act) {
    Object.assign(this, { store, stage, act });
    this.pointers = new Map();
    const canvas = stage.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.cancel(event));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    store.on("tool frame", () => {
      this.stroke = null;
      stage.draft = null;
      canvas.dataset.tool = store.tool;
    });
    canvas.dataset.tool = store.tool;
  }

  place(event) {
    const bounds = this.stage.canvas.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  }

  down(event) {
    if (!this.store.ready || !this.stage.view) return;
    this.stage.canvas.focus({ preventScroll: true });
    this.stage.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.place(event);
    this.pointers.set(event.pointerId, { x, y, button: event.button, started: [x, y] });
    this.stage.cursor = null;
    this.stage.glimpse = null;
    this.wanted = null;
    if (this.pointers.size >= 2) {
      this.stroke = null; // two fingers move and zoom
      this.stage.draft = null;
      this.pinching = true;
      return;
    }
    const panning = event.button === 1 || this.store.tool === "hand";
    if (!panning) this.store.following = false; // what is done here is for the frame that is seen
    this.stroke = { panning, erase: event.button === 2 || event.altKey, points: [this.stage.toVideo(x, y)] };
    if (!panning) this.sketch();
  }

  moved(event) {
    const pointer = this.pointers.get(event.pointerId);
    const [x, y] = this.place(event);
    if (!pointer) {
      this.hover([x, y]);
      return;
    }
    const [dx, dy] = [x - pointer.x, y - pointer.y];
    if (this.pointers.size === 2) {
      const other = [...this.pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
      const after = Math.hypot(x - other.x, y - other.y);
      this.stage.move(dx / 2, dy / 2);
      if (before > 0) this.stage.zoom(after / before, (x + other.x) / 2, (y + other.y) / 2);
    } else if (this.stroke?.panning) {
      this.stage.move(dx, dy);
    } else if (this.stroke) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) this.stroke.points.push(this.stage.toVideo(...this.place(part)));
      this.sketch();
    }
    Object.assign(pointer, { x, y });
  }

  up(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    const stroke = this.stroke;
    if (!this.pointers.size && this.pinching) {
      this.pinching = false;
      return;
    }
    if (!pointer || !stroke || this.pointers.size) return;
    this.stroke = null;
    this.stage.draft = null;
    this.stage.draw();
    if (!stroke.panning) this.finish(stroke);
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.pinching = false;
    this.stroke = null;
    this.stage.draft = null;
    this.stage.draw();
  }

  wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    this.stage.zoom(Math.exp(-event.deltaY * unit * 0.0016), ...this.place(event));
  }

  /** Show how large the brush is, or what a click would select. */
  hover(place) {
    if (this.stroke) return;
    this.glimpse(place);
    const painting = place && (this.store.tool === "brush" || this.store.tool === "eraser");
    if (!painting && !this.stage.draft) return;
    this.stage.draft = painting ? (context, stage) => this.ring(context, stage, place) : null;
    this.stage.draw();
  }

  /** Ask what a click here would make of a new object; only where answers come fast enough to follow the pointer. */
  async glimpse(place) {
    const { store, stage } = this;
    const [x, y] = place && stage.view ? stage.toVideo(...place) : [-1, -1];
    const inside = x >= 0 && y >= 0 && x <= store.width && y <= store.height;
    const fits = inside && store.tool === "add" && store.selected === null && !store.playing && !store.tracking?.running;
    this.wanted = fits ? [x, y] : null;
    if (!fits) {
      if (stage.glimpse) stage.draw();
      stage.glimpse = null;
      return;
    }
    if (this.asking || this.slow > 3) return;
    this.asking = true;
    const began = performance.now();
    const frame = store.frame;
    try {
      const { mask } = await store.link.ask("hover", { frame, x, y });
      this.slow = performance.now() - began > 150 ? (this.slow ?? 0) + 1 : 0;
      stage.glimpse = mask && this.wanted ? { frame, counts: mask[0] } : null;
      stage.draw();
    } catch {
      this.slow = (this.slow ?? 0) + 1;
    }
    this.asking = false;
    if (this.wanted && (this.wanted[0] !== x || this.wanted[1] !== y)) this.glimpse(stage.toElement(...this.wanted));
  }

  ring(context, stage, [x, y]) {
    const radius = (this.store.brush / 2) * stage.view.scale;
    strokeTwice(context, "#ffffff", () => context.arc(x, y, Math.max(1, radius), 0, 2 * Math.PI));
  }

  /** Draw the stroke that is under way. */
  sketch() {
    const { tool, brush } = this.store;
    const { points, erase } = this.stroke;
    this.stage.draft = (context, stage) => {
      const places = points.map((point) => stage.toElement(...point));
      const [[x0, y0], [x1, y1]] = [places[0], places.at(-1)];
      if (tool === "box") strokeTwice(context, "#ffffff", () => context.rect(x0, y0, x1 - x0, y1 - y0), [6, 4]);
      if (tool === "lasso") strokeTwice(context, "#ffffff", () => trace(context, places), [6, 4]);
      if (tool === "brush" || tool === "eraser") {
        context.beginPath();
        trace(context, places);
        if (places.length === 1) context.lineTo(x0 + 0.01, y0);
        context.lineWidth = brush * stage.view.scale;
        context.lineCap = context.lineJoin = "round";
        context.strokeStyle = tool === "eraser" || erase ? "rgba(255, 90, 82, .5)" : "rgba(255, 255, 255, .5)";
        context.stroke();
        this.ring(context, stage, [x1, y1]);
      }
    };
    this.stage.draw();
  }

  finish({ points, erase }) {
    const { store } = this;
    const [x, y] = points[0];
    const [endX, endY] = points.at(-1);
    const inside = (px, py) => px >= 0 && py >= 0 && px <= store.width && py <= store.height;
    const tool = store.tool;
    if (tool === "add" || tool === "subtract") {
      if (inside(x, y)) this.click(x, y, tool === "add" && !erase ? 1 : 0);
    } else if (tool === "box") {
      this.boxed(x, y, endX, endY);
    } else if (tool === "lasso") {
      if (points.length > 2) this.paint((context) => (trace(context, points), context.fill("evenodd")), erase, false);
    } else {
      const away = tool === "eraser" || erase;
      this.paint((context) => {
        trace(context, points);
        if (points.length === 1) context.lineTo(x + 0.01, y);
        context.lineWidth = store.brush;
        context.lineCap = context.lineJoin = "round";
        context.stroke();
      }, away, true);
    }
  }

  click(x, y, label) {
    const point = [Math.round(x * 100) / 100, Math.round(y * 100) / 100, label];
    this.act((old) => ({ ...old, points: [...old.points, point] }));
  }

  boxed(x0, y0, x1, y1) {
    const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)].map((v) => Math.round(v * 100) / 100);
    if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return;
    this.act(() => ({ points: [], box, mask: null }));
  }

  /** Add to the selected object's mask, or take away from it, what a function draws. */
  paint(draw, away, onto) {
    const { store } = this;
    const { width, height } = store;
    const sheet = new OffscreenCanvas(width, height);
    const context = sheet.getContext("2d");
    context.beginPath();
    draw(context);
    const drawn = context.getImageData(0, 0, width, height).data;
    const stroke = new Uint8Array(width * height).map((_, i) => (drawn[4 * i + 3] > 127 ? 1 : 0));
    this.act((_, frame, id) => {
      const masks = store.masksOf(frame); // as the stroke before has left them
      if (id !== null && !masks) throw new Error("The masks of this frame have not come yet: draw again in a moment.");
      const known = id === null ? null : masks.get(id);
      const keeps = known && known[0] && (onto || away);
      if (away && !keeps) return null;
      const plane = new Uint8Array(width * height);
      if (keeps) paintRuns(known[0], width, height, plane, 1);
      for (let i = 0; i < plane.length; i++) if (stroke[i]) plane[i] = away ? 0 : 1;
      return { points: [], box: null, mask: plane.includes(1) ? encodePlane(plane, width, height) : null };
    });
  }

  // -- the crosshair that keys move

  /** Show or hide the crosshair. */
  crosshair(on = !this.stage.cursor) {
    this.stage.cursor = on ? [this.store.width / 2, this.store.height / 2] : null;
    this.corner = null;
    this.stage.draw();
    return on;
  }

  steer(dx, dy) {
    const [x, y] = this.stage.cursor;
    this.stage.cursor = [
      Math.max(0, Math.min(this.store.width - 1, x + dx)),
      Math.max(0, Math.min(this.store.height - 1, y + dy)),
    ];
    this.stage.draw();
  }

  /** Do at the crosshair what the tool does; a box takes two corners. */
  press(negative) {
    const [x, y] = this.stage.cursor;
    if (this.store.tool === "box") {
      if (!this.corner) this.corner = [x, y];
      else {
        this.boxed(...this.corner, x, y);
        this.corner = null;
      }
    } else if (this.store.tool === "brush" || this.store.tool === "eraser") this.finish({ points: [[x, y]], erase: negative });
    else this.click(x, y, negative || this.store.tool === "subtract" ? 0 : 1);
  }
}

function trace(context, points) {
  points.forEach(([x, y], number) => (number ? context.lineTo(x, y) : context.moveTo(x, y)));
}
