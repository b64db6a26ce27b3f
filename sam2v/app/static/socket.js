// A model as a widget has it, whose other end is the server: it connects again when the connection is lost.

export class SocketModel {
  constructor(id) {
    this.id = id;
    this.values = new Map();
    this.listeners = new Map();
    this.queue = []; // until the server has said hello
    this.greeted = false;
    this.wait = 300;
    this.connect();
  }

  connect() {
    if (this.refused) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/api/projects/${encodeURIComponent(this.id)}/socket`);
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = () => {
      if (!this.greeted && !this.refused) this.askWhy();
      this.greeted = false;
      this.queue = []; // whoever asked is told that there is no answer: nothing of it may happen later
      if (this.refused) return;
      this.emit("closed");
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(5000, this.wait * 2);
    };
  }

  /** A browser does not say why there is no connection: a server that wants another token does. */
  async askWhy() {
    const response = await fetch("/api/library").catch(() => null);
    if (response?.status === 403) this.refuse(await response.text());
  }

  refuse(text) {
    if (this.refused) return;
    this.refused = true;
    this.emit("refused", text);
  }

  take(message) {
    if (message.type === "refused") {
      this.refuse(message.text);
      return;
    }
    if (message.type === "hello") {
      this.wait = 300;
      this.greeted = true;
      if (message.stops) this.values.set("stops", message.stops);
      const id = encodeURIComponent(message.id);
      this.values.set("frames_at", `/api/projects/${id}/frames/{frame}.jpg?v=${message.version}`);
      this.values.set("preview_at", `/api/projects/${id}/preview/{frame}`);
      this.values.set("exports_at", `/api/projects/${id}/exports/{file}`);
      for (const text of this.queue.splice(0)) this.socket.send(text);
      this.emit("opened");
      return;
    }
    this.emit("msg:custom", message, []);
  }

  /** Connect no more. */
  close() {
    this.refused = true;
    this.socket.close();
  }

  send(content) {
    const text = JSON.stringify(content);
    if (this.greeted && this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
    else this.queue.push(text);
  }

  get(name) {
    return this.values.get(name);
  }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(listener);
  }

  emit(name, ...values) {
    for (const listener of this.listeners.get(name) ?? []) listener(...values);
  }
}
