// The switchover that runs, step by step, and the report of the last one.

import { draw, el, setText, svg, table, terms, unseen, whenChanged } from "./dom.js";
import { bytes, bytesPerSecond, count, duration, many, milliseconds, time, words } from "./format.js";
import { Course } from "./course.js";

export const WAITS = "wait for the operator";
const PLANS = {
  replicate: ["preflight", "replicate", "catch up", "connect", "drain", "fence", "verify", "promote", "swap", "finish"],
  copy: ["preflight", "copy", "connect", "drain", "fence", "rest", "verify", "swap", "finish"],
  failover: ["preflight", "drain", "fence", "verify", "promote", "connect", "swap", "finish"],
  external: ["preflight", "connect", "drain", WAITS, "verify", "swap"],
};
const PAUSED = ["drain", "fence", "rest", WAITS, "verify", "promote", "swap"];

/** The steps that are to come, told from those that were. */
function plan(names, mode) {
  if (names.includes("copy")) return PLANS.copy;
  if (names.includes("replicate")) return PLANS.replicate;
  if (names[1] === "connect") return PLANS.external;
  if (names[1] === "drain") return PLANS.failover;
  return PLANS[mode] ?? PLANS.replicate;
}

/** [{name, ms, state}], done, running and to come. */
function steps({ steps: done = [], step, elapsed_ms: elapsed = 0 }, mode) {
  const passed = done.map((each) => ({ ...each, state: "done" }));
  const running = { name: step, ms: Math.max(0, elapsed - done.reduce((sum, each) => sum + each.ms, 0)), state: "running" };
  const began = [...passed, running];
  const names = began.map((each) => each.name);
  const planned = plan(names, mode);
  const rest = planned.slice(Math.max(...names.map((name) => planned.lastIndexOf(name))) + 1);
  return [...began, ...rest.map((name) => ({ name, ms: null, state: "to come" }))];
}

const SIGNS = { done: "✓", running: "▶", "to come": "○" };

function stepItem({ name, ms, state }) {
  const paused = PAUSED.includes(name) ? "pause" : null;
  return el("li", { class: `step ${state.replace(" ", "-")}`, "aria-current": state === "running" ? "step" : null },
    el("span", { "aria-hidden": "true" }, SIGNS[state]), unseen(`${state}: `), el("span", {}, name),
    el("small", {}, ms === null ? paused : milliseconds(ms)));
}

/** Watches a number of bytes that are left, and tells how fast they go. */
class Rate {
  #seen = [];

  perSecond(left) {
    const now = Date.now();
    if (typeof left !== "number") return null;
    if (this.#seen.length && left > this.#seen[this.#seen.length - 1][1]) this.#seen = [];
    this.#seen = [...this.#seen.filter(([at]) => now - at < 5000), [now, left]];
    const [[at, before]] = this.#seen;
    return now - at > 500 ? ((before - left) * 1000) / (now - at) : null;
  }
}

class Progress {
  #rate = new Rate();

  constructor() {
    this.title = el("p", { class: "route" });
    this.bar = el("progress", { "aria-label": "Data that is at the new server" });
    this.share = el("output", { class: "share" });
    this.figures = el("div");
    this.list = el("ol", { class: "steps" });
    this.todo = el("p", { class: "warning" });
    this.node = el("div", { class: "panel" },
      this.title, this.todo, el("div", { class: "progress" }, this.bar, this.share), this.figures, this.list);
    this.showSteps = whenChanged((all) => draw(this.list, ...all.map(stepItem)));
  }

  update(current, mode, held) {
    setText(this.title, `${current.from} → ${current.to}, for ${duration(current.elapsed_ms / 1000)}`);
    this.todo.hidden = current.step !== WAITS;
    setText(this.todo, `Clients are held: promote ${current.to} now, then press Go on… here. Else everything is undone.`);
    this.showSteps(steps(current, mode));
    const [share, figures] = current.total_keys === undefined ? this.#replicated(current) : this.#copied(current);
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    setText(this.share, share === null ? "" : `${Math.floor(share * 100)} %`);
    draw(this.figures, terms([...figures, ["clients held now", count(held)]]));
  }

  #replicated({ total_bytes: total, bytes_left: left, lag_ms: lag, synchronised }) {
    if (left === undefined) return [null, []];
    const rate = synchronised ? null : this.#rate.perSecond(left);
    const share = synchronised ? 1 : total > 0 && left !== null ? Math.max(0, 1 - left / total) : null;
    return [share, [
      ["synchronised", synchronised ? "yes" : "not yet"],
      ["to go", left === null ? "" : bytes(left)],
      ["of", total ? bytes(total) : ""],
      ["rate", rate ? bytesPerSecond(rate) : ""],
      ["time left", rate > 0 ? duration(left / rate) : ""],
      ["behind", lag === undefined ? "" : milliseconds(lag)],
    ]];
  }

  #copied(current) {
    const { keys, total_keys: total, passes } = current;
    return [total ? Math.min(1, keys / total) : null, [
      ["keys", total ? `${count(keys)} of ${count(total)}` : "counting"],
      ["sent", bytes(current.data_bytes)],
      ["rate", current.keys_per_s ? `${count(current.keys_per_s)} keys/s` : ""],
      ["time left", current.seconds_left ? duration(current.seconds_left) : ""],
      ["changed again, to copy", count(current.changed)],
      ["behind", milliseconds(current.lag_ms)],
      ["pass over all keys", passes > 1 ? count(passes) : ""],
    ]];
  }
}

const RESULTS = {
  done: "✓ done",
  rolled_back: "↩ rolled back",
  refused: "✗ refused",
  dry_run: "✓ dry run: nothing was changed",
  unknown: "? it is not known what became of it",
};

function proof({ verified, copy }) {
  return [
    ["copied", copy && `${many(copy.keys, "key")}, ${bytes(copy.data_bytes)}`],
    ["keys compared", verified && `${count(verified.compared)} of ${count(verified.keys)}`],
    ["differences", verified && (verified.differences.length ? count(verified.differences.length) : "none")],
  ];
}

/** What programs of the operator's have done in it. */
function hooks(all = []) {
  if (!all.length) return null;
  const item = ({ hook, ms, result }) => el("li", {}, el("b", {}, `${hook} hook`), ` ${milliseconds(ms)}: ${result}`);
  return el("ul", { class: "hooks", "aria-label": "Hooks" }, all.map(item));
}

/** Steps as bars, as long as they took. */
function bars(title, all) {
  if (!all.length) return null;
  const most = Math.max(...all.map((each) => each.ms));
  const item = ({ name, ms }) => el("li", {}, el("span", {}, name),
    svg("svg", { class: "bar-of", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: Math.max(0.5, (ms / most) * 100).toFixed(1), height: 1 })),
    el("small", {}, milliseconds(ms)));
  return el("div", { class: "timing" }, el("h3", {}, title), el("ul", { class: "bars" }, all.map(item)));
}

/** The steps while clients went on, and those of the pause, which are shorter by far. */
function timing(all) {
  const held = ({ name }) => PAUSED.includes(name);
  return [bars("While clients went on", all.filter((each) => !held(each))), bars("While clients were held", all.filter(held))];
}

function closed(counts = {}) {
  const told = Object.entries(counts).map(([reason, number]) => `${count(number)} (${words(reason)})`);
  return told.length ? told.join(", ") : "none";
}

function report(last) {
  const dry = last.result === "dry_run" || last.result === "refused";
  const differences = last.differences ?? [];
  const heads = ["kind", "name", "old", "new", "effect", "carried"];
  return [
    el("p", { class: `result ${last.result}` }, el("b", {}, RESULTS[last.result] ?? words(last.result)),
      ` ${last.from} → ${last.to}, ${time(last.at)}`, last.reason ? ` (${last.reason})` : ""),
    last.error ? el("p", { class: "alert" }, last.error) : null,
    dry ? null : terms([
      ["clients were held for", milliseconds(last.pause_ms)],
      ["clients held", count(last.held)],
      ["longest wait", milliseconds(last.longest_wait_ms)],
      ["clients disconnected", closed(last.clients_closed)],
      ...proof(last),
      ["copied because", last.copied_because],
    ]),
    hooks(last.hooks),
    ...(last.warnings ?? []).map((text) => el("p", { class: "warning" }, el("b", {}, "! "), text)),
    dry ? null : el("div", { class: "columns" }, timing(last.steps ?? []), new Course(last).node),
    differences.length ? el("details", {}, el("summary", {}, `What the data does not carry (${differences.length})`),
      table("What the data does not carry", heads, differences.map((row) => heads.map((head) => value(row[head]))))) : null,
  ].filter(Boolean);
}

function value(cell) {
  if (typeof cell === "boolean") return cell ? "yes" : "no";
  return Array.isArray(cell) ? cell.join(", ") : String(cell ?? "");
}

function wayBack({ way_back: back, watch }) {
  const told = [];
  if (back) {
    const how = back.follows ? "which follows" : `which does not follow: ${back.why_not || "going back moves the data again"}`;
    told.push(`The way back: ${back.to}, ${how}.`);
  }
  if (watch) told.push(`The watch: ${watch.verdict || "it goes on"}.`);
  return told.join(" ");
}

export class Switchover {
  constructor(running, section) {
    this.running = running;
    this.section = section;
    this.progress = new Progress();
    this.report = el("div", { class: "panel" });
    this.back = el("p", { class: "note" });
    running.append(this.progress.node);
    section.append(this.report, this.back);
    this.showReport = whenChanged((last) => draw(this.report, ...(last ? report(last) : [])));
  }

  update({ switchover = {}, config = {}, held }) {
    const { current, last = [] } = switchover;
    this.running.hidden = !current;
    this.section.hidden = Boolean(current) || !last.length;
    if (current) this.progress.update(current, config.switchover?.mode, held);
    this.showReport(last[0]);
    setText(this.back, wayBack(switchover));
  }
}
