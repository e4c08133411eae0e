"use strict";
// One slider, one wipe and one zoom for all pictures.
{
  const { data, one, all } = page;
  const root = document.documentElement;
  const look = { zoom: 1, x: 0, y: 0, wipe: 50 };
  const most = 16;

  // Snapshots

  const frameAt = (run, step) => data.runs[run].frames.filter(([at]) => at <= step).at(-1) ?? null;
  const put = (image, key) => {
    const source = key === null ? null : data.pictures[key];
    if (source === null) image.removeAttribute("src");
    else if (image.getAttribute("src") !== source) image.src = source;
  };
  const large = one("#large");
  let enlarged = 0;

  const before = (run) => {
    const value = one("#wipe").value;
    if (value === "off") return null;
    if (value === "photo") return data.runs[run].photo;
    return frameAt(Number(value), page.step)?.[1] ?? null;
  };
  const hang = (stage, run) => {
    const frame = frameAt(run, page.step);
    put(one(".picture", stage), frame?.[1] ?? null);
    put(one(".before", stage), before(run));
    stage.classList.toggle("empty", frame === null);
    return frame;
  };
  const show = () => {
    for (const card of all(".card.run")) {
      const frame = hang(one(".stage", card), Number(card.dataset.run));
      one(".at", card).textContent = frame === null ? "" : `step ${frame[0]}`;
    }
    if (large.open) enlarge(enlarged);
  };
  for (const source of all("[data-picture]")) put(one(".picture", source), source.dataset.picture);

  const slider = one("#step");
  const setStep = () => {
    page.step = data.steps[Number(slider.value)] ?? 0;
    one("#step-name").textContent = data.steps.length ? `step ${page.step}` : "no pictures";
    slider.setAttribute("aria-valuetext", `step ${page.step}`);
    show();
    page.tell("step");
  };
  slider.max = Math.max(0, data.steps.length - 1);
  slider.value = slider.max;
  slider.addEventListener("input", setStep);

  let playing = 0;
  const stop = () => {
    clearInterval(playing);
    playing = 0;
    one("#play").textContent = "▶";
  };
  one("#play").addEventListener("click", () => {
    if (playing) return stop();
    if (slider.value === slider.max) slider.value = 0;
    setStep();
    one("#play").textContent = "❚❚";
    playing = setInterval(() => {
      if (slider.value === slider.max) return stop();
      slider.value = Number(slider.value) + 1;
      setStep();
    }, 450);
  });
  slider.addEventListener("pointerdown", stop);

  // Wipe and zoom

  const apply = () => {
    for (const name of ["zoom", "x", "y", "wipe"]) root.style.setProperty(`--${name}`, look[name]);
    root.toggleAttribute("data-zoomed", look.zoom > 1);
    root.toggleAttribute("data-wiping", one("#wipe").value !== "off");
    one("#zoom-name").textContent = `${Number(look.zoom.toPrecision(2))}×`;
  };
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const moveTo = (x, y) => {
    look.x = clamp(x, 100 * (1 - look.zoom), 0);
    look.y = clamp(y, 100 * (1 - look.zoom), 0);
    apply();
  };
  // The point (px, py), in percent of a picture's frame, stays where it is.
  const zoomTo = (zoom, px = 50, py = 50) => {
    const ratio = clamp(zoom, 1, most) / look.zoom;
    look.zoom *= ratio;
    moveTo(px - (px - look.x) * ratio, py - (py - look.y) * ratio);
  };
  const within = (stage, event) => {
    const box = stage.getBoundingClientRect();
    return [(100 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height];
  };
  one("#zoom-in").addEventListener("click", () => zoomTo(look.zoom * 1.5));
  one("#zoom-out").addEventListener("click", () => zoomTo(look.zoom / 1.5));
  one("#zoom-reset").addEventListener("click", () => zoomTo(1));
  one("#wipe").addEventListener("change", () => { apply(); show(); });
  one("#size").addEventListener("input", (event) => root.style.setProperty("--card", `${event.target.value}px`));

  for (const stage of all(".stage")) {
    const pointers = new Map();
    const wipes = stage.dataset.stage !== "source";
    let wiping = false;
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, within(stage, event));
      const onKnob = Math.abs(within(stage, event)[0] - look.wipe) * stage.clientWidth < 1600;
      wiping = wipes && root.hasAttribute("data-wiping") && (look.zoom === 1 || onKnob);
    });
    stage.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      const now = within(stage, event);
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      pointers.set(event.pointerId, now);
      if (other) {
        const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
        if (apart(last) > 0) zoomTo((look.zoom * apart(now)) / apart(last), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else if (wiping) {
        look.wipe = clamp(now[0], 0, 100);
        apply();
      } else {
        moveTo(look.x + now[0] - last[0], look.y + now[1] - last[1]);
      }
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
    stage.addEventListener("dblclick", (event) => zoomTo(look.zoom > 1 ? 1 : 3, ...within(stage, event)));
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !large.open) return; // the wheel alone moves the page
      event.preventDefault();
      zoomTo(look.zoom * Math.exp(-clamp(event.deltaY, -60, 60) / 150), ...within(stage, event));
    }, { passive: false });
    stage.addEventListener("keydown", (event) => {
      const zoom = { "+": look.zoom * 1.5, "-": look.zoom / 1.5, 0: 1 }[event.key];
      if (zoom) zoomTo(zoom);
    });
  }

  // One run, large

  const enlarge = (run) => {
    enlarged = run;
    const stage = one(".stage", large);
    stage.style.setProperty("--ratio", one(`.card[data-run="${run}"] .stage`).style.getPropertyValue("--ratio"));
    const frame = hang(stage, run);
    one("#large-name").textContent = `Run ${data.runs[run].number} · ${data.runs[run].title}${frame ? ` · step ${frame[0]}` : ""}`;
    if (!large.open) large.showModal();
  };
  const turn = (by) => {
    const order = page.order();
    enlarge(order[(order.indexOf(enlarged) + by + order.length) % order.length]);
  };
  for (const card of all(".card.run")) {
    one(".enlarge", card).addEventListener("click", () => enlarge(Number(card.dataset.run)));
  }
  one("#large-previous").addEventListener("click", () => turn(-1));
  one("#large-next").addEventListener("click", () => turn(1));
  one("#large-close").addEventListener("click", () => large.close());
  large.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) turn(by);
  });

  // Side by side, or by two settings

  const label = (name, text, key = "") => {
    const element = document.createElement("div");
    const small = document.createElement("span");
    element.className = name;
    small.textContent = key;
    element.append(...(key ? [small, " "] : []), text);
    return element;
  };
  const values = (key) => {
    if (!key) return [""];
    const { texts, values: sortable } = data.columns[key];
    const found = texts.map((text, run) => [text, sortable[run]]);
    const numbers = found.every(([, value]) => value === null || typeof value === "number");
    if (numbers) found.sort(([, a], [, b]) => (a ?? Infinity) - (b ?? Infinity));
    return [...new Set(found.map(([text]) => text))];
  };
  const arrange = () => {
    const order = page.order();
    const axes = root.dataset.view === "grid" ? [one("#grid-x").value, one("#grid-y").value] : [];
    for (const trait of all("[data-trait]")) trait.hidden = axes.includes(trait.dataset.trait);
    const cards = new Map(all(".card.run").map((card) => [Number(card.dataset.run), card]));
    if (root.dataset.view !== "grid") {
      one("#cards").append(...order.map((run) => cards.get(run)));
      one("#grid").hidden = true;
      return;
    }
    const [across, down] = axes;
    const is = (run, key, text) => !key || data.columns[key].texts[run] === text;
    const matrix = label("matrix", "");
    matrix.style.setProperty("--columns", values(across).length);
    matrix.append(label("corner", ""), ...values(across).map((text) => label("across", text, across)));
    for (const y of values(down)) {
      matrix.append(label("down", y, down));
      for (const x of values(across)) {
        const here = order.filter((run) => is(run, across, x) && is(run, down, y));
        const cell = label(here.length ? "cell" : "gap", "");
        cell.append(...here.map((run) => cards.get(run)));
        matrix.append(cell);
      }
    }
    one("#grid").replaceChildren(matrix);
    one("#grid").hidden = false;
  };
  const setView = (view) => {
    root.dataset.view = view;
    for (const name of ["side", "grid"]) one(`#view-${name}`)?.setAttribute("aria-pressed", String(name === view));
    arrange();
  };
  for (const name of ["side", "grid"]) one(`#view-${name}`)?.addEventListener("click", () => setView(name));
  for (const axis of ["x", "y"]) one(`#grid-${axis}`).addEventListener("change", arrange);
  const differing = all("#grid-x option").map((option) => option.value).filter((key) => key && data.columns[key].differs);
  [one("#grid-x").value, one("#grid-y").value] = data.grid ?? [differing[0] ?? "", differing[1] ?? ""];
  page.hear("order", arrange);

  setStep();
  apply();
  setView(data.grid ? "grid" : "side");
}
