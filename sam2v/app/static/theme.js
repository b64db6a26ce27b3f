// Light or dark: what the system prefers, unless somebody chose.

const KEY = "sam2v-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function currentTheme() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY);
  } catch {
    // a notebook may not store anything
  }
  return chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
}

export function chooseTheme(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // then it holds until the page is left
  }
}

/** Keep an element's theme up to date; returns what ends that. */
export function followTheme(element, changed = () => {}) {
  const apply = () => {
    element.dataset.theme = currentTheme();
    changed();
  };
  element.dataset.theme = currentTheme();
  system.addEventListener("change", apply);
  return () => system.removeEventListener("change", apply);
}
