// Builds elements. All text goes in as text nodes, never as HTML: what clients and servers say of themselves is hostile.

const SVG = "http://www.w3.org/2000/svg";

const there = (child) => child !== null && child !== undefined && child !== false;

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(there));
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

const keyOf = (node) => node.dataset?.key;

/** Whether an element can become another one by other attributes and other children. */
function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function become(node, fresh) {
  if (node.nodeType === Node.TEXT_NODE) {
    if (node.data !== fresh.data) node.data = fresh.data;
    return;
  }
  for (const name of node.getAttributeNames()) {
    // Whether it is open is the reader's business.
    if (!fresh.hasAttribute(name) && name !== "open") node.removeAttribute(name);
  }
  for (const name of fresh.getAttributeNames()) {
    if (node.getAttribute(name) !== fresh.getAttribute(name)) node.setAttribute(name, fresh.getAttribute(name));
  }
  draw(node, ...fresh.childNodes);
}

/**
 * Make these the children of a node. Those that are there already stay, with what differs changed: so focus, selected
 * text and scroll positions stay, too. Elements with a `data-key` are found again by it, wherever they are. A listener
 * stays as it was first given: it must not know what may change.
 */
export function draw(node, ...children) {
  const fresh = children.flat().filter(there);
  const wanted = new Set(fresh.map(keyOf));
  const kept = new Map();
  for (const child of Array.from(node.childNodes).filter((each) => keyOf(each) !== undefined)) {
    if (wanted.has(keyOf(child))) kept.set(keyOf(child), child);
    else child.remove();
  }
  fresh.forEach((child, index) => {
    const here = node.childNodes[index] ?? null;
    const old = kept.get(keyOf(child)) ?? here;
    kept.delete(keyOf(child));
    if (!old || !alike(old, child)) {
      node.insertBefore(child, here);
      if (here && keyOf(here) === undefined) here.remove();
      return;
    }
    if (old !== here) node.insertBefore(old, here);
    become(old, child);
  });
  while (node.childNodes.length > fresh.length) node.lastChild.remove();
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

/**
 * A table in a box of its own that scrolls sideways, and with `tall` upwards, too; `heads` are texts, or [text, "number"].
 * With `keys`, one for each row, `draw` finds rows again that have another place.
 */
export function table(caption, heads, rows, { tall = "", keys = [] } = {}) {
  const kinds = heads.map((head) => (Array.isArray(head) ? head[1] : null));
  const cell = (value, column) =>
    el("td", { class: kinds[column], title: String(value ?? "").length > LONG ? value : null }, value ?? "");
  return el("div", { class: `scroll ${tall}`, tabindex: "0", role: "region", "aria-label": `${caption}, table` },
    el("table", {},
      el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, heads.map((head, column) =>
        el("th", { scope: "col", class: kinds[column] }, Array.isArray(head) ? head[0] : head)))),
      el("tbody", {}, rows.map((row, number) => el("tr", { "data-key": keys[number] }, row.map(cell))))));
}

/** Text for screen readers only. */
export function unseen(text) {
  return el("span", { class: "unseen" }, text);
}
