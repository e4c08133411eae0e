"use strict";
// The table of the runs: sorted by any column, with the settings that differ or with all.
{
  const { one, all } = page;
  for (const button of all("[data-sort]")) {
    button.addEventListener("click", () => {
      const key = button.dataset.sort;
      page.sortBy(key, page.sort.key === key && !page.sort.falling);
    });
  }
  page.hear("order", () => {
    one("tbody").append(...page.order().map((run) => one(`[data-row="${run}"]`)));
    for (const button of all("[data-sort]")) {
      const head = button.closest("th");
      if (button.dataset.sort !== page.sort.key) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", page.sort.falling ? "descending" : "ascending");
    }
  });
  one("#all-settings").addEventListener("change", (event) => {
    one("table").classList.toggle("all", event.target.checked);
  });
}
