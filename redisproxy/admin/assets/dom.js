// Builds elements. All text goes in as text nodes, never as HTML: what clients and servers say of themselves is hostile.

const SVG = "http://www.w3.org/2000/svg";

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element; attributes that begin with "on" are listeners, false and null leave an attribute out. */
export function el(tag, attributes = {}, ...children) {
  return made(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, tag), attributes, children);
}

/** Set the text of a node, if it is another one: a selection stays, and screen readers hear only what is new. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A function that calls `render` with a value only when that differs from the one before. */
export function whenChanged(render) {
  let before;
  return (value) => {
    const now = JSON.stringify(value) ?? "";
    if (now === before) return;
    before = now;
    render(value);
  };
}

const LONG = 32;

/** A list of terms and what they are, a long one over the whole width; pairs whose value is empty are left out. */
export function terms(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "terms" }, shown.map(([name, value]) =>
    el("div", { class: String(value).length > LONG ? "wide" : null }, el("dt", {}, name), el("dd", {}, value))));
}

/** A table in a box of its own that scrolls sideways, and with `tall` upwards, too; `heads` are texts, or [text, "number"]. */
export function table(caption, heads, rows, tall = "") {
  const kinds = heads.map((head) => (Array.isArray(head) ? head[1] : null));
  const cell = (value, column) => el("td", { class: kinds[column] }, value ?? "");
  return el("div", { class: `scroll ${tall}`, tabindex: "0", role: "region", "aria-label": `${caption}, table` },
    el("table", {},
      el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, heads.map((head, column) =>
        el("th", { scope: "col", class: kinds[column] }, Array.isArray(head) ? head[0] : head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell))))));
}

/** Text for screen readers only. */
export function unseen(text) {
  return el("span", { class: "unseen" }, text);
}
