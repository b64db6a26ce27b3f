// Effects: what is done to objects and to the background, seen on the frame, and rendered as a video.

import { h, iconButton } from "./dom.js";

// [lowest, highest, step, what an empty value begins with]
const RANGES = {
  strength: [0, 1, 0.05],
  radius: [1, 60, 1],
  size: [2, 80, 1],
  width: [1, 40, 1, 4],
  x: [-400, 400, 5, 80],
  y: [-400, 400, 5],
  factor: [1.05, 4, 0.05],
  length: [1, 20, 1],
  step: [1, 20, 1],
  opacity: [0.05, 1, 0.05],
  grow: [0, 30, 1],
  tolerance: [0, 80, 1],
};

export class Effects {
  constructor(app, kinds, rendered) {
    Object.assign(this, { app, kinds, rendered });
    this.list = h("ul", { class: "effects", "aria-label": "Effects" });
    this.show = h("input", { type: "checkbox", onchange: () => this.preview(this.show.checked) });
    this.state = h("div", { class: "format-state", "aria-live": "polite" });
    this.buttons = Object.entries(rendered).map(([format, about]) =>
      h("button", { type: "button", title: about, "data-render": format, onclick: () => this.render(format) }, format),
    );
    this.stop = h("button", { type: "button", hidden: true, onclick: () => app.actions.ask("stop_rendering") }, "Stop");
    this.element = h(
      "section",
      { class: "effects-panel", "aria-label": "Effects" },
      h(
        "div",
        { class: "panel-head" },
        h("label", { class: "only" }, this.show, "Preview"),
        h("span", { class: "spread" }),
        iconButton("plus", "Add an effect", "", () => this.add(), "Add"),
      ),
      (this.empty = h("p", { class: "hint" }, "Blur the background, outline an object, take one out of the picture … Add an effect to begin.")),
      this.list,
      h("div", { class: "render" }, h("h3", {}, "Render the video"), h("div", { class: "formats-row" }, this.buttons, this.stop), this.state),
    );
    app.store.on("objects loaded", () => this.update());
    app.store.on("loaded", () => this.bar?.isConnected && this.done({ file: null })); // unless more is told
    const { link } = app.store;
    link.on("rendering", ({ format, frame, frames }) => this.progress(format, frame / frames));
    link.on("rendered", (message) => this.done(message));
  }

  get effects() {
    return (this.app.store.effects ?? []).map(parse);
  }

  update() {
    const { store } = this.app;
    const key = JSON.stringify([store.effects, [...store.objects.values()].map((object) => [object.id, object.name])]);
    if (key === this.key) return;
    this.key = key;
    this.empty.hidden = store.effects.length > 0;
    const place = this.controls.indexOf(document.activeElement);
    this.list.replaceChildren(...this.effects.map((effect, number) => this.row(effect, number)));
    if (place >= 0) this.controls[place]?.focus();
    store.previewChanged();
  }

  get controls() {
    return [...this.list.querySelectorAll("select, input, button")];
  }

  row(effect, number) {
    const { store } = this.app;
    const kind = this.kinds.find(({ name }) => name === effect.name) ?? this.kinds[0];
    const option = (value, text) => h("option", { value, selected: value === effect.target }, text);
    const target = h(
      "select",
      { "aria-label": "What it is done to", onchange: (e) => this.change(number, { target: e.target.value }) },
      kind.background && option("background", "Background"),
      option("objects", "All objects"),
      [...store.objects.values()].map((object) => option(String(object.id), object.name)),
    );
    const which = h(
      "select",
      { "aria-label": "Effect", onchange: (e) => this.exchange(number, e.target.value) },
      this.kinds.map(({ name }) => h("option", { value: name, selected: name === effect.name }, name)),
    );
    return h(
      "li",
      { title: kind.about },
      h("div", { class: "effect-head" }, which, target, iconButton("bin", `Remove ${effect.name}`, "", () => this.remove(number))),
      kind.options.map((about) => this.control(about, effect, number)),
    );
  }

  control({ name, type, default: usual }, effect, number) {
    const set = (value) => this.change(number, { values: { ...effect.values, [name]: String(value) } });
    const given = effect.values[name];
    if (type.startsWith("Colour")) {
      const object = this.app.store.objects.get(Number(effect.target));
      const value = given ?? usual ?? object?.colour ?? "#ffffff";
      return h("label", { class: "control" }, h("span", {}, name), h("input", { type: "color", value, onchange: (e) => set(e.target.value) }));
    }
    if (type === "bool") {
      const checked = (given ?? String(usual ? "yes" : "no")) === "yes";
      return h("label", { class: "control" }, h("span", {}, name), h("input", { type: "checkbox", checked, onchange: (e) => set(e.target.checked ? "yes" : "no") }));
    }
    const [low, high, step, begin] = RANGES[name] ?? [0, 100, 1];
    const value = given ?? usual ?? begin ?? low;
    const shown = h("output", {}, String(value));
    const slider = h("input", {
      type: "range",
      min: String(low),
      max: String(high),
      step: String(step),
      value: String(value),
      oninput: (e) => (shown.textContent = e.target.value),
      onchange: (e) => set(e.target.value),
    });
    return h("label", { class: "control" }, h("span", {}, name), slider, shown);
  }

  add() {
    const { store } = this.app;
    const target = store.selected === null ? "background" : String(store.selected);
    const name = target === "background" ? "blur" : "outline";
    this.keep([...this.effects, { target, name, values: {} }]);
    if (!this.show.checked) this.preview(true);
  }

  change(number, about) {
    this.keep(this.effects.map((effect, i) => (i === number ? { ...effect, ...about } : effect)));
  }

  exchange(number, name) {
    const kind = this.kinds.find((one) => one.name === name);
    const { target } = this.effects[number];
    this.change(number, { name, values: {}, target: kind.background || target !== "background" ? target : "objects" });
  }

  remove(number) {
    this.keep(this.effects.filter((_, i) => i !== number));
  }

  async keep(effects) {
    await this.app.actions.ask("effects", { effects: effects.map(format) });
  }

  preview(on) {
    this.show.checked = on;
    this.app.store.previewing = on;
    this.app.store.previewChanged();
  }

  async render(format) {
    this.progress(format, 0);
    if (!(await this.app.actions.ask("render", { format, effects: this.app.store.effects }))) this.done({ file: null });
  }

  progress(format, share) {
    if (!this.bar?.isConnected) this.state.replaceChildren((this.bar = h("progress", { max: "1", "aria-label": `Rendering ${format}` })));
    this.bar.value = share;
    this.stop.hidden = false;
    for (const button of this.buttons) button.hidden = true;
  }

  done({ format, file, folder }) {
    this.stop.hidden = true;
    for (const button of this.buttons) button.hidden = false;
    if (!file) {
      this.state.replaceChildren();
      return;
    }
    const address = this.app.store.link.model.get("exports_at");
    const link = address && h("a", { href: address.replace("{file}", encodeURIComponent(file)), download: file }, `Download ${file}`);
    this.state.replaceChildren(...[link, h("span", { class: "where" }, folder)].filter(Boolean));
    this.app.say(`${format} is rendered.`);
  }
}

/** "background:blur=12,key=value" in parts. */
function parse(text) {
  const [, target, name, rest] = text.match(/^([^:]*):([^=]*)=?(.*)$/);
  const values = Object.fromEntries(rest.split(",").filter(Boolean).map((part) => part.split("=")));
  return { target, name, values };
}

function format({ target, name, values }) {
  const rest = Object.entries(values).map(([key, value]) => `${key}=${value}`).join(",");
  return `${target}:${name}${rest ? `=${rest}` : ""}`;
}
