// A time line of everything that changed the server, the settings or the program, the newest first.

import { draw, el, whenChanged } from "./dom.js";
import { count, listed, milliseconds, time, words } from "./format.js";

const SHOWN = 12;

function switchover(report) {
  const held = report.pause_ms ? `${count(report.held)} clients held for ${milliseconds(report.pause_ms)}` : "";
  return {
    at: report.at,
    kind: report.kind ?? "switchover",
    good: report.result === "done" || report.result === "dry_run",
    dry: report.result === "dry_run",
    title: `${report.kind === "failover" ? "Failover" : "Switchover"} ${words(report.result)}: ${report.from} → ${report.to}`,
    text: [report.reason, held, report.error].filter(Boolean).join(". "),
  };
}

function upgrade(report) {
  return {
    at: report.at,
    kind: "upgrade",
    good: report.ok,
    title: report.ok ? `Upgrade from ${report.from} to ${report.to}` : "Upgrade given up",
    text: report.ok ? `${count(report.clients)} clients handed over in ${milliseconds(report.hand_over_ms)}` : report.error,
  };
}

/** Whoever has ordered a switchover has not asked for a reload. */
function forWhat({ for: name = "reload" }) {
  return name === "reload" ? "" : ` for a ${name}`;
}

function reload(result) {
  return {
    at: result.at,
    kind: "reload",
    good: result.ok,
    title: result.ok ? "Configuration reloaded" : `Configuration rejected${forWhat(result)}`,
    text: result.ok ? `Changed: ${listed(result.changed)}. Held for ${milliseconds(result.pause_ms)}` : result.error,
  };
}

function failover(change) {
  return {
    at: change.at,
    kind: "failover",
    good: true,
    title: `The primary is another one${change.to ? `: ${change.to}` : ""}`,
    text: change.from ? `From ${change.from}` : "",
  };
}

/** Every move that is known: [{at, kind, good, title, text}], the newest first. */
export function moves({ switchover: over = {}, upgrade: up = {}, last_reload: loaded = {}, uplink = {} }) {
  const change = (uplink.sentinel ?? uplink.name)?.last_switch;
  const all = [
    ...(over.last ?? []).map(switchover),
    ...(up.last ?? []).map(upgrade),
    ...(loaded.at ? [reload(loaded)] : []),
    ...(change?.at ? [failover(change)] : []),
  ];
  return all.sort((one, other) => other.at - one.at);
}

/** The moves as marks in the graphs. */
export function marks(state) {
  return moves(state).filter(({ good, dry }) => good && !dry).map(({ at, title }) => ({ time: at, label: `${title}, ${time(at)}` }));
}

function item({ at, kind, good, title, text }) {
  return el("li", { class: `${kind} ${good ? "good" : "bad"}`, "data-key": `${at} ${title}` },
    el("time", { datetime: new Date(at * 1000).toISOString() }, time(at)),
    el("span", { class: "what" }, el("b", {}, el("span", { "aria-hidden": "true" }, good ? "✓ " : "✗ "), title), el("span", {}, text)));
}

export class Moves {
  constructor(section) {
    const box = section.appendChild(el("div"));
    this.show = whenChanged((all) => draw(box, all.length
      ? el("ol", { class: "moves" }, all.slice(0, SHOWN).map(item))
      : el("p", { class: "note" }, "None since the proxy was started.")));
  }

  update(state) {
    this.show(moves(state));
  }
}
