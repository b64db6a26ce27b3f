// The picture with its masks, zoomed and moved; what lies over it is drawn anew only when something changed.

import { coalesced, h } from "./dom.js";
import { paintRuns } from "./rle.js";

const FILL = 96;
const CHOSEN = 132;

export class Stage {
  constructor(store) {
    this.store = store;
    this.draw = coalesced(() => this.paint());
    this.canvas = h("canvas", { class: "stage-canvas", tabindex: "0", role: "application" });
    this.element = h("div", { class: "stage" }, this.canvas);
    this.context = this.canvas.getContext("2d");
    this.overlay = document.createElement("canvas");
    this.view = null;
    this.cursor = null;
    this.draft = null; // what a tool is drawing: a function (context, stage)
    this.shown = null;
    new ResizeObserver(() => this.resize()).observe(this.element);
    store.on("loaded", () => (this.view ? this.draw() : this.fit())); // again when the connection was lost
    store.on("frame picture objects masks tool", () => this.draw());
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    const fitted = !this.view || this.view.fitted;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (fitted && this.store.ready) this.fit();
    else this.draw();
  }

  /** Show the whole picture. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !this.store.ready) return;
    const margin = 16;
    const scale = Math.min((width - margin) / this.store.width, (height - margin) / this.store.height);
    this.view = {
      scale,
      x: (width - this.store.width * scale) / 2,
      y: (height - this.store.height * scale) / 2,
      fitted: true,
    };
    this.draw();
  }

  /** Zoom by a factor around a place of the element. */
  zoom(factor, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2) {
    if (!this.view) return;
    const scale = Math.max(0.05, Math.min(40, this.view.scale * factor));
    const change = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change, fitted: false };
    this.draw();
  }

  move(dx, dy) {
    if (!this.view) return;
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy, fitted: false };
    this.draw();
  }

  /** A place of the element in pixels of the video. */
  toVideo(x, y) {
    return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale];
  }

  toElement(x, y) {
    return [x * this.view.scale + this.view.x, y * this.view.scale + this.view.y];
  }

  paint() {
    const { store, context, view } = this;
    if (!store.ready || !view) return;
    const ratio = this.canvas.width / Math.max(1, this.element.clientWidth);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.element.clientWidth, this.element.clientHeight);
    const bitmap = store.bitmap(store.frame);
    if (bitmap) this.shown = store.frame;
    const edited = store.previewOf(store.frame);
    const picture = edited ?? bitmap ?? store.bitmap(this.shown);
    this.canvas.dataset.preview = edited ? store.frame : "";
    const [width, height] = [store.width * view.scale, store.height * view.scale];
    context.imageSmoothingEnabled = view.scale < 6;
    context.imageSmoothingQuality = "high";
    if (edited) this.paintCheckers(width, height);
    if (picture) context.drawImage(picture, view.x, view.y, width, height);
    else {
      context.fillStyle = "#8884";
      context.fillRect(view.x, view.y, width, height);
    }
    const frame = bitmap ? store.frame : this.shown;
    const masks = frame === null ? null : store.masksOf(frame);
    if (masks && !edited) this.paintMasks(frame, masks, width, height);
    this.canvas.dataset.frame = bitmap && masks ? store.frame : "";
    if (frame === store.frame && !edited) {
      if (this.glimpse?.frame === frame) this.paintGlimpse(width, height);
      this.paintPrompts();
    }
    if (this.draft) this.draft(context, this);
    if (this.cursor) this.paintCursor();
  }

  /** What is seen through transparent pixels. */
  paintCheckers(width, height) {
    if (!this.checkers) {
      const tile = new OffscreenCanvas(16, 16);
      const context = tile.getContext("2d");
      context.fillStyle = "#c9ced3";
      context.fillRect(0, 0, 16, 16);
      context.fillStyle = "#f1f3f5";
      context.fillRect(0, 0, 8, 8);
      context.fillRect(8, 8, 8, 8);
      this.checkers = this.context.createPattern(tile, "repeat");
    }
    this.context.fillStyle = this.checkers;
    this.context.fillRect(this.view.x, this.view.y, width, height);
  }

  paintMasks(frame, masks, width, height) {
    const { store, overlay } = this;
    const key = [frame, store.selected, ...[...store.objects.values()].map((o) => `${o.id}${o.colour}${o.visible}`)].join();
    const known = this.painted;
    const entries = [...masks.values()].map((mask) => mask[0]);
    if (!known || known.key !== key || known.entries.length !== entries.length || entries.some((e, i) => e !== known.entries[i])) {
      if (overlay.width !== store.width || overlay.height !== store.height) {
        overlay.width = store.width;
        overlay.height = store.height;
      }
      paintOverlay(overlay.getContext("2d"), store, masks);
      this.painted = { key, entries };
    }
    this.context.imageSmoothingEnabled = true;
    this.context.drawImage(overlay, this.view.x, this.view.y, width, height);
  }

  /** What a click would select: a light veil with a bright edge. */
  paintGlimpse(width, height) {
    const { counts } = this.glimpse;
    if (this.veiled !== counts) {
      this.veil ??= document.createElement("canvas");
      this.veil.width = this.store.width;
      this.veil.height = this.store.height;
      const glimpsed = { id: 0, colour: "#ffffff", visible: true };
      const view = { width: this.store.width, height: this.store.height, selected: null, objects: new Map([[0, glimpsed]]) };
      paintOverlay(this.veil.getContext("2d"), view, new Map([[0, [counts, 1, 1]]]));
      this.veiled = counts;
    }
    this.context.drawImage(this.veil, this.view.x, this.view.y, width, height);
  }

  paintPrompts() {
    const { store, context } = this;
    const { pending } = store;
    const prompts = { ...store.prompts[store.frame] };
    if (pending?.frame === store.frame) prompts[pending.id ?? "new"] = pending.prompt;
    for (const [id, prompt] of Object.entries(prompts)) {
      const object = store.objects.get(Number(id)) ?? (id === "new" ? { visible: true, colour: "#868e96" } : null);
      if (!object?.visible) continue;
      const chosen = Number(id) === store.selected;
      context.globalAlpha = chosen || store.selected === null ? 1 : 0.55;
      if (prompt.box) {
        const [x0, y0] = this.toElement(prompt.box[0], prompt.box[1]);
        const [x1, y1] = this.toElement(prompt.box[2], prompt.box[3]);
        strokeTwice(context, object.colour, () => context.rect(x0, y0, x1 - x0, y1 - y0), [6, 4]);
      }
      for (const [x, y, label] of prompt.points) this.paintPoint(x, y, label, object.colour);
      context.globalAlpha = 1;
    }
  }

  paintPoint(x, y, label, colour) {
    const { context } = this;
    const [cx, cy] = this.toElement(x, y);
    context.beginPath();
    context.arc(cx, cy, 7.5, 0, 2 * Math.PI);
    context.fillStyle = label ? "#ffffff" : "#1b1f23";
    context.fill();
    context.lineWidth = 2.5;
    context.strokeStyle = label ? colour : "#ff5a52";
    context.stroke();
    context.beginPath();
    context.moveTo(cx - 3.2, cy);
    context.lineTo(cx + 3.2, cy);
    if (label) {
      context.moveTo(cx, cy - 3.2);
      context.lineTo(cx, cy + 3.2);
    }
    context.strokeStyle = label ? "#1b1f23" : "#ffffff";
    context.lineWidth = 1.8;
    context.stroke();
  }

  paintCursor() {
    const { context } = this;
    const [x, y] = this.toElement(...this.cursor);
    strokeTwice(context, "#ffd43b", () => {
      context.moveTo(x - 16, y);
      context.lineTo(x + 16, y);
      context.moveTo(x, y - 16);
      context.lineTo(x, y + 16);
    });
  }
}

/** A line that is seen on dark and on light. */
export function strokeTwice(context, colour, path, dash = []) {
  for (const [style, width] of [
    ["rgba(0, 0, 0, .65)", 3.5],
    [colour, 1.8],
  ]) {
    context.beginPath();
    path();
    context.setLineDash(style === colour ? dash : []);
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
  context.setLineDash([]);
}

/** Masks of all visible objects: a tint, and a line of full colour at the edge; the selected one is stronger. */
function paintOverlay(context, store, masks) {
  const { width, height } = store;
  const labels = new Uint16Array(width * height);
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const colours = [[0, 0]];
  let bounds = null;
  const order = [...store.objects.values()].filter((object) => object.visible && masks.has(object.id));
  order.sort((a, b) => (a.id === store.selected) - (b.id === store.selected));
  for (const object of order) {
    const [counts, , score] = masks.get(object.id);
    if (!counts || score <= 0) continue;
    const value = colours.length;
    const found = paintRuns(counts, width, height, labels, value);
    if (!found) continue;
    const rgb = parseInt(object.colour.slice(1), 16);
    const bytes = ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
    const chosen = object.id === store.selected;
    colours.push([bytes | ((chosen ? CHOSEN : FILL) << 24), (bytes | (255 << 24)) >>> 0, chosen]);
    bounds = bounds
      ? [Math.min(bounds[0], found[0]), Math.min(bounds[1], found[1]), Math.max(bounds[2], found[2]), Math.max(bounds[3], found[3])]
      : found;
  }
  if (bounds) {
    const line = Math.max(1, Math.round(width / 900));
    for (let y = bounds[1]; y < bounds[3]; y++) {
      for (let x = bounds[0], place = y * width + x; x < bounds[2]; x++, place++) {
        const value = labels[place];
        if (!value) continue;
        const [fill, edge, chosen] = colours[value];
        const reach = chosen ? line + 1 : line;
        const isEdge =
          (x >= reach && labels[place - reach] !== value) ||
          (x + reach < width && labels[place + reach] !== value) ||
          (y >= reach && labels[place - reach * width] !== value) ||
          (y + reach < height && labels[place + reach * width] !== value);
        pixels[place] = isEdge ? edge : fill;
      }
    }
  }
  context.putImageData(picture, 0, 0);
}
