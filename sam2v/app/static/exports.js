// Choosing a format, seeing how far it is, and fetching the file.

import { h } from "./dom.js";

export class Exports {
  constructor(app, formats) {
    this.app = app;
    this.formats = formats;
    this.dialog = h("dialog", { class: "sheet", "aria-label": "Export" });
    this.rows = new Map();
    this.dialog.append(
      h("div", { class: "sheet-head" }, h("h2", {}, "Export"), h("button", { type: "button", onclick: () => this.dialog.close() }, "Close")),
      h("p", {}, "Every frame's masks, written into the project's folder and offered as a download. The project itself is saved as you go."),
      h("ul", { class: "formats" }, Object.entries(formats).map(([format, about]) => this.row(format, about))),
    );
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    const { link } = app.store;
    link.on("exporting", ({ format, frame, frames }) => this.progress(format, frame / frames));
    link.on("exported", ({ format, file, folder }) => this.done(format, file, folder));
    app.store.on("loaded", () => {
      for (const [format, { bar }] of this.rows) if (bar?.isConnected) this.reset(format); // unless more is told
    });
  }

  row(format, about) {
    const button = h("button", { type: "button", "data-format": format, onclick: () => this.start(format) }, "Export");
    const state = h("div", { class: "format-state", "aria-live": "polite" });
    this.rows.set(format, { button, state });
    return h("li", {}, h("div", {}, h("strong", {}, format), h("p", {}, about), state), button);
  }

  open() {
    this.app.player.stop();
    this.dialog.showModal();
  }

  async start(format) {
    this.rows.get(format).button.disabled = true;
    this.progress(format, 0);
    if (!(await this.app.actions.ask("export", { format }))) this.reset(format);
  }

  /** Offer a format that is not being written. */
  reset(format) {
    const { button, state } = this.rows.get(format);
    button.disabled = false;
    state.replaceChildren();
  }

  progress(format, share) {
    const row = this.rows.get(format);
    if (!row) return;
    if (!row.bar?.isConnected) row.state.replaceChildren((row.bar = h("progress", { max: "1", "aria-label": `Exporting ${format}` })));
    row.bar.value = share;
  }

  done(format, file, folder) {
    const row = this.rows.get(format);
    if (!row) return;
    this.reset(format);
    if (!file) return; // it went wrong, which was said
    const address = this.app.store.link.model.get("exports_at");
    const link = address && h("a", { href: address.replace("{file}", encodeURIComponent(file)), download: file }, `Download ${file}`);
    row.state.replaceChildren(...[link, h("span", { class: "where" }, folder)].filter(Boolean));
    this.app.say(`${format} is written.`);
  }
}
