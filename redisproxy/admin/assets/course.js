// The pause of a switchover as a graph: how many clients were held, from its begin to its end.

import { el, svg } from "./dom.js";
import { count, milliseconds } from "./format.js";

const WIDTH = 400;
const HEIGHT = 96;

export class Course {
  /** @param report: of a switchover; `held_course` is [[milliseconds, clients], ...]. */
  constructor({ held_course: course = [], pause_ms: pause, held }) {
    this.node = course.length && pause ? this.#drawn(course, pause, held) : null;
  }

  #drawn(course, pause, held) {
    const top = Math.max(1, ...course.map(([, clients]) => clients));
    const at = ([ms, clients]) => [(ms / pause) * WIDTH, HEIGHT - (clients / top) * (HEIGHT - 4)];
    let drawn = `M0 ${HEIGHT}`;
    for (const each of course) {
      const [x, y] = at(each);
      drawn += `H${x.toFixed(1)}V${y.toFixed(1)}`;
    }
    drawn += `H${WIDTH}V${HEIGHT}Z`;
    const label = `Clients held during the pause: from 0 to ${count(held)} within ${milliseconds(pause)}, then none`;
    return el("figure", { class: "course" },
      el("figcaption", {}, el("h3", {}, "Clients held during the pause")),
      el("div", { class: "plot" }, el("span", { class: "top", "aria-hidden": "true" }, count(top)),
        svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
          svg("path", { class: "area held", d: drawn }))),
      el("p", { class: "scale", "aria-hidden": "true" }, el("span", {}, "0 ms"), el("span", {}, milliseconds(pause))));
  }
}
