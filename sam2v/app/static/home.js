// Choosing a video: those under the folder, or one that is dropped or picked.

import { h, icon } from "./dom.js";
import { followTheme } from "./theme.js";

export function home(el, library) {
  const input = h("input", { type: "file", accept: "video/*,image/gif,image/tiff,image/webp,.mkv", hidden: true, onchange: () => upload(input.files[0]) });
  const message = h("p", { class: "message", role: "alert" });
  const bar = h("progress", { max: "1", hidden: true, "aria-label": "Upload" });
  const drop = h(
    "div",
    { class: "drop" },
    icon("upload"),
    h("p", {}, h("strong", {}, "Drop a video here"), " or ", h("button", { type: "button", class: "primary", onclick: () => input.click() }, "choose a file")),
    h("p", { class: "hint" }, "It stays on the machine that this server runs on."),
    bar,
    message,
    input,
  );

  function upload(file) {
    input.value = ""; // so that the same file can be chosen again
    if (!file) return;
    if (file.size > library.most_bytes) {
      fail(`${file.name}: larger than ${library.most_bytes / 2 ** 20} MiB, which is the most that is accepted`);
      return;
    }
    message.textContent = "";
    bar.hidden = false;
    bar.value = 0;
    const request = new XMLHttpRequest();
    request.open("POST", `/api/uploads?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => (bar.value = event.total ? event.loaded / event.total : 0);
    request.onerror = () => fail("The upload was interrupted. Nothing was kept.");
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { error: request.responseText };
      }
      if (answer.id) location.search = `?video=${encodeURIComponent(answer.id)}`;
      else fail(answer.error ?? "The upload was refused.");
    };
    request.send(file);
  }

  function fail(text) {
    bar.hidden = true;
    message.textContent = text;
  }

  const page = h(
    "div",
    { class: "sam2v home-page" },
    h("header", { class: "bar" }, h("span", { class: "mark" }, "sam2v"), h("h1", { class: "title" }, "Choose a video"), h("div", { class: "spread" }), h("span", { class: "about" }, `${library.model} on ${library.device}`)),
    h(
      "main",
      {},
      drop,
      h("h2", {}, "Videos"),
      library.videos.length
        ? h(
            "ul",
            { class: "videos" },
            library.videos.map((video) =>
              h("li", {}, h("a", { href: `?video=${encodeURIComponent(video.id)}` }, icon("film"), h("span", { class: "video-name" }, video.name), video.project ? h("span", { class: "badge" }, "in progress") : null)),
            ),
          )
        : h("p", { class: "hint" }, "There are none in this folder yet."),
    ),
  );
  for (const name of ["dragenter", "dragover"]) {
    page.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  page.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  page.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    upload(event.dataTransfer.files[0]);
  });
  followTheme(page);
  el.replaceChildren(page);
}
