// People's tasks of a data engine's project: what waits for somebody, and the task that they work at.

import { Activity } from "./activity.js";
import { render } from "./annotator.js";
import { h } from "./dom.js";
import { SocketModel } from "./socket.js";
import { TaskBar } from "./taskbar.js";
import { followTheme } from "./theme.js";

const NAMES = { annotate: "Annotate", verify: "Verify" };

async function asked(address, about, options = {}) {
  const response = await fetch(address, about === undefined ? options : { method: "POST", body: JSON.stringify(about), ...options });
  let answer;
  try {
    answer = await response.json();
  } catch {
    answer = { error: `The server does not answer as it should (${response.status}).` };
  }
  if (response.ok && answer.error === undefined) return answer;
  throw Object.assign(new Error(answer.error), { status: response.status });
}

export class Tasks {
  constructor(el, library) {
    Object.assign(this, { el, about: `${library.model} on ${library.device}`, kind: "annotate" });
    document.addEventListener("keydown", (event) => this.press(event));
    this.see(library.tasks);
  }

  /** The task that somebody has, or what waits for them. */
  see(tasks, text = "") {
    if (tasks.task) this.work(tasks.task);
    else this.home(tasks, text);
  }

  clear() {
    clearInterval(this.looking);
    this.activity?.end();
    this.model?.close();
    this.remove?.();
    this.activity = this.model = this.remove = this.choices = null;
    this.el.replaceChildren();
  }

  // -- between tasks

  home(tasks, text, extra = []) {
    this.clear();
    document.title = "Tasks – sam2v";
    this.message = h("p", { class: "message", role: "alert" }, text);
    this.hint = h("p", { class: "hint", role: "status" });
    this.choices = Object.entries(NAMES).map(([kind, name]) => {
      const count = h("span", { class: "badge" });
      const key = kind[0].toUpperCase();
      const button = h("button", { type: "button", onclick: () => this.take(kind) }, h("strong", {}, name), count, h("kbd", {}, key));
      button.setAttribute("aria-keyshortcuts", key);
      return { kind, name, button, count };
    });
    const page = h(
      "div",
      { class: "sam2v home-page" },
      h("header", { class: "bar" }, h("span", { class: "mark" }, "sam2v"), h("h1", { class: "title" }, `Tasks of ${tasks.person}`), h("div", { class: "spread" }), h("span", { class: "about" }, this.about)),
      h("main", {}, h("h2", {}, "Next task"), h("div", { class: "next-task" }, this.choices.map(({ button }) => button)), this.hint, this.message, extra),
    );
    followTheme(page);
    this.el.append(page);
    this.count(tasks);
    this.looking = setInterval(() => this.look(), 3000);
  }

  /** Say how many tasks wait; the keyboard's focus is on what was done last, if there is more of it. */
  count({ waiting }) {
    for (const { kind, name, button, count } of this.choices) {
      count.textContent = waiting[kind];
      button.disabled = !waiting[kind];
      button.setAttribute("aria-label", `${name}, ${waiting[kind]} waiting`);
    }
    const some = this.choices.filter(({ button }) => !button.disabled);
    this.hint.textContent = some.length ? "" : "Nothing waits for you. What others hand in appears here.";
    const first = some.find(({ kind }) => kind === this.kind) ?? some[0];
    for (const { button } of this.choices) button.classList.toggle("primary", button === first?.button);
    if (document.activeElement === document.body) first?.button.focus();
  }

  async look() {
    try {
      const { tasks } = await asked("/api/library");
      if (this.choices) this.count(tasks);
    } catch {
      // the next look may find it
    }
  }

  press(event) {
    if (!this.choices || event.ctrlKey || event.altKey || event.metaKey) return;
    const chosen = this.choices.find(({ kind, button }) => kind[0] === event.key.toLowerCase() && !button.disabled);
    chosen?.button.click();
  }

  async take(kind) {
    if (this.taking) return;
    this.taking = true;
    try {
      const { task } = await asked(`/api/take/${kind}`, {});
      this.kind = kind;
      if (task) this.work(task);
      else await this.look();
    } catch (error) {
      this.message.textContent = error.message;
    }
    this.taking = false;
  }

  // -- a task

  work(task) {
    this.clear();
    this.kind = task.kind;
    this.bar = new TaskBar(task, (what, note) => this.end(task, what, note));
    this.model = new SocketModel(task.id);
    for (const [name, value] of Object.entries({ formats: {}, effects: [], rendered: {}, task: this.bar })) this.model.values.set(name, value);
    this.model.on("refused", (text) => this.refused(task, text));
    this.remove = render({ model: this.model, el: this.el });
    this.activity = new Activity((seconds) => this.report(task, seconds));
  }

  async report(task, seconds) {
    const { activity } = this;
    try {
      const answer = await asked(`/api/tasks/${task.id}/seconds`, { seconds }, { keepalive: true });
      if (activity === this.activity) this.bar.show(answer.seconds);
    } catch (error) {
      if (error.status === 409 && activity === this.activity) this.lost(error.message);
      else activity?.keep(seconds);
    }
  }

  /** End a task; what is wrong is an Error, and the task goes on. */
  async end(task, what, note) {
    const seconds = this.activity?.take() ?? 0;
    let tasks;
    try {
      tasks = await asked(`/api/tasks/${task.id}/end`, { do: what, note, seconds });
    } catch (error) {
      if (error.status !== 409) {
        if (error.status === undefined) this.activity?.keep(seconds);
        throw error;
      }
      await this.lost(error.message);
      return;
    }
    this.see(tasks);
  }

  /** A task that is not theirs any more. */
  async lost(text) {
    const { tasks } = await asked("/api/library");
    this.home({ ...tasks, task: null }, text);
  }

  /** A task that cannot be opened. */
  async refused(task, text) {
    try {
      const { tasks } = await asked("/api/library");
      const theirs = tasks.task?.id === task.id;
      const back = h("button", { type: "button", onclick: () => this.end(task, "release", text).catch((error) => (this.message.textContent = error.message)) }, "Give the task back");
      this.home(tasks, text, theirs ? [h("p", {}, back)] : []);
    } catch (error) {
      this.home({ person: "", waiting: { annotate: 0, verify: 0 } }, `${text} ${error.message}`);
    }
  }
}
