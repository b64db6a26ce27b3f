// What people do, as requests; every error becomes one message.

export class Actions {
  constructor(app) {
    this.app = app;
    this.queue = Promise.resolve();
    this.coming = null; // the object that the next click makes, or makes already: { id }, null until it has one
    this.visited = [];
  }

  get store() {
    return this.app.store;
  }

  async ask(what, fields) {
    try {
      return await this.store.link.ask(what, fields);
    } catch (error) {
      this.app.say(error.message, "error");
      return null;
    }
  }

  /**
   * Prompt the object that is selected now, or a new one, on the frame that is shown, one after the other:
   * change(old, frame, id) makes the new prompt of the old one when its turn has come, or null if there is none.
   */
  prompt(change) {
    const { store } = this;
    const frame = store.frame;
    this.app.player.stop();
    if (store.previewing) this.app.effects.preview(false);
    const target = store.selected === null ? (this.coming ??= { id: null }) : { id: store.selected };
    this.queue = this.queue.then(() => this.prompted(frame, target, change)).catch((error) => this.app.say(error.message, "error"));
    return this.queue;
  }

  async prompted(frame, target, change) {
    const { store } = this;
    const { id } = target;
    const prompt = change(id === null ? { points: [], box: null, mask: null } : store.promptOf(frame, id), frame, id);
    if (!prompt) return;
    const began = performance.now();
    const empty = !prompt.points.length && !prompt.box && !prompt.mask;
    if (empty && id === null) return;
    if (id === null && !prompt.mask && !prompt.box && !prompt.points.some((point) => point[2])) {
      this.app.say("Start an object with a click on it; then take away what does not belong to it.", "error");
      return;
    }
    store.pending = { frame, id, prompt };
    store.tell("masks");
    const answer = await this.ask("prompt", { frame, object: id, prompt: { ...prompt, mask: prompt.mask || null } });
    store.pending = null;
    store.tell("masks");
    if (!answer) return;
    target.id = answer.id;
    if (this.coming === target) {
      this.coming = null;
      if (store.selected === null) store.select(answer.id);
    }
    this.app.element.dataset.answered = Math.round(performance.now() - began);
  }

  /** Select nothing: the next click makes an object. */
  deselect() {
    this.coming = null;
    this.store.select(null);
  }

  clear() {
    if (this.store.selected !== null) this.prompt(() => ({ points: [], box: null, mask: null }));
  }

  newObject() {
    this.deselect();
    if (["hand", "eraser", "subtract"].includes(this.store.tool)) this.store.choose("add");
    this.app.say("The next click makes a new object.");
  }

  change(id, about) {
    return this.ask("object", { id, ...about });
  }

  view(objects, about) {
    return this.ask("view", { objects, ...about });
  }

  toggle(what) {
    const object = this.store.objects.get(this.store.selected);
    if (object) this.view([object.id], { [what]: !object[what] });
  }

  async remove() {
    const object = this.store.objects.get(this.store.selected);
    if (object && (await this.ask("remove", { objects: [object.id] }))) this.app.say(`${object.name} is deleted. Undo brings it back.`);
  }

  merge(into, objects) {
    return this.ask("merge", { into, objects });
  }

  async auto() {
    this.app.busy("Looking for everything on this frame …");
    const answer = await this.ask("auto", { frame: this.store.frame });
    this.app.busy(null);
    if (answer) this.app.say(`${answer.ids.length} objects were found.`);
  }

  selectNumber(number) {
    const id = [...this.store.objects.keys()][number - 1];
    if (id !== undefined) this.store.select(id);
  }

  nextObject(by) {
    const ids = [...this.store.objects.keys()];
    if (ids.length) this.store.select(ids[(ids.indexOf(this.store.selected) + by + ids.length) % ids.length]);
  }

  async track(direction) {
    const { store } = this;
    const fields = { frame: store.frame, direction };
    if (store.range) [fields.first, fields.last] = store.range;
    if (this.app.onlySelected() && store.selected !== null) fields.objects = [store.selected];
    this.app.player.stop();
    store.following = true;
    await this.ask("track", fields);
  }

  resume() {
    this.store.following = true;
    return this.ask("resume");
  }

  stop() {
    return this.ask("stop");
  }

  verify() {
    const { store } = this;
    return this.ask("verify", { frames: [store.frame], verified: !store.verified.has(store.frame) });
  }

  async worst() {
    const { store } = this;
    const answer = await this.ask("worst");
    if (!answer) return;
    const fresh = answer.worst.find(({ frame }) => !this.visited.includes(frame)) ?? answer.worst[0];
    if (!fresh) {
      this.app.say("No frame has been tracked that is not verified.");
      return;
    }
    this.visited.push(fresh.frame);
    if (this.visited.length >= answer.worst.length) this.visited = [];
    store.select(fresh.object);
    store.show(fresh.frame);
    this.app.say(`Frame ${fresh.frame}: ${store.objects.get(fresh.object)?.name} is at ${Math.round(fresh.iou * 100)} %.`);
  }

  toPrompt(way) {
    const { store } = this;
    const frames = Object.keys(store.prompts).map(Number).sort((a, b) => (a - b) * way);
    const next = frames.find((frame) => (frame - store.frame) * way > 0);
    if (next !== undefined) store.show(next);
  }

  brush(factor) {
    const { store } = this;
    store.brush = Math.max(2, Math.min(400, Math.round(store.brush * factor) + (factor > 1 ? 1 : -1)));
    store.tell("tool");
    this.app.say(`Brush of ${store.brush} pixels`);
  }

  crosshair() {
    this.app.stage.canvas.focus();
    const on = this.app.tools.crosshair();
    this.app.say(on ? "Arrows move the crosshair, Enter clicks, Shift+Enter takes away, Esc leaves." : "The arrows step through frames again.");
  }

  undo() {
    return this.ask("undo");
  }

  redo() {
    return this.ask("redo");
  }

  exporting() {
    this.app.exports.open();
  }

  effects() {
    this.app.turnTo(this.app.effects.element.hidden ? "Effects" : "Objects");
  }

  escape() {
    const { app, store } = this;
    if (app.stage.cursor) app.tools.crosshair(false);
    else if (app.player.playing) app.player.stop();
    else if (store.range) {
      store.range = null;
      store.tell("range", "frame");
    } else this.deselect();
  }
}

/** What undoing or redoing an event is called. */
export function nameEvent(event, objects) {
  if (!event) return "";
  const name = event.objects.length === 1 ? (objects.get(event.objects[0])?.name ?? `object ${event.objects[0]}`) : `${event.objects.length} objects`;
  return (
    {
      prompt: `prompt of ${name} on frame ${event.frame}`,
      object: `change of ${name}`,
      remove: `deletion of ${name}`,
      merge: "merging",
      verify: "verified mark",
      track: "tracking",
      import: "import of masks",
    }[event.do] ?? event.do
  );
}
