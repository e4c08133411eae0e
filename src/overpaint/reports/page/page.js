"use strict";
// What the parts of the page share: the data, the order of the runs, the theme.
const page = {
  data: JSON.parse(document.getElementById("data").textContent),
  one: (selector, within = document) => within.querySelector(selector),
  all: (selector, within = document) => [...within.querySelectorAll(selector)],
  tell: (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail })),
  hear: (name, act) => document.addEventListener(name, (event) => act(event.detail)),
  step: 0,
  sort: { key: "", falling: false },
};

{
  const { one, all } = page;
  const colours = ["#2f7ed8", "#e8702a", "#1c9e77", "#d43f6a", "#8c62d6", "#b3870f", "#1599b5", "#c653b4", "#6d9a1f", "#8a7566"];
  const dashes = ["solid", "dash", "dot", "dashdot"];
  page.colour = (run) => colours[run % colours.length];
  page.dash = (run) => dashes[Math.floor(run / colours.length) % dashes.length];
  for (const swatch of all("[data-swatch]")) {
    const run = Number(swatch.dataset.swatch);
    swatch.style.setProperty("--run", page.colour(run));
    swatch.classList.toggle("dashed", page.dash(run) !== "solid");
  }

  // Runs without a value come last, whichever way the others go.
  page.order = () => {
    const runs = page.data.runs.map((_, run) => run);
    const { key, falling } = page.sort;
    const values = key ? page.data.columns[key].values : runs;
    const compare = (a, b) =>
      typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    const known = runs.filter((run) => values[run] !== null);
    known.sort((a, b) => (falling ? -1 : 1) * compare(values[a], values[b]) || a - b);
    return [...known, ...runs.filter((run) => values[run] === null)];
  };
  page.sortBy = (key, falling) => {
    page.sort = { key, falling };
    one("#order").value = key;
    if (one("#order").value !== key) one("#order").selectedIndex = -1;
    page.tell("order");
  };
  one("#order").addEventListener("change", (event) => page.sortBy(event.target.value, false));

  const themes = { auto: "Auto", light: "Light", dark: "Dark" };
  const kept = { read: () => null, write: () => {} };
  try { // a browser may keep nothing for files
    const store = window.localStorage;
    kept.read = () => store.getItem("overpaint-theme");
    kept.write = (theme) => store.setItem("overpaint-theme", theme);
  } catch { /* the page forgets, then */ }
  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    one("#theme-name").textContent = themes[theme];
    page.tell("theme");
  };
  one("#theme").addEventListener("click", () => {
    const names = Object.keys(themes);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    setTheme(next);
    kept.write(next);
  });
  if (kept.read() in themes) setTheme(kept.read());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.tell("theme"));

  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const code = one("code", button.parentElement);
      getSelection().selectAllChildren(code);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}
