// Playing the frames with their masks, at the video's rate; a frame that has not come is waited for, none is left out.

export class Player {
  constructor(store) {
    this.store = store;
  }

  get playing() {
    return Boolean(this.store.playing);
  }

  toggle() {
    if (this.playing) this.stop();
    else this.start();
  }

  /** The frame that is played after another one: the next in the range, or the next of those looked at alone. */
  after(frame) {
    const { stops, length, range } = this.store;
    if (range && (frame < range[0] || frame >= range[1])) return range[0];
    return stops ? (stops.find((stop) => stop > frame) ?? length) : frame + 1;
  }

  start() {
    const { store } = this;
    if (!store.ready) return;
    if (this.after(store.frame) >= store.length) store.show(0);
    store.playing = true;
    this.due = performance.now();
    store.tell("playing");
    this.step();
  }

  stop() {
    if (!this.playing) return;
    this.store.playing = false;
    this.store.tell("playing");
    this.store.show(this.store.frame);
  }

  async step() {
    const { store } = this;
    if (!store.playing) return;
    const next = this.after(store.frame);
    if (next >= store.length) {
      this.stop();
      return;
    }
    for (let ahead = next + 1; ahead < Math.min(store.length, next + 4); ahead++) store.picture(ahead).catch(() => {});
    try {
      await store.picture(next);
    } catch (error) {
      this.stop();
      store.tellError(error);
      return;
    }
    this.due = Math.max(this.due + (1000 / store.fps) * Math.max(1, next - store.frame), performance.now() - 200);
    setTimeout(() => {
      if (!store.playing) return;
      store.show(next);
      this.step();
    }, Math.max(0, this.due - performance.now()));
  }
}
