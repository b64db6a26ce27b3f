// What the page knows of the project, and the caches of frames and masks, bounded whatever the video's length is.

const MASK_FRAMES = 800;
const FRAME_BYTES = 160 * 2 ** 20;

export class Store extends EventTarget {
  constructor(link) {
    super();
    this.link = link;
    this.ready = false;
    this.frame = 0;
    this.selected = null;
    this.tool = "add";
    this.brush = 24;
    this.range = null;
    this.bitmaps = new Map();
    this.masks = new Map();
    this.asked = new Set();
    link.on("changed", (message) => this.change(message));
    link.on("tracked", (message) => this.tracked(message));
  }

  /** Tell what changed: "objects", "frame", "masks", "strips", "tracking", "tool", "picture". */
  tell(...names) {
    for (const name of names) this.dispatchEvent(new Event(name));
  }

  on(names, listener) {
    for (const name of names.split(" ")) this.addEventListener(name, listener);
  }

  async load() {
    const about = await this.link.ask("describe");
    Object.assign(this, { name: about.name, length: about.frames, fps: about.fps });
    [this.height, this.width] = about.size;
    this.most = Math.max(6, Math.min(48, Math.floor(FRAME_BYTES / (this.width * this.height * 4))));
    this.masks.clear();
    this.asked.clear();
    this.takeAbout(about);
    this.takeStrips(about.strips);
    if (!this.ready) this.frame = Math.min(this.length - 1, this.frame);
    this.ready = true;
    this.tell("objects", "frame", "masks", "strips", "tracking", "loaded");
    this.show(this.frame);
  }

  takeAbout(about) {
    this.objects = new Map(about.objects.map((object) => [object.id, object]));
    this.prompts = about.prompts;
    this.verified = new Set(about.verified);
    this.effects = about.effects;
    this.tracking = about.tracking;
    this.history = about.history;
    if (this.selected !== null && !this.objects.has(this.selected)) this.selected = null;
    for (const id of this.objects.keys()) this.strips?.get(id) ?? this.strips?.set(id, Array(this.length).fill("-"));
  }

  takeStrips(strips) {
    this.strips = new Map(Object.entries(strips).map(([id, text]) => [Number(id), Array.from(text)]));
  }

  change(message) {
    if (!this.ready) return;
    this.takeAbout(message);
    if (message.reload) {
      this.takeStrips(message.strips);
      this.masks.clear();
      this.asked.clear();
      this.want(this.frame);
    }
    this.takeMasks(message.masks ?? {});
    this.tell("objects", "strips", "tracking", "masks");
    if (this.previewing && (message.masks || message.reload)) this.previewChanged();
  }

  tracked(message) {
    if (!this.ready) return;
    this.tracking = { ...this.tracking, running: true, at: message.frame, remaining: message.left };
    this.takeMasks(message.masks);
    if (message.frame === this.frame) this.tell("masks");
    const now = performance.now();
    if (now - (this.told ?? 0) >= 250) {
      this.told = now;
      this.tell("strips", "tracking"); // all of it is told again when tracking ends
    }
    this.follow(message.frame);
  }

  /** Show the frames that are being tracked, unless somebody went elsewhere: as often as takes little of the time. */
  follow(frame) {
    const began = performance.now();
    if (!this.following || this.playing || began < (this.nextFollowed ?? 0)) return;
    this.nextFollowed = Infinity; // until this one is there
    this.show(frame, true);
    const shown = () => {
      const now = performance.now();
      this.nextFollowed = Math.max(began + 250, now + 8 * (now - began));
    };
    this.picture(frame).finally(() => requestAnimationFrame(() => requestAnimationFrame(shown))).catch(() => {});
  }

  takeMasks(masks) {
    for (const [frame, several] of Object.entries(masks)) {
      const known = this.masks.get(Number(frame));
      for (const [id, mask] of Object.entries(several)) {
        const strip = this.strips.get(Number(id));
        if (strip) strip[frame] = character(mask);
        if (!known) continue;
        if (mask) known.set(Number(id), mask);
        else known.delete(Number(id));
      }
    }
  }

  /** Masks of a frame by object, [counts, IoU, score, kind]; null while they are not there. */
  masksOf(frame) {
    return this.masks.get(frame) ?? null;
  }

  /** Have the masks of a frame, and of those around it, fetched. */
  want(frame) {
    if (this.masks.has(frame)) return;
    const missing = [];
    for (let near = frame - 2; near <= frame + 14; near++) {
      if (near >= 0 && near < this.length && !this.masks.has(near) && !this.asked.has(near)) missing.push(near);
    }
    if (!missing.length) return;
    missing.forEach((near) => this.asked.add(near));
    this.link
      .ask("masks", { frames: missing })
      .then(({ masks }) => {
        for (const near of missing) {
          if (!this.asked.delete(near)) continue; // forgotten meanwhile
          const several = new Map(Object.entries(masks[near] ?? {}).map(([id, mask]) => [Number(id), mask]));
          this.masks.set(near, several);
        }
        while (this.masks.size > MASK_FRAMES) this.masks.delete(this.masks.keys().next().value);
        this.tell("masks");
      })
      .catch(() => missing.forEach((near) => this.asked.delete(near)));
  }

  /** Go to a frame; `following`: because it is being tracked. */
  show(frame, following = false) {
    if (!this.ready) return;
    if (!following) this.following = false;
    frame = Math.max(0, Math.min(this.length - 1, Math.round(frame)));
    this.frame = frame;
    this.want(frame);
    this.picture(frame).then(
      () => this.frame === frame && this.tell("picture"),
      (error) => this.tellError(error),
    );
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (following) return;
      for (const near of [frame + 1, frame - 1, frame + 2]) {
        if (near >= 0 && near < this.length) this.picture(near).catch(() => {});
      }
      if (!this.playing && !this.tracking?.running) this.link.ask("look", { frame }).catch(() => {});
    }, 120);
    this.tell("frame");
    if (this.previewing) this.previewChanged();
  }

  /** The frame with the effects, if it is there. */
  previewOf(frame) {
    return this.preview?.frame === frame ? this.preview.bitmap : null;
  }

  /** Have the frame that is shown fetched with the effects, one at a time, the newest last. */
  previewChanged() {
    this.stale = true;
    if (!this.previewing || !this.effects?.length) {
      this.preview = null;
      this.tell("picture");
      return;
    }
    if (this.fetching || this.playing) return;
    this.stale = false;
    this.fetching = true;
    const frame = this.frame;
    this.link
      .preview(frame, this.effects)
      .then(createImageBitmap)
      .then(
        (bitmap) => {
          this.preview?.bitmap.close();
          this.preview = this.previewing ? { frame, bitmap } : null;
          this.tell("picture");
        },
        (error) => this.tellError(error),
      )
      .finally(() => {
        this.fetching = false;
        if (this.stale) this.previewChanged();
      });
  }

  tellError(error) {
    this.dispatchEvent(new CustomEvent("error", { detail: error.message }));
  }

  /** A promise of a frame's picture. */
  picture(frame) {
    const known = this.bitmaps.get(frame);
    if (known) {
      this.bitmaps.delete(frame);
      this.bitmaps.set(frame, known);
      return known.promise;
    }
    const entry = { bitmap: null };
    entry.promise = this.link.frame(frame).then(createImageBitmap).then((bitmap) => {
      if (entry.gone) bitmap.close();
      else entry.bitmap = bitmap;
      return bitmap;
    });
    entry.promise.catch(() => this.bitmaps.delete(frame));
    this.bitmaps.set(frame, entry);
    while (this.bitmaps.size > this.most) {
      const [oldest, gone] = this.bitmaps.entries().next().value;
      this.bitmaps.delete(oldest);
      gone.gone = true;
      gone.bitmap?.close();
    }
    return entry.promise;
  }

  /** Give the pictures back. */
  close() {
    clearTimeout(this.resting);
    this.ready = false;
    for (const entry of this.bitmaps.values()) {
      entry.gone = true;
      entry.bitmap?.close();
    }
    this.bitmaps.clear();
    this.preview?.bitmap.close();
    this.preview = null;
  }

  /** A frame's picture if it is there. */
  bitmap(frame) {
    return this.bitmaps.get(frame)?.bitmap ?? null;
  }

  select(id) {
    this.selected = id;
    this.tell("objects", "masks", "strips");
  }

  choose(tool) {
    this.tool = tool;
    this.tell("tool");
  }

  /** What an object is prompted with on a frame. */
  promptOf(frame, id) {
    return this.prompts[frame]?.[id] ?? { points: [], box: null, mask: false };
  }
}

/** What a strip says about a mask: see the server's `MaskStore.strip`. */
function character(mask) {
  if (!mask) return "-";
  const [counts, iou, score] = mask;
  return !counts || score <= 0 ? "x" : String(Math.min(9, Math.floor(iou * 10)));
}
