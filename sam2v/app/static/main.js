// The page: a list of videos, the annotator of one, or somebody's tasks.

import { render } from "./annotator.js";
import { h } from "./dom.js";
import { home } from "./home.js";
import { SocketModel } from "./socket.js";
import { Tasks } from "./tasks.js";
import { currentTheme, followTheme } from "./theme.js";

const el = document.getElementById("app");

followTheme(document.documentElement);

async function start() {
  const response = await fetch("/api/library");
  if (!response.ok) throw new Error(await response.text());
  const library = await response.json();
  if (library.tasks) {
    new Tasks(el, library);
    return;
  }
  const chosen = library.videos.find((video) => video.chosen);
  const id = new URLSearchParams(location.search).get("video") ?? chosen?.id;
  if (!id) {
    home(el, library);
    return;
  }
  const model = new SocketModel(id);
  for (const name of ["formats", "effects", "rendered"]) model.values.set(name, library[name]);
  model.values.set("about", `${library.model} on ${library.device}`);
  if (!chosen) model.values.set("home", "/");
  model.on("refused", (text) => fail(text));
  el.replaceChildren();
  render({ model, el });
}

function fail(text) {
  el.replaceChildren(
    h("div", { class: "sam2v home-page", "data-theme": currentTheme() }, h("main", {}, h("h1", {}, "That did not work"), h("p", { class: "message", role: "alert" }, text), h("p", {}, h("a", { href: "/" }, "All videos")))),
  );
}

start().catch((error) => fail(error.message));
