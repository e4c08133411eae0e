"use strict";
// The curves: a plot for each logged number, drawn when it comes into view.
{
  const { data, one, all } = page;
  const hidden = new Set();
  const drawn = new Map();
  let logarithmic = true;
  const names = [...new Set(data.curves.flatMap((curves) => Object.keys(curves)))].filter((name) => name !== "step");
  const coarse = matchMedia("(pointer: coarse)").matches;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const text = (value) => value.replace(/[<>&]/g, (sign) => `&#${sign.charCodeAt(0)};`); // Plotly reads tags
  const traces = (name) =>
    page.order().filter((run) => data.curves[run][name]).map((run) => ({
      type: "scatter",
      mode: data.curves[run].step.length > 1 ? "lines" : "markers",
      name: text(`${data.runs[run].number}  ${data.runs[run].title}`.slice(0, 60)),
      x: data.curves[run].step,
      y: data.curves[run][name],
      line: { color: page.colour(run), dash: page.dash(run), width: 2 },
      marker: { color: page.colour(run) },
      hovertemplate: "%{y:.4~g}",
      visible: !hidden.has(run),
    }));
  const marker = () => ({
    type: "line", x0: page.step, x1: page.step, y0: 0, y1: 1, yref: "paper",
    line: { color: colour("quiet"), width: 1, dash: "dot" },
  });
  // A logarithmic axis labelled with as many round numbers as its decades leave room for.
  const ticks = (name) => {
    const values = data.curves.flatMap((curves) => curves[name] ?? []).filter((value) => value > 0);
    const decades = Math.log10(Math.max(...values) / Math.min(...values));
    const mantissas = decades > 2.5 ? [1] : decades > 0.8 || decades < 0.05 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
    const tickvals = [];
    for (let power = -12; power <= 12; power++) tickvals.push(...mantissas.map((one) => Number(`${one}e${power}`)));
    return { tickmode: "array", tickvals, ticktext: tickvals.map((value) => (value >= 1e5 || value < 1e-3 ? value.toExponential().replace("+", "") : String(value))) };
  };
  const layout = (name) => ({
    margin: { l: 52, r: 14, t: 6, b: 30 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("quiet") },
    xaxis: { gridcolor: colour("line"), zeroline: false, hoverformat: "d", spikecolor: colour("quiet"), spikethickness: -1, spikedash: "solid", unifiedhovertitle: { text: "step %{x}" } },
    yaxis: {
      ...(logarithmic ? { type: "log", ...ticks(name) } : { type: "linear", tickmode: "auto", nticks: 6 }),
      gridcolor: colour("line"), zeroline: false,
    },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("ink"), size: 12 } },
    showlegend: false,
    dragmode: coarse ? false : "zoom",
    shapes: [marker()],
  });
  const draw = (name) => {
    Plotly.react(drawn.get(name), traces(name), layout(name), { responsive: true, displaylogo: false, displayModeBar: false });
  };
  const redraw = () => [...drawn.keys()].forEach(draw);

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || drawn.has(target.dataset.curve)) continue;
      drawn.set(target.dataset.curve, one("div", target));
      draw(target.dataset.curve);
    }
  }, { rootMargin: "300px" });
  for (const name of names) {
    const plot = document.createElement("div");
    plot.className = "plot";
    plot.dataset.curve = name;
    const title = document.createElement("h3");
    title.textContent = name;
    plot.append(title, document.createElement("div"));
    one("#plots").append(plot);
    seen.observe(plot);
  }
  if (!names.length) one("#plots").textContent = "No numbers were logged.";

  let waiting = 0;
  page.hear("step", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => drawn.forEach((plot) => Plotly.relayout(plot, { shapes: [marker()] })));
  });
  page.hear("theme", redraw);
  page.hear("order", redraw);

  const press = () => {
    for (const button of all("[data-legend]")) button.setAttribute("aria-pressed", String(!hidden.has(Number(button.dataset.legend))));
    redraw();
  };
  for (const button of all("[data-legend]")) {
    const run = Number(button.dataset.legend);
    button.addEventListener("click", () => {
      if (!hidden.delete(run)) hidden.add(run);
      press();
    });
    button.addEventListener("dblclick", () => { // this one alone
      hidden.clear();
      data.runs.forEach((_, other) => { if (other !== run) hidden.add(other); });
      press();
    });
  }
  one("#legend-all").addEventListener("click", () => { hidden.clear(); press(); });
  for (const [name, is] of [["log", true], ["linear", false]]) {
    one(`#axis-${name}`).addEventListener("click", () => {
      logarithmic = is;
      one("#axis-log").setAttribute("aria-pressed", String(is));
      one("#axis-linear").setAttribute("aria-pressed", String(!is));
      redraw();
    });
  }
}
