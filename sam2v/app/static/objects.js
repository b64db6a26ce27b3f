// The list of objects: names, classes, colours, what is shown and what is locked.

import { h, iconButton, setIcon } from "./dom.js";
import { LOW } from "./timeline.js";

export class ObjectList {
  constructor(store, actions) {
    Object.assign(this, { store, actions });
    this.rows = new Map();
    this.list = h("ul", { class: "objects", "aria-label": "Objects" });
    this.empty = h("p", { class: "hint" }, "Click on something in the picture: it becomes an object.");
    this.classes = h("datalist", { id: `classes-${Math.random().toString(36).slice(2)}` });
    const head = h(
      "div",
      { class: "panel-head" },
      h("span", { class: "spread" }),
      iconButton("auto", "Find everything on this frame", "A", () => actions.auto(), "Auto"),
      iconButton("plus", "New object: the next click makes one", "N", () => actions.newObject(), "New"),
    );
    this.merge = iconButton("merge", "Merge another object into the selected one", "", () => this.askMerge(), "Merge");
    this.remove = iconButton("bin", "Delete the selected object", "Del", () => actions.remove(), "Delete");
    this.clear = iconButton("clear", "Clear the selected object's prompts on this frame", "C", () => actions.clear(), "Clear");
    const foot = h("div", { class: "panel-foot" }, this.clear, this.merge, this.remove);
    this.element = h("section", { class: "objects-panel", "aria-label": "Objects" }, head, this.empty, this.list, this.classes, foot);
    store.on("objects loaded", () => this.update());
    store.on("frame masks strips", () => this.updateStates());
    this.update();
  }

  update() {
    const { store } = this;
    const objects = store.objects ?? new Map();
    for (const [id, row] of this.rows) {
      if (!objects.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    [...objects.values()].forEach((object, place) => {
      if (!this.rows.has(object.id)) this.rows.set(object.id, this.row(object));
      const row = this.rows.get(object.id);
      const there = this.list.children[place] ?? null; // one that comes back has its place, and its key
      if (there !== row.element) this.list.insertBefore(row.element, there);
      this.fill(row, object);
    });
    const labels = [...new Set([...objects.values()].map((object) => object.label).filter(Boolean))];
    this.classes.replaceChildren(...labels.map((label) => h("option", { value: label })));
    this.empty.hidden = objects.size > 0;
    const none = store.selected === null;
    for (const button of [this.remove, this.clear]) button.disabled = none;
    this.merge.disabled = none || objects.size < 2;
    this.updateStates();
  }

  row(object) {
    const { actions, store } = this;
    const id = object.id;
    const change = (about) => actions.change(id, about);
    const row = {
      colour: h("input", { type: "color", class: "swatch", "aria-label": "Colour", onchange: (e) => change({ colour: e.target.value }) }),
      name: h("input", { type: "text", class: "name", maxLength: 200, "aria-label": "Name", spellcheck: "false" }),
      label: h("input", { type: "text", class: "label", maxLength: 200, "aria-label": "Class", placeholder: "class", spellcheck: "false" }),
      state: h("span", { class: "state" }),
      eye: iconButton("eye", "Visible", "", () => actions.view([id], { visible: !store.objects.get(id).visible })),
      lock: iconButton("unlocked", "Locked", "", () => actions.view([id], { locked: !store.objects.get(id).locked })),
    };
    row.label.setAttribute("list", this.classes.id);
    for (const [input, key] of [
      [row.name, "name"],
      [row.label, "label"],
    ]) {
      input.addEventListener("change", async () => {
        const text = input.value.trim();
        const empty = key === "name" && !text;
        if (empty || !(await change({ [key]: text }))) input.value = store.objects.get(id)?.[key] ?? "";
      });
      input.addEventListener("keydown", (event) => {
        if (event.key === "Enter") input.blur();
        if (event.key === "Escape") {
          input.value = store.objects.get(id)[key];
          input.blur();
        }
        event.stopPropagation();
      });
      input.addEventListener("focus", () => store.select(id));
    }
    row.element = h(
      "li",
      { onpointerdown: (event) => event.target.closest("button, input[type=color]") || store.select(id) },
      row.colour,
      h("div", { class: "texts" }, row.name, h("div", { class: "under" }, row.label, row.state)),
      row.eye,
      row.lock,
    );
    return row;
  }

  fill(row, object) {
    const set = (input, value) => document.activeElement !== input && input.value !== value && (input.value = value);
    set(row.colour, object.colour);
    set(row.name, object.name);
    set(row.label, object.label);
    setIcon(row.eye, object.visible ? "eye" : "hidden");
    row.eye.setAttribute("aria-pressed", object.visible);
    row.eye.setAttribute("aria-label", `${object.name} visible`);
    row.eye.title = object.visible ? "Hide" : "Show";
    setIcon(row.lock, object.locked ? "lock" : "unlocked");
    row.lock.setAttribute("aria-pressed", object.locked);
    row.lock.setAttribute("aria-label", `${object.name} locked`);
    row.lock.title = object.locked ? "Unlock" : "Lock: nothing may change its masks";
    row.element.dataset.object = object.id;
    row.element.classList.toggle("chosen", object.id === this.store.selected);
    row.element.setAttribute("aria-current", object.id === this.store.selected);
    row.element.classList.toggle("dim", !object.visible);
  }

  /** What is known of every object on the frame that is shown. */
  updateStates() {
    const { store } = this;
    for (const [id, row] of this.rows) {
      const character = store.strips?.get(id)?.[store.frame];
      const mask = store.masksOf(store.frame)?.get(id);
      let [text, kind] = ["not tracked here", ""];
      if (character === "x") [text, kind] = ["absent", "absent"];
      else if (mask?.[3] === "drawn") [text, kind] = ["painted", "good"];
      else if (character !== undefined && character !== "-") {
        const iou = mask ? mask[1] : Number(character) / 10;
        [text, kind] = [`${Math.round(iou * 100)} %`, iou * 10 < LOW ? "low" : "good"];
      }
      row.state.textContent = text;
      row.state.className = `state ${kind}`;
    }
  }

  askMerge() {
    const { store, actions } = this;
    const into = store.objects.get(store.selected);
    const others = [...store.objects.values()].filter((object) => object.id !== into.id);
    const dialog = h("dialog", { class: "sheet small", "aria-label": "Merge objects" });
    const choose = (other) => {
      dialog.close();
      actions.merge(into.id, [other.id]);
    };
    dialog.append(
      h("h2", {}, `Merge into ${into.name}`),
      h("p", {}, `${into.name} gets everything that the other object covers, on every frame, and its prompts; the other then is gone. This can be undone.`),
      h(
        "div",
        { class: "choices" },
        others.map((other) => {
          const dot = h("span", { class: "dot" });
          dot.style.background = other.colour;
          return h("button", { type: "button", onclick: () => choose(other) }, dot, other.name);
        }),
      ),
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")),
    );
    dialog.addEventListener("close", () => dialog.remove());
    this.element.append(dialog);
    dialog.showModal();
  }

  /** Edit the selected object's name. */
  rename() {
    const row = this.rows.get(this.store.selected);
    row?.name.focus();
    row?.name.select();
  }
}


