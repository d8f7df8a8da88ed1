// The linked views of the threshold explorer, as SVG: timeline, scores, F1 and precision over recall, boundary errors.
// All numbers come from Python; nothing is counted here. Each trait has one view, which is drawn anew when it changes.

const WIDTH = 960;
const LEFT = 112; // room for the names of the rows
const RIGHT = 10;
const KIND = { ME: "#D55E00", MaE: "#0072B2", overall: "#000000" };
const DASH = { ME: "5 3", MaE: "2 2", overall: "" };
const OUTCOME = {
  hit: { fill: "#009E73", sign: "✓" },
  missed: { fill: "url(#mespot-missed-", sign: "○" }, // one hatching for each kind
  "false alarm": { fill: "url(#mespot-false)", sign: "×" },
  "wrong type": { fill: "url(#mespot-type)", sign: "≠" },
};

const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const text = (x, y, words, more = "") => `<text x="${x}" y="${y}" ${more}>${escaped(words)}</text>`;
const line = (x1, y1, x2, y2, more) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" ${more}/>`;

const HATCHES = [
  ["missed-ME", KIND.ME, "M0,6 L6,0"],
  ["missed-MaE", KIND.MaE, "M0,6 L6,0"],
  ["false", "#6b6b6b", "M0,0 L6,6 M0,6 L6,0"],
  ["type", "#A0437F", "M3,0 L3,6"],
]
  .map(
    ([name, colour, path]) =>
      `<pattern id="mespot-${name}" width="6" height="6" patternUnits="userSpaceOnUse">` +
      `<rect width="6" height="6" fill="#fff"/><path d="${path}" stroke="${colour}" stroke-width="1.8"/></pattern>`,
  )
  .join("");

/** Numbers at round places of an axis from low to high, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * size).find((s) => s >= rough);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) {
    found.push(Number(value.toPrecision(8)));
  }
  return found;
}

/** The path of a curve; a gap (null) lifts the pen. */
function path(xs, ys, x, y) {
  let down = false;
  return xs
    .map((value, i) => {
      if (ys[i] === null) return ((down = false), "");
      const step = `${down ? "L" : "M"}${x(value).toFixed(1)},${y(ys[i]).toFixed(1)}`;
      down = true;
      return step;
    })
    .join("");
}

function svg(height, label, inside) {
  return (
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="group" aria-label="${escaped(label)}">` +
    `<defs>${HATCHES}</defs>${inside}</svg>`
  );
}

function timeAxis([low, high], y) {
  const x = timeScale([low, high]);
  const marks = ticks(low, high, 10).map(
    (t) => line(x(t), y, x(t), y + 5, 'class="axis"') + text(x(t), y + 19, t, 'text-anchor="middle"'),
  );
  return line(LEFT, y, WIDTH - RIGHT, y, 'class="axis"') + marks.join("");
}

const timeScale =
  ([low, high]) =>
  (t) =>
    LEFT + ((t - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT);

// ---------------------------------------------------------------------------------------------------------------------
// Timeline: a row for each kind and side; bars can be reached by Tab and arrows, and say what they are

const ROWS = ["MaE truth", "MaE spotted", "ME truth", "ME spotted"];

function timeline(bars, window, picked) {
  const x = timeScale(window);
  const rowY = (row) => 20 + row * 38 + (row > 1 ? 12 : 0);
  const names = ROWS.map((name, row) => text(LEFT - 8, rowY(row) + 16, name, 'text-anchor="end"'));
  const shown = bars.filter((bar) => bar.to >= window[0] && bar.from <= window[1]);
  const drawn = shown.map((bar, place) => {
    const from = Math.max(LEFT, x(bar.from));
    const width = Math.max(4, Math.min(WIDTH - RIGHT, x(bar.to)) - from);
    const y = rowY(ROWS.indexOf(`${bar.kind} ${bar.side}`));
    const look = OUTCOME[bar.outcome];
    const found = bar.side === "truth" && bar.outcome === "hit";
    const fill = found ? KIND[bar.kind] : bar.outcome === "missed" ? `${look.fill}${bar.kind})` : look.fill;
    const edge = bar.side === "truth" ? KIND[bar.kind] : { hit: "#00664B", "wrong type": "#A0437F" }[bar.outcome] || "#6b6b6b";
    return (
      `<g class="bar" role="button" tabindex="${place ? -1 : 0}" data-id="${bar.id}" data-outcome="${bar.outcome}"` +
      ` aria-label="${escaped(bar.says)}" aria-pressed="${bar.id === picked}">` +
      `<rect x="${from.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="22" fill="${fill}" stroke="${edge}"/>` +
      text((from + width / 2).toFixed(1), y - 3, look.sign, 'text-anchor="middle" class="sign"') +
      "</g>"
    );
  });
  const nothing = bars.length ? "" : text(WIDTH / 2, 90, "no expression is annotated or spotted in this video", 'text-anchor="middle"');
  return svg(212, "Timeline: truth and spotted intervals", names.join("") + timeAxis(window, 186) + drawn.join("") + nothing);
}

// ---------------------------------------------------------------------------------------------------------------------
// Scores: a curve per kind, or proposals as bars at their height; thresholds across

function scores(view, window) {
  const height = 176;
  const x = timeScale(window);
  const y = (value) => 150 - (value / view.high) * 132;
  const inside = ticks(0, view.high, 3).map(
    (v) => line(LEFT - 4, y(v), LEFT, y(v), 'class="axis"') + text(LEFT - 8, y(v) + 5, v, 'text-anchor="end"'),
  );
  inside.push(line(LEFT, 18, LEFT, 150, 'class="axis"'), timeAxis(window, 150));
  inside.push(text(14, 84, view.name, 'text-anchor="middle" transform="rotate(-90 14 84)"'));
  for (const [kind, [times, values]] of Object.entries(view.curves)) {
    inside.push(`<path class="curve" d="${path(times, values, x, y)}" stroke="${KIND[kind]}" clip-path="url(#mespot-inside)"/>`);
  }
  for (const [kind, [from, to, values]] of Object.entries(view.proposals)) {
    const d = from.map((t, i) => `M${x(t).toFixed(1)},${y(values[i]).toFixed(1)}H${Math.max(x(t) + 2, x(to[i])).toFixed(1)}`).join("");
    inside.push(`<path class="proposals" d="${d}" stroke="${KIND[kind]}" clip-path="url(#mespot-inside)"/>`);
  }
  view.levels.forEach(({ name, kind, value }, i) => {
    const at = Math.min(150, Math.max(18, y(value)));
    const right = WIDTH - RIGHT - 4 - (i % 2) * 190;
    inside.push(line(LEFT, at, WIDTH - RIGHT, at, `class="level" stroke="${KIND[kind]}" stroke-dasharray="${DASH[kind]}"`));
    inside.push(text(right, at - 4, `${name} ${value}`, `text-anchor="end" class="name" style="fill:${KIND[kind]}"`));
  });
  if (!Object.keys(view.curves).length && !Object.keys(view.proposals).length) {
    inside.push(text(WIDTH / 2, 80, "this method has stored no score and no proposal of this video", 'text-anchor="middle"'));
  }
  const clip = `<clipPath id="mespot-inside"><rect x="${LEFT}" y="0" width="${WIDTH - LEFT - RIGHT}" height="160"/></clipPath>`;
  return svg(height, "Scores over time, with thresholds", clip + inside.join(""));
}

// ---------------------------------------------------------------------------------------------------------------------
// Small panels: F1 over one setting, precision over recall, boundary errors

const BOX = { left: 50, right: 12, top: 26, bottom: 48, width: 312, height: 216 };

function panel(label, title, inside) {
  return (
    `<svg viewBox="0 0 ${BOX.width} ${BOX.height}" role="img" aria-label="${escaped(label)}"><defs>${HATCHES}</defs>` +
    text(BOX.left, 16, title, 'class="title"') + inside + "</svg>"
  );
}

function frame(xTicks, x, xName, yTicks, y, yName) {
  const bottom = BOX.height - BOX.bottom;
  const marks = [line(BOX.left, bottom, BOX.width - BOX.right, bottom, 'class="axis"'), line(BOX.left, BOX.top, BOX.left, bottom, 'class="axis"')];
  for (const [value, name] of xTicks) marks.push(line(x(value), bottom, x(value), bottom + 4, 'class="axis"'), text(x(value), bottom + 17, name, 'text-anchor="middle"'));
  for (const value of yTicks) marks.push(line(BOX.left - 4, y(value), BOX.left, y(value), 'class="axis"'), text(BOX.left - 7, y(value) + 4, value, 'text-anchor="end"'));
  const middle = (BOX.left + BOX.width - BOX.right) / 2;
  marks.push(text(middle, BOX.height - 8, xName, 'text-anchor="middle"'));
  marks.push(text(12, 95, yName, 'text-anchor="middle" transform="rotate(-90 12 95)"'));
  return marks.join("");
}

const unitX = (v) => BOX.left + v * (BOX.width - BOX.left - BOX.right);
const unitY = (v) => BOX.height - BOX.bottom - v * (BOX.height - BOX.top - BOX.bottom);
const FIFTHS = [0, 0.2, 0.4, 0.6, 0.8, 1];

function sign(kind, x, y) {
  const look = `class="now" data-part="${kind}" fill="${KIND[kind]}"`;
  if (kind === "ME") return `<circle cx="${x}" cy="${y}" r="6" ${look}/>`;
  if (kind === "MaE") return `<rect x="${x - 5.5}" y="${y - 5.5}" width="11" height="11" ${look}/>`;
  return `<path d="M${x},${y - 7} L${x + 7},${y + 6} L${x - 7},${y + 6} Z" ${look}/>`;
}

function f1Panel(view) {
  const count = Math.max(1, view.values.length - 1);
  const x = (i) => unitX(i / count);
  const every = Math.ceil(view.values.length / 6);
  const xTicks = view.values.map((value, i) => [i, value]).filter((_, i) => i % every === 0);
  const inside = [frame(xTicks, x, view.name, FIFTHS, unitY, "F1")];
  const places = view.values.map((_, i) => i);
  for (const [part, rows] of Object.entries(view.parts)) {
    inside.push(`<path class="curve" d="${path(places, rows.map((row) => row && row.f1), x, unitY)}" stroke="${KIND[part]}" stroke-dasharray="${DASH[part]}"/>`);
  }
  if (view.at !== null) inside.push(line(x(view.at), BOX.top, x(view.at), BOX.height - BOX.bottom, 'class="here"'));
  for (const [part, row] of Object.entries(view.now)) if (view.at !== null) inside.push(sign(part, x(view.at), unitY(row.f1)));
  return panel(`F1 over ${view.name}`, view.done ? "F1 over one setting" : "F1 over one setting ...", inside.join(""));
}

function recallPanel(view) {
  const inside = [];
  for (const f1 of [0.2, 0.4, 0.6, 0.8]) {
    const xs = Array.from({ length: 40 }, (_, i) => f1 / (2 - f1) + (i / 39) * (1 - f1 / (2 - f1)));
    inside.push(`<path class="iso" d="${path(xs, xs.map((r) => (f1 * r) / (2 * r - f1)), unitX, unitY)}"/>`, text(unitX(1) - 2, unitY(f1 / (2 - f1)) - 2, `F1 ${f1}`, 'class="faint" text-anchor="end"'));
  }
  inside.push(frame(FIFTHS.map((v) => [v, v]), unitX, "recall", FIFTHS, unitY, "precision"));
  for (const [part, rows] of Object.entries(view.parts)) {
    const known = rows.filter((row) => row && row.tp + row.fp > 0);
    inside.push(`<path class="curve" d="${path(known.map((row) => row.recall), known.map((row) => row.precision), unitX, unitY)}" stroke="${KIND[part]}" stroke-dasharray="${DASH[part]}"/>`);
  }
  for (const [part, row] of Object.entries(view.now)) inside.push(sign(part, unitX(row.recall), unitY(row.precision)));
  return panel(`Precision over recall while ${view.name} changes`, "precision over recall", inside.join(""));
}

function errorsPanel({ edges, onset, offset, count }) {
  const high = Math.max(1, ...onset, ...offset);
  const x = (ms) => unitX((ms - edges[0]) / (edges[edges.length - 1] - edges[0]));
  const y = (n) => unitY(n / high);
  const bars = onset.flatMap((_, i) => {
    const [from, width] = [x(edges[i]), (x(edges[i + 1]) - x(edges[i])) / 2];
    return [[onset[i], "#56B4E9", 0], [offset[i], "url(#mespot-false)", 1]].map(
      ([n, fill, right]) => n && `<rect x="${from + right * width}" y="${y(n)}" width="${width}" height="${y(0) - y(n)}" fill="${fill}" stroke="#444"/>`,
    );
  });
  const whole = ticks(0, high, 4).filter(Number.isInteger);
  const axes = frame([-400, -200, 0, 200, 400].map((v) => [v, v]), x, "late, ms (early is negative)", whole, y, "hits");
  const names = `<rect x="184" y="8" width="10" height="10" fill="#56B4E9" stroke="#444"/>` + text(198, 17, "onset") + `<rect x="244" y="8" width="10" height="10" fill="url(#mespot-false)" stroke="#444"/>` + text(258, 17, "offset");
  return panel(`Boundary errors of ${count} hits`, "boundary errors", axes + bars.filter(Boolean).join("") + line(x(0), BOX.top, x(0), y(0), 'class="here"') + names);
}

// ---------------------------------------------------------------------------------------------------------------------
// The whole

function legend() {
  const box = (fill, edge, words) => `<span><svg viewBox="0 0 22 14" class="key"><defs>${HATCHES}</defs><rect x="1" y="1" width="20" height="12" fill="${fill}" stroke="${edge}"/></svg>${words}</span>`;
  return (
    box(KIND.ME, KIND.ME, "ME truth ●") + box(KIND.MaE, KIND.MaE, "MaE truth ■") + box("url(#mespot-missed-ME)", KIND.ME, "○ missed") +
    box("#009E73", "#00664B", "✓ hit") + box("url(#mespot-type)", "#A0437F", "≠ wrong type") + box("url(#mespot-false)", "#6b6b6b", "× false alarm") + "<span>▲ overall</span>"
  );
}

/** Say to screen readers what a slider is called and where it stands; ipywidgets shows both only to the eye. */
function nameSliders(el) {
  const page = el.closest(".mespot-explorer");
  for (const row of page ? page.querySelectorAll(".widget-hslider") : []) {
    const [label, readout] = [row.querySelector(".widget-label"), row.querySelector(".widget-readout")];
    for (const handle of row.querySelectorAll(".noUi-handle")) {
      handle.setAttribute("aria-label", label ? label.textContent : "");
      if (readout) handle.setAttribute("aria-valuetext", readout.textContent);
    }
  }
}

function render({ model, el }) {
  el.classList.add("mespot-views");
  el.innerHTML =
    `<div class="legend" aria-hidden="true">${legend()}</div><div class="timeline"></div><div class="scores"></div>` +
    '<div class="small"><div class="f1"></div><div class="recall"></div><div class="errors"></div></div><div class="tip" role="status"></div>';
  const part = (name) => el.querySelector(`.${name}`);
  const tip = part("tip");

  const draw = {
    bars: () => (part("timeline").innerHTML = timeline(model.get("bars"), model.get("window"), model.get("picked"))),
    scores: () => (part("scores").innerHTML = scores(model.get("scores"), model.get("window"))),
    sweep: () => {
      part("f1").innerHTML = f1Panel(model.get("sweep"));
      part("recall").innerHTML = recallPanel(model.get("sweep"));
    },
    errors: () => (part("errors").innerHTML = errorsPanel(model.get("errors"))),
    window: () => (draw.bars(), draw.scores()),
    oracle: () => el.classList.toggle("oracle", model.get("oracle")),
  };
  for (const [trait, again] of Object.entries(draw)) {
    model.on(`change:${trait}`, again);
    again();
  }
  model.on("change:picked", () => {
    for (const bar of el.querySelectorAll(".bar")) bar.setAttribute("aria-pressed", bar.dataset.id === model.get("picked"));
  });
  // the last trait of an update: what it says is drawn
  model.on("change:version", () => {
    el.dataset.version = model.get("version");
    nameSliders(el);
  });
  el.dataset.version = model.get("version");
  setTimeout(() => nameSliders(el), 500); // when the sliders beside it are there, too

  function say(bar, x, y) {
    const area = el.getBoundingClientRect();
    tip.textContent = bar.getAttribute("aria-label");
    tip.style.left = `${Math.min(x - area.left + 12, area.width - 300)}px`;
    tip.style.top = `${y - area.top + 16}px`;
    tip.style.display = "block";
  }
  const barOf = (event) => event.target.closest && event.target.closest(".bar");
  function pick(bar) {
    model.set("picked", bar.dataset.id);
    model.save_changes();
  }
  el.addEventListener("mousemove", (event) => {
    const bar = barOf(event);
    if (bar) say(bar, event.clientX, event.clientY);
    else tip.style.display = "none";
  });
  el.addEventListener("mouseleave", () => (tip.style.display = "none"));
  el.addEventListener("click", (event) => barOf(event) && pick(barOf(event)));
  el.addEventListener("focusin", (event) => {
    const bar = barOf(event);
    const place = bar && bar.getBoundingClientRect();
    if (bar) say(bar, place.left, place.bottom);
  });
  el.addEventListener("focusout", () => (tip.style.display = "none"));
  el.addEventListener("keydown", (event) => {
    const bar = barOf(event);
    if (!bar) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const all = [...el.querySelectorAll(".bar")];
      const next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(bar) + step))];
      bar.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else if (event.key === "Enter" || event.key === " ") pick(bar);
    else return;
    event.preventDefault();
  });
}

export default { render };
