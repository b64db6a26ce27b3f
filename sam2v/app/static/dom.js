// Making elements, and the icons.

/** An element: properties by name, `class`, `on…` listeners, attributes, then children. */
export function h(tag, about = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(about ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key in element && !key.includes("-") && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// 20 x 20 drawings, lines of 1.6
const PATHS = {
  hand: "M6 11V5.5a1.2 1.2 0 0 1 2.4 0V9m0-4.8a1.2 1.2 0 0 1 2.4 0V9m0-3.8a1.2 1.2 0 0 1 2.4 0v4.3m0-2.5a1.2 1.2 0 0 1 2.3.2V12c0 3-1.9 5-4.8 5-2.4 0-3.6-1-4.6-2.700L4 11.500a1.100 1.100 0 0 1 2-.9",
  add: "M10 3.500a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13M10 7v6M7 10h6",
  subtract: "M10 3.500a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13M7 10h6",
  box: "M3.500 6.500v-3h3m7 0h3v3m0 7v3h-3m-7 0h-3v-3",
  brush: "M16.500 3.500 9 11m-1.200.6c-2 0-2.800 1.300-3 2.700-.1 1-.8 1.700-1.800 1.900 1.600 1 6.600 1.200 6.600-2.600a2 2 0 0 0-1.800-2z",
  eraser: "M7.500 16.500 3.500 12.500l8-8.500 5 5-7 7.500zM7.500 8.500l5 5M7.500 16.500h9",
  lasso: "M10 4c4 0 7 1.900 7 4.500S14 13 10 13s-7-1.900-7-4.500S6 4 10 4zM6 12.300c-1 .8-1 2.200.3 2.700 1.400.5 1 2-.8 2.200",
  undo: "M7.500 4 4 7.500 7.500 11M4 7.500h7.500a4.200 4.200 0 0 1 0 8.500H8",
  redo: "M12.500 4 16 7.500 12.500 11M16 7.500H8.500a4.200 4.200 0 0 0 0 8.500H12",
  eye: "M2.500 10S5 5 10 5s7.500 5 7.500 5-2.500 5-7.500 5-7.500-5-7.500-5zM10 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  hidden: "M3 3l14 14M8 5.300A8 8 0 0 1 10 5c5 0 7.500 5 7.500 5a13 13 0 0 1-2.300 3M5 6.700A13 13 0 0 0 2.500 10S5 15 10 15a8 8 0 0 0 3-.6",
  lock: "M5 9h10v7.500H5zM7 9V6.500a3 3 0 0 1 6 0V9",
  unlocked: "M5 9h10v7.500H5zM7 9V6.500a3 3 0 0 1 5.800-1",
  bin: "M4 6h12M8 6V4h4v2M5.500 6l.7 10.500h7.600L14.500 6M8.500 9v5m3-5v5",
  play: "M6.500 4.500v11l9-5.500z",
  pause: "M7 4.500v11M13 4.500v11",
  back: "M12.500 5 7.500 10l5 5",
  next: "M7.500 5l5 5-5 5",
  first: "M14 5l-5 5 5 5M6 5v10",
  last: "M6 5l5 5-5 5M14 5v10",
  stop: "M5.500 5.500h9v9h-9z",
  tracknext: "M3 10h10.500M9.500 5.500 14 10l-4.500 4.500M17 4.500v11",
  trackback: "M17 10H6.500M10.500 5.500 6 10l4.500 4.500M3 4.500v11",
  trackboth: "M6 6 2.500 10 6 14M14 6l3.500 4-3.500 4M2.500 10h15",
  resume: "M4.500 5v10M8.500 5v10l7.500-5z",
  verify: "M10 2.800l5.800 2.200v4.600c0 3.600-2.400 6.300-5.800 7.600-3.400-1.300-5.800-4-5.800-7.600V5zM7.200 9.800l2.100 2.100 3.700-4",
  worst: "M10 3.500l7.300 12.700H2.700zM10 8v4M10 14v.3",
  auto: "M4 16 12.500 7.500M13.500 3v3M12 4.500h3M16.500 8v2.400M15.300 9.200h2.400M7 3.500v2M6 4.500h2",
  export: "M10 3v9M6.500 8.500 10 12l3.500-3.500M4 13.500v3h12v-3",
  help: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M7.800 8a2.200 2.200 0 1 1 3.300 1.900c-.7.4-1.100.8-1.100 1.600M10 13.800v.2",
  theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
  plus: "M10 4v12M4 10h12",
  merge: "M5 3.500V7c0 2.500 5 2.500 5 5v4.500M15 3.500V7c0 2.500-5 2.500-5 5M7.500 14l2.500 2.500 2.500-2.500",
  home: "M3.500 9.500 10 4l6.500 5.500M5.500 8.500v8h9v-8",
  fit: "M3.500 7.500v-4h4M12.500 3.500h4v4M16.500 12.500v4h-4M7.500 16.500h-4v-4M7 7h6v6H7z",
  clear: "M4 4l12 12M16 4 4 16",
  film: "M3 4.500h14v11H3zM6.500 4.500v11M13.500 4.500v11M3 8.200h3.500M3 11.800h3.500M13.500 8.200H17M13.500 11.800H17",
  upload: "M10 13V4M6.500 7.500 10 4l3.500 3.500M4 13.500v3h12v-3",
};

/** A drawing; the words are the button's own label. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with a drawing, a name for those who cannot see it, and its key. */
export function iconButton(name, label, key, click, text = "") {
  const button = h("button", { type: "button", class: text ? "labelled" : "plain", "aria-label": label, onclick: click });
  button.title = key ? `${label} (${key})` : label;
  button.append(icon(name));
  if (text) button.append(h("span", {}, text));
  return button;
}

/** A function that calls another at the next chance to draw, once for several calls. */
export function coalesced(paint) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      paint();
    });
  };
}

/** Exchange a button's drawing. */
export function setIcon(button, name) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.querySelector("svg").replaceWith(icon(name));
}
