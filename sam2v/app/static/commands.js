// Everything that can be done, with its key: the keyboard and the help sheet come from one list.

import { h } from "./dom.js";
import { TOOLS } from "./tools.js";

/** Commands as [group, key, name, action]; keys as "Shift+t", and "Ctrl+z" for the Command key too. */
export function commandsOf(app) {
  const { store, player, stage, tools, actions } = app;
  const step = (by) => () => {
    player.stop();
    store.show(store.frame + by);
  };
  const nudge = (dx, dy, far) => () => tools.steer(dx * (far ? 20 : 2), dy * (far ? 20 : 2));
  const arrows = (far) =>
    [
      ["ArrowLeft", -1, 0],
      ["ArrowRight", 1, 0],
      ["ArrowUp", 0, -1],
      ["ArrowDown", 0, 1],
    ].map(([key, dx, dy]) => ["", far ? `Shift+${key}` : key, "", nudge(dx, dy, far), () => stage.cursor]);
  return [
    ...arrows(false),
    ...arrows(true),
    ["", "Enter", "", () => tools.press(false), () => stage.cursor],
    ["", "Shift+Enter", "", () => tools.press(true), () => stage.cursor],
    ["Frames", "ArrowLeft", "One frame back", step(-1)],
    ["Frames", "ArrowRight", "One frame on", step(1)],
    ["Frames", "Shift+ArrowLeft", "Ten frames back", step(-10)],
    ["Frames", "Shift+ArrowRight", "Ten frames on", step(10)],
    ["Frames", "Home", "First frame", step(-Infinity)],
    ["Frames", "End", "Last frame", step(Infinity)],
    ["Frames", "Space", "Play or pause", () => player.toggle()],
    ["Frames", "w", "Go to the worst frame, then to the next worse", () => actions.worst()],
    ["Frames", "j", "Go to the previous prompt", () => actions.toPrompt(-1)],
    ["Frames", "k", "Go to the next prompt", () => actions.toPrompt(1)],
    ["Frames", "v", "Verified: never overwrite this frame", () => actions.verify()],
    ...Object.entries(TOOLS).map(([tool, { name, key }]) => ["Tools", key, name, () => store.choose(tool)]),
    ["Tools", "[", "Smaller brush", () => actions.brush(0.8)],
    ["Tools", "]", "Larger brush", () => actions.brush(1.25)],
    ["Tools", "g", "Crosshair: arrows move it, Enter clicks, Shift+Enter takes away", () => actions.crosshair()],
    ["Objects", "n", "New object with the next click", () => actions.newObject()],
    ["Objects", "1 … 9", "Select an object", null],
    ["Objects", "q", "Select the next object", () => actions.nextObject(1)],
    ["Objects", "F2", "Rename the selected object", () => app.list.rename()],
    ["Objects", "i", "Hide or show it", () => actions.toggle("visible")],
    ["Objects", "o", "Lock or unlock it", () => actions.toggle("locked")],
    ["Objects", "c", "Clear its prompts on this frame", () => actions.clear()],
    ["Objects", "Delete", "Delete it", () => actions.remove()],
    ["Objects", "a", "Find everything on this frame", () => actions.auto()],
    ["Tracking", "t", "Track forward from here", () => actions.track("forward")],
    ["Tracking", "Shift+t", "Track backward from here", () => actions.track("backward")],
    ["Tracking", "y", "Track both ways from here", () => actions.track("both")],
    ["Tracking", "u", "Go on where tracking stopped", () => actions.resume()],
    ["Tracking", "s", "Stop tracking", () => actions.stop()],
    ["Tracking", "Shift+Drag", "On the timeline: choose a range to track and play", null],
    ["Everything", "Ctrl+z", "Undo", () => actions.undo()],
    ["Everything", "Ctrl+Shift+z", "Redo", () => actions.redo()],
    ["", "Ctrl+y", "", () => actions.redo()],
    ["Everything", "x", "Export", () => actions.exporting()],
    ["Everything", "f", "Effects, or back to objects", () => actions.effects()],
    ["Everything", "d", "Show the frame with its effects, or without", () => app.effects.preview(!store.previewing)],
    ["Everything", "+", "Zoom in", () => stage.zoom(1.25)],
    ["Everything", "-", "Zoom out", () => stage.zoom(0.8)],
    ["Everything", "0", "Show the whole picture", () => stage.fit()],
    ["Everything", "Escape", "Leave the crosshair, stop playing, or select nothing", () => actions.escape()],
    ["Everything", "?", "This sheet", () => app.help()],
  ];
}

/** The name that a key press has in the list. */
function nameOf(event) {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isLetter = key.length > 1 || /[a-z]/.test(key);
  const controls = (event.ctrlKey || event.metaKey) && !isTyped(event);
  return (controls ? "Ctrl+" : "") + (event.shiftKey && isLetter ? "Shift+" : "") + key;
}

/** Whether Alt only makes the sign, as it does for brackets on many keyboards. */
function isTyped(event) {
  return event.altKey && "[]".includes(event.key);
}

/** Keys that work on and on while they are held. */
const REPEATED = /Arrow|^[-+[\]]$|^Ctrl\+(Shift\+)?[zy]$/;

/** Run the command of a key press; true if there was one. */
export function press(commands, event, app) {
  if (event.altKey && !isTyped(event)) return false;
  const name = nameOf(event);
  if (/^[1-9]$/.test(name)) {
    app.actions.selectNumber(Number(name));
    return true;
  }
  const found = commands.find(([, key, , action, when]) => key === name && action && (!when || when()));
  if (!found) return false;
  if (!event.repeat || REPEATED.test(name)) found[3]();
  return true;
}

const WORDS = {
  ArrowLeft: "←",
  ArrowRight: "→",
  Delete: "Del",
  Escape: "Esc",
};

/** The help sheet. */
export function helpSheet(commands) {
  const dialog = h("dialog", { class: "sheet help", "aria-label": "Keys" });
  const groups = [...new Set(commands.map(([group]) => group).filter(Boolean))];
  const show = (key) =>
    key.split("+").flatMap((part, i, all) => {
      const text = key === "+" ? "+" : (WORDS[part] ?? (part.length === 1 ? part.toUpperCase() : part));
      if (key === "+" && i) return [];
      return i && i < all.length ? ["\u2009", h("kbd", {}, text)] : [h("kbd", {}, text)];
    });
  dialog.append(
    h("div", { class: "sheet-head" }, h("h2", {}, "Keys"), h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    h(
      "div",
      { class: "columns" },
      groups.map((group) =>
        h(
          "section",
          {},
          h("h3", {}, group),
          h(
            "dl",
            {},
            commands.filter(([of]) => of === group).map(([, key, name]) => h("div", {}, h("dt", {}, show(key)), h("dd", {}, name))),
          ),
        ),
      ),
    ),
    h(
      "p",
      { class: "hint" },
      "With the mouse: the wheel zooms, the middle button moves the picture, the right button (or Alt) clicks on what is not the object. " +
        "On a tablet two fingers move and zoom.",
    ),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
