// Talking to whoever has the model: a server behind a socket, or a kernel behind a notebook's widget. Both look like
// the model that a widget gets: `send`, `on("msg:custom")`, `get`.

export class Link {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.listeners = new Map();
    this.count = Math.floor(Math.random() * 2 ** 40); // of a widget that is shown twice every view gets all answers
    this.heard = (message, buffers) => this.take(message, buffers);
    model.on("msg:custom", this.heard);
  }

  /** Ask for something; the promise has the answer, or an Error with one clear sentence. */
  ask(what, fields = {}) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.model.send({ ...fields, do: what, ask: id });
    });
  }

  /** Call a function with every message of a type. */
  on(type, listener) {
    if (!this.listeners.has(type)) this.listeners.set(type, []);
    this.listeners.get(type).push(listener);
  }

  /** The picture of a frame, as a Blob. */
  async frame(index) {
    const address = this.model.get("frames_at");
    if (!address) {
      const { buffers } = await this.ask("frame", { frame: index });
      return new Blob([buffers[0]], { type: "image/jpeg" });
    }
    const response = await fetch(address.replace("{frame}", index));
    if (!response.ok) throw new Error(await response.text());
    return response.blob();
  }

  /** The picture of a frame with effects, as a Blob. */
  async preview(index, effects) {
    const address = this.model.get("preview_at");
    if (!address) {
      const { kind, buffers } = await this.ask("preview", { frame: index, effects });
      return new Blob([buffers[0]], { type: kind });
    }
    const response = await fetch(`${address.replace("{frame}", index)}?effects=${encodeURIComponent(JSON.stringify(effects))}`);
    if (!response.ok) throw new Error(await response.text());
    return response.blob();
  }

  take(message, buffers) {
    if (message.type === "reply") {
      const asked = this.waiting.get(message.ask);
      this.waiting.delete(message.ask);
      if (!asked) return;
      if (message.error !== undefined) asked.reject(new Error(message.error));
      else asked.resolve(buffers?.length ? { ...message.value, buffers } : message.value);
      return;
    }
    for (const listener of this.listeners.get(message.type) ?? []) listener(message);
  }

  /** Hear no more; a widget's model lives on. */
  close() {
    this.model.off?.("msg:custom", this.heard);
    this.drop("This was closed.");
  }

  /** What was asked will not be answered. */
  drop(text) {
    for (const { reject } of this.waiting.values()) reject(new Error(text));
    this.waiting.clear();
  }
}
