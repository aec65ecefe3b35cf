// One small graph of the last minutes: lines over time, a readout for the pointer, and words for who can't see it.

import { el, setText, svg } from "./dom.js";
import { time } from "./format.js";

const WIDTH = 300;
const HEIGHT = 72;
export const SPAN_S = 300;

/** The next round number that is at least `value`. */
function roundedUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/** The path of one line; seconds in which nothing was measured are gaps, and lone points are dots. */
function path(points) {
  let drawn = "";
  let open = false;
  points.forEach((point, index) => {
    if (point === null) {
      open = false;
      return;
    }
    drawn += `${open ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    if (!open && !points[index + 1]) drawn += "h0.1";
    open = true;
  });
  return drawn;
}

/**
 * @param title: of the graph. @param lines: [{key, label}], the first one drawn solid, the second dashed.
 * @param format: a value as text. @param also: of the newest sample, a line of text below.
 */
export class Graph {
  #samples = [];
  #pointed = null;

  constructor(title, lines, format, also = () => "") {
    Object.assign(this, { title, lines, format, also });
    this.values = lines.map(() => el("b"));
    this.top = el("span", { class: "top", "aria-hidden": "true" });
    this.note = el("span", { class: "note" });
    this.paths = lines.map((_, number) => svg("path", { class: `line line-${number}` }));
    this.area = svg("path", { class: "area" });
    this.cross = svg("line", { class: "cross", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.marks = svg("g", { class: "marks" });
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      this.area, this.marks, ...this.paths, this.cross);
    const numbers = lines.map(({ label }, number) =>
      el("span", { class: `value value-${number}` }, this.values[number], el("small", {}, label)));
    this.node = el("figure", { class: "graph" },
      el("figcaption", {}, el("h3", {}, title), el("p", { class: "values" }, numbers)),
      el("div", { class: "plot" }, this.top, this.picture),
      el("p", { class: "scale" }, el("span", { "aria-hidden": "true" }, "5 min ago"), this.note, el("span", { "aria-hidden": "true" }, "now")));
    this.picture.addEventListener("pointermove", (event) => this.#point(event));
    this.picture.addEventListener("pointerleave", () => this.#point(null));
  }

  /** @param samples: [{time, ...}], the oldest first. @param marks: [{time, label}], of moves. */
  update(samples, marks) {
    this.#samples = samples;
    const now = samples.length ? samples[samples.length - 1].time : Date.now() / 1000;
    this.from = now - SPAN_S;
    const values = samples.flatMap((each) => this.lines.map(({ key }) => each[key] ?? 0));
    this.max = roundedUp(Math.max(0, ...values));
    for (const [number, { key }] of this.lines.entries()) this.paths[number].setAttribute("d", path(this.#points(key)));
    this.area.setAttribute("d", this.#under(this.#points(this.lines[0].key)));
    this.#mark(marks);
    setText(this.top, this.format(this.max));
    this.picture.setAttribute("aria-label", this.#words());
    this.#tell();
  }

  #x(seconds) {
    return Math.max(0, ((seconds - this.from) / SPAN_S) * WIDTH);
  }

  #points(key) {
    const room = HEIGHT - 4;
    return this.#samples.map((each) => {
      const value = each[key];
      return typeof value === "number" ? [this.#x(each.time), HEIGHT - 2 - (value / this.max) * room] : null;
    });
  }

  #under(points) {
    const there = points.filter((point) => point !== null);
    if (there.length < 2 || there.length < points.length) return "";
    return `${path(there)}L${there[there.length - 1][0].toFixed(1)} ${HEIGHT}L${there[0][0].toFixed(1)} ${HEIGHT}Z`;
  }

  #mark(marks) {
    const shown = marks.filter(({ time: at }) => at >= this.from);
    this.marks.replaceChildren(...shown.map(({ time: at, label }) => {
      const x = this.#x(at).toFixed(1);
      return svg("line", { x1: x, x2: x, y1: 0, y2: HEIGHT }, svg("title", {}, label));
    }));
  }

  #point(event) {
    this.#pointed = null;
    if (event && this.#samples.length) {
      const box = this.picture.getBoundingClientRect();
      const at = this.from + ((event.clientX - box.left) / box.width) * SPAN_S;
      const distance = (each) => Math.abs(each.time - at);
      this.#pointed = this.#samples.reduce((best, each) => (distance(each) < distance(best) ? each : best));
    }
    this.#tell();
  }

  #tell() {
    const sample = this.#pointed ?? this.#samples[this.#samples.length - 1] ?? {};
    for (const [number, { key }] of this.lines.entries()) setText(this.values[number], this.format(sample[key]));
    setText(this.note, this.#pointed ? `at ${time(sample.time)}` : this.also(sample));
    this.cross.setAttribute("visibility", this.#pointed ? "visible" : "hidden");
    if (this.#pointed) for (const end of ["x1", "x2"]) this.cross.setAttribute(end, this.#x(sample.time));
  }

  #words() {
    const told = this.lines.map(({ key, label }) => {
      const values = this.#samples.map((each) => each[key]).filter((value) => typeof value === "number");
      if (!values.length) return `${label}: nothing measured`;
      const [least, most] = [Math.min(...values), Math.max(...values)].map(this.format);
      return `${label}: now ${this.format(values[values.length - 1])}, least ${least}, most ${most}`;
    });
    return `${this.title} over the last five minutes. ${told.join(". ")}`;
  }
}
