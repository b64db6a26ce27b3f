// A row per object: where it was prompted, tracked, is absent, or needs work. Click to go there.

import { coalesced, h } from "./dom.js";

const ROW = 22;
const HEAD = 24;
const NAMES = 148;
const ORDER = ["nothing", "absent", "good", "low"];
export const LOW = 6; // below six tenths of predicted IoU a frame needs work

export class Timeline {
  constructor(store) {
    this.store = store;
    this.draw = coalesced(() => this.paint());
    this.canvas = h("canvas", {
      class: "timeline-canvas",
      tabindex: "0",
      role: "slider",
      "aria-label": "Timeline",
      "aria-valuemin": "0",
    });
    this.sizer = h("div", { class: "timeline-sizer" });
    this.element = h("div", { class: "timeline" }, this.canvas, this.sizer);
    this.context = this.canvas.getContext("2d");
    this.first = 0; // the leftmost frame that is seen
    this.zoom = 1;
    store.on("frame objects strips masks tracking loaded", () => this.draw());
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.held && this.seek(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => this.release());
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  get objects() {
    return [...(this.store.objects?.values() ?? [])];
  }

  /** Width of a frame in pixels. */
  get step() {
    return ((this.width - NAMES - 12) / this.store.length) * this.zoom;
  }

  down(event) {
    const y = event.offsetY + this.element.scrollTop;
    const object = this.objects[Math.floor((y - HEAD) / ROW)];
    if (event.offsetY > HEAD && object) this.store.select(object.id);
    if (event.offsetX < NAMES) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.held = true;
    this.ranging = event.shiftKey ? this.frameAt(event.offsetX) : null;
    this.seek(event);
  }

  seek(event) {
    const frame = this.frameAt(event.offsetX);
    if (this.ranging !== null) {
      const [from, to] = [Math.min(this.ranging, frame), Math.max(this.ranging, frame)];
      this.store.range = to > from ? [from, to] : null;
      this.store.tell("range");
    }
    if (frame !== this.store.frame) this.store.show(frame);
    this.draw();
  }

  release() {
    this.held = false;
  }

  wheel(event) {
    if (!event.ctrlKey && !event.shiftKey && !event.altKey) {
      if (this.zoom > 1 && Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        this.look(this.first + event.deltaX / this.step);
      }
      return;
    }
    event.preventDefault();
    const at = this.frameAt(event.offsetX);
    const most = Math.max(1, (this.store.length * 24) / Math.max(1, this.width - NAMES));
    this.zoom = Math.max(1, Math.min(most, this.zoom * Math.exp(-(event.deltaY || event.deltaX) * 0.002)));
    this.look(at - (event.offsetX - NAMES) / this.step);
  }

  look(first) {
    const seen = (this.width - NAMES - 12) / this.step;
    this.first = Math.max(0, Math.min(this.store.length - seen, first));
    this.draw();
  }

  frameAt(x) {
    const frame = Math.floor(this.first + (x - NAMES) / this.step);
    return Math.max(0, Math.min(this.store.length - 1, frame));
  }

  paint() {
    const { store, context } = this;
    const width = this.element.clientWidth;
    const height = this.element.clientHeight;
    if (!store.ready || !width || !height) return;
    this.width = width;
    const objects = this.objects;
    const whole = HEAD + objects.length * ROW + 6;
    this.sizer.style.height = `${Math.max(0, whole - height)}px`;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    if (this.zoom > 1 && !this.held) this.follow();
    this.style = readStyle(this.element);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `12px ${this.style.font}`;
    context.textBaseline = "middle";
    const top = this.element.scrollTop;
    const from = Math.floor(this.first);
    const to = Math.min(store.length, Math.ceil(this.first + (width - NAMES) / this.step) + 1);
    for (let row = Math.max(0, Math.floor(top / ROW)); row < objects.length; row++) {
      const y = HEAD + row * ROW - top;
      if (y > height) break;
      this.paintRow(objects[row], y, from, to);
    }
    this.paintHead(from, to);
    this.paintPlayhead(height);
    this.say();
  }

  /** Keep the frame that is shown in sight. */
  follow() {
    const seen = (this.width - NAMES - 12) / this.step;
    if (this.store.frame < this.first) this.first = this.store.frame;
    if (this.store.frame >= this.first + seen - 1) this.first = Math.min(this.store.length - seen, this.store.frame - seen + 2);
    this.first = Math.max(0, this.first);
  }

  x(frame) {
    return NAMES + (frame - this.first) * this.step;
  }

  paintRow(object, y, from, to) {
    const { store, context, style, step } = this;
    const chosen = object.id === store.selected;
    if (chosen) {
      context.fillStyle = style.chosen;
      context.fillRect(0, y, this.width, ROW);
    }
    const strip = store.strips.get(object.id) ?? [];
    const [top, bottom] = [y + 5, y + ROW - 5];
    context.fillStyle = style.track;
    context.fillRect(this.x(from), top, (to - from) * step, bottom - top);
    const apart = Math.max(1, Math.floor(1 / step)); // frames that share a pixel: the one that needs work is seen
    const at = (frame) => {
      let what = kind(strip[frame]);
      for (let near = frame + 1; near < Math.min(to, frame + apart) && what !== "low"; near++) {
        if (ORDER.indexOf(kind(strip[near])) > ORDER.indexOf(what)) what = kind(strip[near]);
      }
      return what;
    };
    let start = from;
    let what = at(from);
    for (let frame = from + apart; start < to; frame += apart) {
      const next = frame < to ? at(frame) : null;
      if (next === what) continue;
      frame = Math.min(frame, to);
      const [left, wide] = [Math.max(NAMES, this.x(start)), this.x(frame) - this.x(start)];
      if (what === "good" || what === "low") {
        context.globalAlpha = object.visible ? 0.78 : 0.3;
        context.fillStyle = object.colour;
        context.fillRect(left, top, Math.max(1, wide), bottom - top);
        context.globalAlpha = 1;
        if (what === "low") {
          context.fillStyle = style.low;
          context.fillRect(left, bottom - 4, Math.max(1.5, wide), 4);
        }
      } else if (what === "absent") {
        context.fillStyle = style.absent;
        context.fillRect(left, (top + bottom) / 2 - 1, Math.max(1, wide), 2);
      }
      start = frame;
      what = next;
    }
    for (const [frame, several] of Object.entries(store.prompts)) {
      if (several[object.id] && frame >= from && frame < to) this.diamond(this.x(Number(frame) + 0.5), y + ROW / 2);
    }
    context.fillStyle = chosen ? style.chosenName : style.panel;
    context.fillRect(0, y, NAMES - 4, ROW);
    context.fillStyle = object.colour;
    context.beginPath();
    context.arc(16, y + ROW / 2, 4.5, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = style.text;
    context.fillText(shorten(context, object.name, NAMES - 44), 28, y + ROW / 2 + 0.5);
  }

  diamond(x, y) {
    const { context, style } = this;
    if (x < NAMES - 1) return;
    context.beginPath();
    context.moveTo(x, y - 5.5);
    context.lineTo(x + 5.5, y);
    context.lineTo(x, y + 5.5);
    context.lineTo(x - 5.5, y);
    context.closePath();
    context.fillStyle = style.prompt;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = style.promptLine;
    context.stroke();
  }

  paintHead(from, to) {
    const { store, context, style, step } = this;
    context.fillStyle = style.panel;
    context.fillRect(0, 0, this.width, HEAD);
    if (store.range) {
      context.fillStyle = style.range;
      context.fillRect(this.x(store.range[0]), 2, (store.range[1] - store.range[0] + 1) * step, HEAD - 4);
    }
    context.fillStyle = style.faint;
    const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((n) => n * step > 46) ?? 10000;
    context.textAlign = "center";
    for (let frame = Math.ceil(from / every) * every; frame < to; frame += every) {
      const x = this.x(frame + 0.5);
      if (x < NAMES) continue;
      context.fillText(String(frame), x, 10);
      context.fillRect(x - 0.5, HEAD - 5, 1, 5);
    }
    context.textAlign = "left";
    context.fillStyle = style.verified;
    for (const frame of store.verified) {
      if (frame < from || frame >= to || this.x(frame) < NAMES - step) continue;
      context.fillRect(this.x(frame), HEAD - 6, Math.max(3, step), 5);
    }
    context.fillStyle = style.faint;
    context.fillText(store.objects.size ? `${store.objects.size} object${store.objects.size > 1 ? "s" : ""}` : "No objects yet", 12, 12);
  }

  paintPlayhead(height) {
    const { store, context, style, step } = this;
    const x = this.x(store.frame);
    if (x < NAMES - 2) return;
    const wide = Math.max(2, step);
    context.fillStyle = style.playhead;
    context.globalAlpha = 0.22;
    context.fillRect(x, HEAD - 2, wide, height);
    context.globalAlpha = 1;
    context.fillRect(x + wide / 2 - 1, HEAD - 6, 2, height);
    context.beginPath();
    context.moveTo(x + wide / 2 - 6, HEAD - 9);
    context.lineTo(x + wide / 2 + 6, HEAD - 9);
    context.lineTo(x + wide / 2, HEAD - 1);
    context.fill();
  }

  /** The same for those who cannot see it. */
  say() {
    const { store } = this;
    const object = store.objects.get(store.selected);
    const about = object ? `, ${object.name} ${words(store.strips.get(object.id)?.[store.frame])}` : "";
    const verified = store.verified.has(store.frame) ? ", verified" : "";
    this.canvas.setAttribute("aria-valuemax", store.length - 1);
    this.canvas.setAttribute("aria-valuenow", store.frame);
    this.canvas.setAttribute("aria-valuetext", `frame ${store.frame} of ${store.length - 1}${about}${verified}`);
  }
}

function kind(character) {
  if (character === undefined || character === "-") return "nothing";
  if (character === "x") return "absent";
  return Number(character) < LOW ? "low" : "good";
}

/** What a strip's character means, in words. */
export function words(character) {
  return { nothing: "not tracked", absent: "absent", low: "uncertain", good: "tracked" }[kind(character)];
}

function shorten(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  while (text.length > 1 && context.measureText(`${text}…`).width > room) text = text.slice(0, -1);
  return `${text}…`;
}

function readStyle(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    font: style.fontFamily,
    text: value("--text"),
    faint: value("--faint"),
    panel: value("--panel"),
    track: value("--track"),
    absent: value("--absent"),
    low: value("--low"),
    chosen: value("--chosen"),
    chosenName: value("--chosen-solid"),
    prompt: value("--prompt"),
    promptLine: value("--prompt-line"),
    playhead: value("--playhead"),
    verified: value("--good"),
    range: value("--range"),
  };
}
