// The seconds in which somebody works: the page is seen, and the last key, click or movement is not long ago.

const IDLE = 20_000;
const EVENTS = ["pointermove", "pointerdown", "keydown", "wheel"];

export class Activity {
  /** `report(seconds)` is called now and then with what has come together since. */
  constructor(report) {
    this.report = report;
    this.pending = 0;
    this.last = this.counted = performance.now();
    this.mark = () => (this.last = performance.now());
    for (const name of EVENTS) document.addEventListener(name, this.mark, { capture: true, passive: true });
    this.timer = setInterval(() => this.count(), 1000);
    this.reporting = setInterval(() => this.tell(), 10_000);
    this.leave = () => {
      this.count(true);
      if (document.visibilityState === "hidden") this.tell();
    };
    document.addEventListener("visibilitychange", this.leave);
  }

  count(seen = document.visibilityState === "visible") {
    const now = performance.now();
    const gone = Math.min(now - this.counted, 2000); // a machine that slept did not work
    this.counted = now;
    if (seen && now - this.last < IDLE) this.pending += gone / 1000;
  }

  tell() {
    const seconds = this.take();
    if (seconds) this.report(seconds);
  }

  /** What has come together since the last time. */
  take() {
    this.count();
    const seconds = this.pending;
    this.pending = 0;
    return seconds;
  }

  /** Seconds that could not be told. */
  keep(seconds) {
    this.pending += seconds;
  }

  end() {
    clearInterval(this.timer);
    clearInterval(this.reporting);
    for (const name of EVENTS) document.removeEventListener(name, this.mark, { capture: true });
    document.removeEventListener("visibilitychange", this.leave);
  }
}
