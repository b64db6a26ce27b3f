// The annotator, in the shape of a widget: render({ model, el }) builds it in an element and returns what removes it.

import { Actions, nameEvent } from "./actions.js";
import { commandsOf, helpSheet, press } from "./commands.js";
import { h, iconButton, setIcon } from "./dom.js";
import { Effects } from "./effects.js";
import { Exports } from "./exports.js";
import { Link } from "./link.js";
import { ObjectList } from "./objects.js";
import { Player } from "./player.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Timeline } from "./timeline.js";
import { chooseTheme, currentTheme, followTheme } from "./theme.js";
import { TOOLS, Tools } from "./tools.js";

class App {
  constructor(model, el) {
    this.link = new Link(model);
    this.store = new Store(this.link);
    this.actions = new Actions(this);
    this.player = new Player(this.store);
    this.stage = new Stage(this.store);
    this.tools = new Tools(this.store, this.stage, (change) => this.actions.prompt(change));
    this.timeline = new Timeline(this.store);
    this.list = new ObjectList(this.store, this.actions);
    this.exports = new Exports(this, model.get("formats") ?? {});
    this.effects = new Effects(this, model.get("effects") ?? [], model.get("rendered") ?? {});
    this.commands = commandsOf(this);
    this.build(model);
    el.append(this.element);
    this.listen();
    model.get("task")?.join(this);
    this.link.on("error", ({ text }) => this.say(text, "error"));
    this.store.addEventListener("error", (event) => this.say(event.detail, "error"));
    model.on("closed", () => {
      this.link.drop("The connection was lost before the answer came.");
      this.say("The connection to the server is lost. Everything is saved; trying again …", "error", true);
    });
    model.on("opened", () => this.load());
    if (model.get("frames_at") || model.get("ready")) this.load();
  }

  async load() {
    try {
      await this.store.load();
      this.silence();
    } catch (error) {
      this.say(error.message, "error", true);
    }
  }

  build(model) {
    const { actions, store } = this;
    const home = model.get("home");
    this.title = h("h1", { class: "title" }, "…");
    this.undo = iconButton("undo", "Undo", "Ctrl+Z", () => actions.undo());
    this.redo = iconButton("redo", "Redo", "Ctrl+Shift+Z", () => actions.redo());
    const bar = h(
      "header",
      { class: "bar" },
      home ? h("a", { class: "home", href: home, "aria-label": "All videos" }, h("span", { class: "mark" }, "sam2v")) : h("span", { class: "mark" }, "sam2v"),
      this.title,
      h("div", { class: "group" }, this.undo, this.redo),
      h("div", { class: "spread" }),
      (this.about = h("span", { class: "about" }, model.get("about") ?? "")),
      iconButton("fit", "Show the whole picture", "0", () => this.stage.fit()),
      iconButton("theme", "Light or dark", "", () => this.switchTheme()),
      iconButton("help", "Keys", "?", () => this.help()),
      (this.exportButton = iconButton("export", "Export", "X", () => actions.exporting(), "Export")),
    );
    this.exportButton.classList.add("primary");
    this.undo.disabled = this.redo.disabled = true;
    this.rail = h("nav", { class: "rail", "aria-label": "Tools" });
    this.toolButtons = Object.entries(TOOLS).map(([tool, { name, icon: drawing, key }]) => {
      const button = iconButton(drawing, name, key.toUpperCase(), () => store.choose(tool));
      button.dataset.tool = tool;
      this.rail.append(button);
      return button;
    });
    this.toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    this.alerts = h("div", { class: "toasts alerts", role: "alert" });
    this.wait = h("div", { class: "wait", hidden: true });
    const [side, transport] = [this.side(), this.transport()];
    const main = h("main", { class: "middle" }, this.rail, h("div", { class: "center" }, this.stage.element, this.wait, this.alerts, this.toasts), side);
    this.element = h("div", { class: "sam2v" }, bar, main, transport, this.timeline.element, this.exports.dialog);
    this.element.style.setProperty("--rows", "3");
    this.idle = [this.rail, this.stage.element, side, transport, this.timeline.element]; // until the project is there
    for (const part of this.idle) part.inert = true;
    this.embedded = Boolean(model.get("embedded"));
    if (this.embedded) this.element.dataset.lmSuppressShortcuts = "true"; // else X would cut JupyterLab's cell, too
    this.unfollow = followTheme(this.element, () => this.redraw());
  }

  /** Objects or effects. */
  side() {
    const pages = { Objects: this.list.element, Effects: this.effects.element };
    const panel = h("aside", { class: "panel" });
    const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Objects or effects" });
    this.turnTo = (name) => {
      for (const tab of tabs.children) {
        const chosen = tab.textContent === name;
        tab.setAttribute("aria-selected", chosen);
        tab.tabIndex = chosen ? 0 : -1;
        pages[tab.textContent].hidden = !chosen;
      }
    };
    for (const [name, page] of Object.entries(pages)) {
      page.setAttribute("role", "tabpanel");
      const turn = (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        const other = [...tabs.children].find((one) => one !== event.target);
        this.turnTo(other.textContent);
        other.focus();
        event.stopPropagation();
      };
      tabs.append(h("button", { type: "button", role: "tab", onclick: () => this.turnTo(name), onkeydown: turn }, name));
    }
    panel.append(tabs, ...Object.values(pages));
    this.turnTo("Objects");
    return panel;
  }

  transport() {
    const { actions, store, player } = this;
    const go = (frame) => () => {
      player.stop();
      store.show(frame());
    };
    this.play = iconButton("play", "Play", "Space", () => player.toggle());
    this.number = h("input", { type: "number", class: "frame-number", min: "0", "aria-label": "Frame", onchange: (e) => go(() => Number(e.target.value))() });
    this.number.addEventListener("keydown", (event) => event.stopPropagation());
    this.of = h("span", { class: "of" });
    this.verified = iconButton("verify", "Verified: never overwrite this frame", "V", () => actions.verify(), "Verified");
    this.verified.setAttribute("aria-pressed", "false");
    this.only = h("input", { type: "checkbox" });
    this.trackButtons = [
      iconButton("trackback", "Track backward from here", "Shift+T", () => actions.track("backward")),
      iconButton("trackboth", "Track both ways from here", "Y", () => actions.track("both")),
      iconButton("tracknext", "Track forward from here", "T", () => actions.track("forward"), "Track"),
    ];
    this.resume = iconButton("resume", "Go on where tracking stopped", "U", () => actions.resume(), "Continue");
    this.stop = iconButton("stop", "Stop tracking", "S", () => actions.stop(), "Stop");
    this.stop.classList.add("danger");
    this.trackButtons[2].classList.add("primary");
    this.progress = h("progress", { class: "progress", max: "1", "aria-label": "Tracking" });
    this.progressText = h("span", { class: "progress-text", "aria-live": "off" });
    this.rangeText = h("button", { type: "button", class: "range", hidden: true, title: "Forget the range", onclick: () => this.forgetRange() });
    return h(
      "div",
      { class: "transport", role: "toolbar", "aria-label": "Frames and tracking" },
      h(
        "div",
        { class: "group" },
        iconButton("first", "First frame", "Home", go(() => 0)),
        iconButton("back", "One frame back", "←", go(() => store.frame - 1)),
        this.play,
        iconButton("next", "One frame on", "→", go(() => store.frame + 1)),
        iconButton("last", "Last frame", "End", go(() => store.length - 1)),
      ),
      h("label", { class: "position" }, this.number, this.of),
      this.verified,
      iconButton("worst", "Go to the worst frame, then to the next worse", "W", () => actions.worst(), "Worst"),
      h("div", { class: "spread" }),
      this.rangeText,
      this.progressText,
      this.progress,
      h("label", { class: "only" }, this.only, "selected only"),
      h("div", { class: "group" }, this.trackButtons, this.resume, this.stop),
    );
  }

  listen() {
    const { store } = this;
    store.on("loaded", () => {
      for (const part of this.idle) part.inert = false;
      this.title.textContent = store.name;
      document.title = `${store.name} – sam2v`;
      this.number.max = store.length - 1;
      this.of.textContent = `of ${store.length - 1}`;
    });
    store.on("frame loaded", () => {
      if (document.activeElement !== this.number) this.number.value = store.frame;
    });
    store.on("frame objects masks loaded", () => {
      const verified = store.verified?.has(store.frame) ?? false;
      this.verified.setAttribute("aria-pressed", verified);
      const chosen = store.objects?.get(store.selected);
      const what = chosen ? `${chosen.name} is selected` : "no object is selected";
      this.stage.canvas.setAttribute("aria-label", `Frame ${store.frame}, ${what}. Press G for a crosshair that keys move, question mark for all keys.`);
    });
    store.on("tracking loaded objects", () => this.updateTracking());
    store.on("objects loaded", () => this.updateHistory());
    store.on("objects loaded", () => this.element.style.setProperty("--rows", Math.max(2, Math.min(6, store.objects.size))));
    store.on("tool", () => this.updateTool());
    store.on("range", () => {
      this.rangeText.hidden = !store.range;
      if (store.range) this.rangeText.textContent = `Range ${store.range[0]} to ${store.range[1]}  ✕`;
    });
    store.on("playing", () => {
      setIcon(this.play, store.playing ? "pause" : "play");
      this.play.setAttribute("aria-label", store.playing ? "Pause" : "Play");
    });
    this.updateTool();
    this.keydown = (event) => {
      if (event.target.matches?.("input[type=text], input[type=number], input[type=range], select, textarea") || document.querySelector("dialog[open]")) return;
      if (!this.element.isConnected || (this.embedded && !this.element.contains(document.activeElement))) return;
      if (!event.ctrlKey && (event.key === " " || event.key === "Enter") && event.target.closest?.("button, a, input")) return;
      if (store.ready && press(this.commands, event, this)) event.preventDefault();
    };
    document.addEventListener("keydown", this.keydown);
    this.element.addEventListener("dragover", (event) => event.preventDefault());
    this.element.addEventListener("drop", (event) => event.preventDefault());
  }

  updateTool() {
    for (const button of this.toolButtons) button.setAttribute("aria-pressed", button.dataset.tool === this.store.tool);
    this.stage.draw();
  }

  updateTracking() {
    const { tracking } = this.store;
    if (!tracking) return;
    const left = tracking.left.reduce((sum, [begin, end]) => sum + Math.abs(end - begin) + 1, 0);
    const running = tracking.running;
    if (running && !this.total) this.total = left;
    if (!running) this.total = 0;
    const remaining = tracking.remaining ?? left;
    for (const button of this.trackButtons) button.hidden = running;
    this.stop.hidden = this.progress.hidden = !running;
    this.resume.hidden = running || !left;
    this.progressText.textContent = running ? `${tracking.at === null ? "starting" : `frame ${tracking.at}`}, ${remaining} to go` : left ? (tracking.at === null ? "tracking stopped" : `stopped at frame ${tracking.at}`) : "";
    if (running) this.progress.value = this.total ? 1 - remaining / this.total : 0;
    this.element.classList.toggle("tracking", running);
  }

  updateHistory() {
    const { history, objects } = this.store;
    for (const [button, event, word] of [
      [this.undo, history.undo, "Undo"],
      [this.redo, history.redo, "Redo"],
    ]) {
      button.disabled = !event;
      button.title = event ? `${word}: ${nameEvent(event, objects)}` : `Nothing to ${word.toLowerCase()}`;
      button.setAttribute("aria-label", event ? `${word}: ${nameEvent(event, objects)}` : word);
    }
  }

  forgetRange() {
    this.store.range = null;
    this.store.tell("range", "frame");
  }

  onlySelected() {
    return this.only.checked;
  }

  /** Tell something in one line: "error" stays longer, and is read out at once. */
  say(text, kind = "note", stays = false) {
    const place = kind === "error" ? this.alerts : this.toasts;
    const close = () => toast.remove();
    const toast = h("div", { class: `toast ${kind}` }, h("span", {}, text), h("button", { type: "button", "aria-label": "Dismiss", onclick: close }, "✕"));
    place.replaceChildren(toast);
    if (!stays) setTimeout(close, kind === "error" ? 9000 : 3500);
  }

  silence() {
    this.alerts.replaceChildren();
  }

  busy(text) {
    this.wait.hidden = !text;
    this.wait.textContent = text ?? "";
  }

  help() {
    this.sheet ??= this.element.appendChild(helpSheet(this.commands));
    this.sheet.showModal();
  }

  switchTheme() {
    chooseTheme(currentTheme() === "dark" ? "light" : "dark");
    this.element.dataset.theme = currentTheme();
    this.redraw();
  }

  redraw() {
    this.stage.draw();
    this.timeline.draw();
  }

  remove() {
    this.player.stop();
    this.unfollow();
    document.removeEventListener("keydown", this.keydown);
    this.store.close();
    this.link.close();
    this.element.remove();
  }
}

/** Build the annotator. */
export function render({ model, el }) {
  const app = new App(model, el);
  return () => app.remove();
}

export default { render };
