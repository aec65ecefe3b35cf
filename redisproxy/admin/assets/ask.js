// The dialog that asks before a command is sent, waits for the answer for as long as that can take, and shows it.

import { el, setText } from "./dom.js";
import { milliseconds, words } from "./format.js";
import { moves } from "./moves.js";

const LIMIT_S = 60;
/** These may take longer, before the proxy tells that they run. */
const LONG_S = { reload: 180, upgrade: 180 };

/** POST a command; the answer as the proxy gives it, or `lost`: what became of it is not known. */
async function command(fields, signal) {
  let answer;
  try {
    answer = await fetch("/cmd/", { method: "POST", body: new URLSearchParams(fields), signal });
    return await answer.json();
  } catch (error) {
    const why = signal.aborted ? signal.reason : answer ? `status ${answer.status}` : error.message;
    return { ok: false, lost: true, error: `no answer: ${why}` };
  }
}

/** What each proxy of the fleet has answered. */
function ofPeers({ peers }) {
  if (!Array.isArray(peers)) return [];
  return peers.map(({ peer, ...rest }) => el("p", {}, el("b", {}, `${peer}: `), rest.error ?? listed(rest)));
}

/** An answer in words: what went wrong, or the plain values of what was done. */
function inWords(answer) {
  const { ok, error, report, ...rest } = answer;
  if (!ok) return error ?? "no answer";
  if (report) return reported(report);
  delete rest.peers;
  return `Done. ${listed(rest)}`;
}

function reported({ result, from, to, pause_ms: pause }) {
  if (result === "dry_run") return `Nothing stands in the way: ${from} → ${to}. Nothing was changed.`;
  return `${sentence(result)}: ${from} → ${to}${pause ? `; clients were held for ${milliseconds(pause)}` : ""}.`;
}

function sentence(name) {
  const text = words(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function listed(values) {
  return Object.entries(values).map(([name, value]) => `${name.replaceAll("_", " ")}: ${plain(value)}`).join("; ");
}

function plain(value) {
  if (Array.isArray(value)) return value.length ? value.map(plain).join(", ") : "none";
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** How long the answer to a command may take while nothing is told of it. */
function limit(cmd, { config = {} }) {
  if (cmd === "pause-and-wait") return LIMIT_S + (config.pause?.drain_deadline_ms ?? 0) / 1000;
  return LONG_S[cmd] ?? LIMIT_S;
}

/** What the page knows of a command that was not answered: the moves since it was sent, and how the proxy is. */
function outcome(before, after) {
  const known = new Set(moves(before).map(({ at, title }) => `${at} ${title}`));
  const since = moves(after).filter(({ at, title }) => !known.has(`${at} ${title}`));
  const { state = "unknown", uplink = {} } = after;
  const goTo = uplink.address ? `, and commands go to ${uplink.address}` : "";
  return [
    el("p", {}, "It may have been carried out all the same."),
    ...since.map(({ title, text }) => el("p", {}, [title, text].filter(Boolean).join(". "))),
    el("p", {}, `The proxy was ${state} when it was heard last${goTo}.`),
  ];
}

/** One command that was sent: the seconds it takes, and the limit of those in which nothing is told of it. */
class Order {
  #abort = new AbortController();
  #silent = 0;

  constructor(fields, state) {
    this.fields = fields;
    this.before = state;
    this.limit = limit(fields.cmd, state);
  }

  async answer(told) {
    const began = Date.now();
    const clock = setInterval(() => {
      told(Math.round((Date.now() - began) / 1000));
      // Nothing is told to a page in the background.
      if (!document.hidden) this.#silent += 1;
      if (this.#silent >= this.limit) this.#abort.abort(`nothing was heard for ${this.limit} s`);
    }, 1000);
    const answer = await command(this.fields, this.#abort.signal);
    clearInterval(clock);
    return answer;
  }

  /** The proxy tells that something goes on. */
  goesOn() {
    this.#silent = 0;
  }
}

/** The dialog that asks; one for all commands. */
export class Ask {
  #order = null;
  #state = {};
  #from = null;

  constructor(dialog) {
    this.dialog = dialog;
    dialog.addEventListener("close", () => this.#restoreFocus());
  }

  /** Take what the proxy tells of itself. */
  update(state) {
    this.#state = state;
    if (state.switchover?.current || state.upgrade?.step) this.#order?.goesOn();
  }

  /**
   * @param question: {title, text, alone, choices: [{label, fields, strong}], told(answer) -> nodes}; `alone` is what
   *   concerns this proxy only.
   */
  open({ title, text, alone = false, choices, told = () => [] }) {
    this.#order = null;
    this.#from = document.activeElement?.closest("section");
    const here = el("input", { type: "checkbox" });
    const others = this.#state.fleet?.peers ?? 0;
    const fleet = others && !alone
      ? el("label", { class: "here" }, here, `This proxy alone. Otherwise the whole fleet takes part: this one and ${others} more.`)
      : "";
    const answer = el("div", { class: "answer", role: "status" });
    const buttons = choices.map((choice) =>
      el("button", { type: "button", class: choice.strong ? "strong" : null,
        onclick: () => this.#carryOut(choice, here.checked ? { fleet: "0" } : {}, buttons, answer, told) }, choice.label));
    this.close = el("button", { type: "button", onclick: () => this.dialog.close() }, "Close");
    this.dialog.replaceChildren(
      el("h2", { id: "ask-title" }, title), el("p", {}, text), fleet, answer, el("p", { class: "choices" }, buttons, this.close));
    if (!this.dialog.open) this.dialog.showModal();
    this.close.focus();
  }

  async #carryOut({ label, fields }, where, buttons, box, told) {
    const order = new Order({ ...fields, ...where }, this.#state);
    this.#order = order;
    const waiting = el("p", {}, `${label} …`);
    box.className = "answer";
    box.replaceChildren(waiting);
    this.close.focus();
    for (const each of buttons) each.disabled = true;
    const answer = await order.answer((seconds) =>
      setText(waiting, `${label} … ${seconds} s. You may close this: it goes on.`));
    if (order !== this.#order) return;
    for (const each of buttons) each.disabled = false;
    box.className = answer.ok ? "answer good" : "answer bad";
    box.replaceChildren(el("p", {}, el("b", {}, answer.ok ? "✓ " : "✗ "), inWords(answer)), ...ofPeers(answer),
      ...(answer.lost ? outcome(order.before, this.#state) : []), ...told(answer));
  }

  /** The button that has opened it may be gone, or not to be pressed any more. */
  #restoreFocus() {
    if (document.activeElement && document.activeElement !== document.body) return;
    const from = this.#from;
    (from?.querySelector("[tabindex='0']") ?? from?.querySelector("button:enabled"))?.focus();
  }
}
