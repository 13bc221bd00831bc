"use strict";
// The charts stand in the page; this lets one look at a layer: by pointer, by keyboard, or from the list.
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SVG = "http://www.w3.org/2000/svg";

const drawn = (name, attributes, text) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
const short = (value) => String(Number(value.toPrecision(4)));
const decibels = (value) => (value >= 999 ? "exact" : `${value} dB`);

function histogram(layer) {
  const wide = 460, high = 170, left = 10, right = 450, base = 134;
  const known = [layer.seen_low, layer.seen_high, layer.low, layer.high].filter((value) => value !== undefined);
  const low = Math.min(...known), span = Math.max(...known) - low || 1;
  const x = (value) => left + ((value - low) / span) * (right - left);
  const label = `histogram of ${layer.name}`;
  const svg = drawn("svg", { class: "histogram", viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": label });
  if (layer.low !== undefined) {
    const [a, b] = [x(layer.low), x(layer.high)];
    svg.append(drawn("rect", { class: "band", x: a, y: 8, width: Math.max(b - a, 1), height: base - 8 }));
    for (const at of [a, b]) svg.append(drawn("path", { class: "edge", d: `M${at} 4V${base}` }));
  }
  const bars = [...layer.histogram], step = (layer.seen_high - layer.seen_low) / bars.length;
  bars.forEach((digit, place) => {
    const tall = (DIGITS.indexOf(digit) / 63) * (base - 14);
    if (tall <= 0) return;
    const from = x(layer.seen_low + step * place), to = x(layer.seen_low + step * (place + 1));
    const size = { x: from, y: base - tall, width: Math.max(to - from - 0.5, 1), height: tall };
    svg.append(drawn("rect", size));
  });
  svg.append(drawn("path", { class: "grid", d: `M${left} ${base}H${right}` }));
  svg.append(drawn("text", { x: left, y: base + 15 }, short(low)));
  svg.append(drawn("text", { class: "end", x: right, y: base + 15 }, short(low + span)));
  svg.append(drawn("text", { class: "middle", x: wide / 2, y: high - 4 }, "values seen (log counts); shaded: the range"));
  return svg;
}

function describe(layer) {
  const rows = [["Layer", layer.name], ["Operator", layer.op], ["Type", layer.dtype]];
  const range = (low, high) => `${short(low)} to ${short(high)}`;
  if (layer.low !== undefined) rows.push(["Range", range(layer.low, layer.high)]);
  if (layer.seen_low !== undefined) rows.push(["Values seen", range(layer.seen_low, layer.seen_high)]);
  if (layer.scale !== undefined) rows.push(["Scale, zero", `${short(layer.scale)}, ${layer.zero_point}`]);
  if (layer.db !== undefined) rows.push(["Own rounding", decibels(layer.db)]);
  if (layer.result !== undefined) rows.push(["Result", decibels(layer.result)]);
  if (layer.alone !== undefined) rows.push(["Logits, it alone", decibels(layer.alone)]);
  if (layer.note) rows.push(["Note", layer.note]);
  const list = document.createElement("dl");
  for (const [term, text] of rows) {
    list.append(document.createElement("dt"), document.createElement("dd"));
    list.lastChild.previousSibling.textContent = term;
    list.lastChild.textContent = text;
  }
  return list;
}

function start(box) {
  const layers = JSON.parse(box.querySelector(".layer-data").textContent);
  const detail = box.querySelector(".detail"), select = box.querySelector("select");
  const charts = [...box.querySelectorAll(".bars-box")];
  for (const [place, layer] of layers.entries()) select.add(new Option(layer.name, String(place)));
  const choose = (place, scroll) => {
    const layer = layers[place];
    select.value = String(place);
    for (const old of box.querySelectorAll(".chosen")) old.classList.remove("chosen");
    for (const chart of charts) {
      const bar = chart.querySelector(`[data-layer="${place}"]`);
      chart.setAttribute("aria-valuenow", String(place));
      chart.setAttribute("aria-valuetext", `${layer.name}, ${bar ? decibels(Number(bar.dataset.db)) : "not known"}`);
      if (!bar) continue;
      bar.classList.add("chosen");
      if (scroll) chart.scrollLeft = Number(bar.getAttribute("x")) - chart.clientWidth / 2;
    }
    detail.replaceChildren(describe(layer), ...(layer.histogram ? [histogram(layer)] : []));
  };
  let pinned = Number(box.dataset.worst);
  for (const chart of charts) {
    const svg = chart.querySelector("svg"), bars = [...svg.querySelectorAll("[data-layer]")];
    const under = (event) => {
      const x = event.clientX - svg.getBoundingClientRect().left;
      const at = bars.find((bar) => x < Number(bar.getAttribute("x")) + Number(bar.getAttribute("width")) * 1.25);
      return Number((at ?? bars.at(-1)).dataset.layer);
    };
    svg.addEventListener("pointermove", (event) => choose(under(event), false));
    svg.addEventListener("pointerleave", () => choose(pinned, false));
    svg.addEventListener("click", (event) => choose((pinned = under(event)), false));
    chart.addEventListener("keydown", (event) => {
      const last = layers.length - 1;
      const places = {
        ArrowRight: pinned + 1, ArrowLeft: pinned - 1, ArrowUp: pinned + 1, ArrowDown: pinned - 1,
        PageDown: pinned - 10, PageUp: pinned + 10, Home: 0, End: last,
      };
      if (!(event.key in places)) return;
      event.preventDefault();
      choose((pinned = Math.min(Math.max(places[event.key], 0), last)), true);
    });
  }
  select.addEventListener("change", () => choose((pinned = Number(select.value)), true));
  choose(pinned, false);
}

for (const box of document.querySelectorAll(".layers")) start(box);
