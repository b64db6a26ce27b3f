// A task in the annotator: what ends it, with keys, in the bar of the page.

import { h } from "./dom.js";

const LOOKING = ["Space", "Home", "End", "+", "-", "0", "?", "Escape"];
const STEPS = ["ArrowLeft", "ArrowRight"];
const ELSEWHERE = ["n", "a", "x", "f", "d"];

export class TaskBar {
  /** `end(do, note)` ends the task; the promise says whether it did. */
  constructor(task, end) {
    Object.assign(this, { task, end });
    this.verifying = task.kind === "verify";
    this.byFrame = !this.verifying && task.phase === 1;
    const [again, done] = this.verifying ? ["unsatisfactory", "satisfactory"] : ["reject", "submit"];
    this.choices = this.verifying
      ? [
          ["Ctrl+Backspace", "Give back", "Leave the task to somebody else", () => this.ask("release")],
          ["n", "Not satisfactory", "The masks are not satisfactory: say why", () => this.ask(again)],
          ["y", "Satisfactory", "The masks are satisfactory", () => this.finish(done)],
        ]
      : [
          ["Ctrl+Backspace", "Give back", "Leave the task to somebody else", () => this.ask("release")],
          ["Ctrl+Delete", "Give up", "Give the object up: there is none, or it has no clear boundary", () => this.ask(again)],
          ["Ctrl+Enter", "Hand in", "Hand the masks in", () => this.finish(done)],
        ];
    this.time = h("span", { class: "about task-time", "aria-live": "off" });
    this.buttons = this.choices.map(([key, name, about, run], i) => {
      const button = h("button", { type: "button", class: i === 2 ? "labelled primary" : "labelled", title: `${about} (${key.length === 1 ? key.toUpperCase() : key})`, onclick: run }, name);
      button.setAttribute("aria-keyshortcuts", key.replace("Ctrl", "Control"));
      return button;
    });
    this.element = h("div", { class: "group task-bar", role: "group", "aria-label": this.verifying ? "Verify" : "Annotate" }, this.time, this.buttons);
    this.show(task.seconds);
  }

  /** Become part of the annotator of the task's video. */
  join(app) {
    this.app = app;
    const { store, player } = app;
    app.element.classList.add("task", this.task.kind);
    for (const one of [app.about, app.exportButton]) one.hidden = true;
    if (this.byFrame) for (const one of [...app.trackButtons, app.resume, app.stop, app.only.closest("label")]) one.remove();
    app.about.before(this.element);
    const own = this.choices.map(([key, , about, run]) => ["Task", key, about, run]);
    const step = (to) => () => {
      player.stop();
      if (to() !== undefined) store.show(to());
    };
    const looking = [
      ["Frames", "ArrowLeft", "One annotated frame back", step(() => store.stops.findLast((stop) => stop < store.frame))],
      ["Frames", "ArrowRight", "One annotated frame on", step(() => store.stops.find((stop) => stop > store.frame))],
      ...app.commands.filter(([, key]) => LOOKING.includes(key)),
    ];
    const tracks = ([group, key, , , when]) => group === "Tracking" || (STEPS.includes(key) && !when);
    const usual = app.commands.filter((command) => !ELSEWHERE.includes(command[1]));
    const byFrame = [...usual.filter((command) => !tracks(command)), ...looking.slice(0, 2)];
    app.commands = [...own, ...(this.verifying ? looking : this.byFrame ? byFrame : usual)];
    store.on("objects loaded", () => {
      const [first] = store.objects.keys();
      if (store.selected === null && first !== undefined) store.select(first);
    });
    const words = this.verifying ? "Verify" : "Annotate";
    store.on("loaded", () => (app.title.textContent = `${words} object ${this.task.object} of ${store.name}`));
    const begin = () => {
      store.removeEventListener("loaded", begin);
      if (this.task.note) app.say(`Sent back: ${this.task.note}`, "error", true);
      if (this.verifying || this.byFrame) store.stops = app.link.model.get("stops");
      if (!this.verifying) return;
      store.choose("hand");
      player.start();
    };
    store.addEventListener("loaded", begin);
  }

  show(seconds) {
    const whole = Math.floor(seconds);
    this.time.textContent = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} active`;
  }

  /** End the task, once however often a key is pressed. */
  async finish(what, note = "") {
    if (this.ending) return;
    this.ending = true;
    this.app.player.stop();
    try {
      await this.app.actions.queue; // a click that is not answered yet
      await this.end(what, note);
    } catch (error) {
      this.app.say(error.message, "error");
    }
    this.ending = false;
  }

  /** End the task after a question. */
  ask(what) {
    const [title, text, says] = {
      release: ["Give the task back", "Somebody else gets it. What you did to it is not handed in.", false],
      reject: ["Give the object up", "It is left out of the data set. Why?", true],
      unsatisfactory: ["Not satisfactory", "It goes back to be refined. What is wrong?", true],
    }[what];
    this.app.player.stop();
    const note = h("input", { type: "text", class: "note", maxLength: 500, "aria-label": text, hidden: !says });
    const dialog = h("dialog", { class: "sheet small", "aria-label": title });
    const go = () => {
      dialog.close();
      this.finish(what, note.value);
    };
    note.addEventListener("keydown", (event) => event.key === "Enter" && go());
    const sure = h("button", { type: "button", class: "primary", onclick: go }, title);
    dialog.append(h("h2", {}, title), h("p", {}, text), note, h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), sure));
    dialog.addEventListener("close", () => dialog.remove());
    this.app.element.append(dialog);
    dialog.showModal();
    (says ? note : sure).focus();
  }
}
