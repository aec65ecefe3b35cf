// The state in words, what needs attention, the server behind the proxy, and workers.

import { draw, el, setText, table, terms, whenChanged } from "./dom.js";
import { fleetAlerts } from "./fleet.js";
import { count, duration, many } from "./format.js";

const SIGNS = { running: "▶", pausing: "◐", paused: "‖", "shutting down": "■" };
const LINKS = {
  live: "live",
  polling: "asking every 2 s",
  lost: "no answer from the proxy",
};

function why(state) {
  const { shutdown, uplink = {}, paused_for: reasons = [], upgrade } = state;
  if (shutdown) {
    const left = shutdown.waits_for_s ? `, for ${shutdown.waits_for_s} s at the most` : "";
    return `${many(shutdown.clients_left, "client")} left${left}`;
  }
  if (reasons.length) return `Commands wait, nobody is disconnected. Reason: ${reasons.join(", ")}`;
  if (!uplink.address) return "";
  if (uplink.connected === false) return `Commands wait for ${uplink.address}`;
  return upgrade?.step ? `A new program takes over, step: ${upgrade.step}` : `Commands go to ${uplink.address}`;
}

const SOON_S = 21 * 86400;

/** Files of passwords and certificates that can't be used, and certificates that end soon. */
function credentialAlerts({ credential_files: files = [] }) {
  return files.flatMap(({ where, error, certificates = [] }) => [
    error && `The files of ${where}: ${error}`,
    ...certificates.filter(({ expires_in_s: left }) => left < SOON_S).map(({ path, expires_in_s: left }) =>
      left > 0 ? `The certificate ${path} ends in ${duration(left)}` : `The certificate ${path} has ended`),
  ]);
}

/** What an operator has to know before all figures. */
function alerts(state) {
  const { uplink = {}, workers = [], error, fault } = state;
  const silent = workers.filter((each) => !each.answers).map((each) => each.number);
  return [
    error && `The proxy can't tell its state: ${error}`,
    fault && `This page does not show everything (${fault}): reload it`,
    uplink.advice && `The server: ${uplink.advice}`,
    uplink.connected === false && !uplink.advice && `The server is not connected: ${uplink.last_error || "connecting"}`,
    ...fleetAlerts(state.fleet),
    ...credentialAlerts(state),
    silent.length > 0 && `No answer from worker ${silent.join(", ")}`,
  ].filter(Boolean);
}

export class Header {
  #version = null;

  constructor(find) {
    this.find = find;
    this.showAlerts = whenChanged((texts) =>
      draw(find("alerts"), ...texts.map((text) => el("p", { class: "alert", "data-key": text }, el("b", {}, "! "), text))));
    this.showState = whenChanged(({ name, cut }) => {
      find("state").replaceChildren(el("span", { "aria-hidden": "true" }, cut ? "!" : SIGNS[name] ?? "?"),
        ` ${cut && name === "running" ? "not connected" : name}`);
      find("state").className = `state ${cut ? "cut" : name.split(" ")[0]}`;
      document.title = `redisproxy: ${name}${cut && name === "running" ? ", server not connected" : ""}`;
    });
  }

  update(state) {
    this.showState({ name: state.state ?? "unknown", cut: state.state === "running" && state.uplink?.connected === false });
    this.showAlerts(this.#newProgram(state.version, alerts(state)));
    setText(this.find("why"), why(state));
    setText(this.find("version"), state.version ? `redisproxy ${state.version}, up ${duration(state.uptime_s)}` : "redisproxy");
  }

  #newProgram(version, texts) {
    this.#version ??= version;
    const other = version && version !== this.#version;
    return other ? [...texts, `Version ${version} has taken over: reload this page to get its page, too`] : texts;
  }

  link(how, error = "") {
    setText(this.find("link"), LINKS[how] + (error ? `: ${error}` : ""));
    this.find("link").className = `link ${how}`;
    if (how !== "lost") return;
    this.showState({ name: "no answer", cut: true });
    setText(this.find("why"), "All below is what was told last");
  }
}

function sentinelRows({ sentinels = [] }) {
  return sentinels.map((each) => [
    each.address,
    each.subscribed ? "subscribed" : "not subscribed",
    each.primary ?? "",
    each.error ?? "",
  ]);
}

/** What the server says of itself: "redis 7.0.15, master". */
function program({ server = "", version = "", role, mode }) {
  return [`${server} ${version}`.trim(), role, mode !== "standalone" && mode].filter(Boolean).join(", ");
}

function uplinkNodes({ uplink, aside, raw }) {
  const { sentinel, name, server = {} } = uplink;
  const followed = sentinel ?? name;
  const nodes = [
    terms([
      ["address", uplink.address],
      ["server", program(server)],
      ["connected", uplink.connected ? "✓ yes" : "✗ no"],
      ["TLS", uplink.tls ? "yes" : "no"],
      ["connections", count(uplink.connections)],
      ["shared by clients", count(uplink.shared)],
      ["pinned to a client", `${count(uplink.pinned)} of ${count(uplink.max_pinned)}`],
      ["blocked commands waiting", aside ? count(aside) : ""],
      ["raw connections", raw ? count(raw) : ""],
      ["last error", uplink.last_error],
      ["followed by Sentinel", sentinel?.master_name],
      ["found by name", name?.name],
      ["in use", name?.in_use],
      ["addresses of the name", name?.addresses.join(", ")],
      ["changes followed", followed ? count(followed.switches) : ""],
      ["trouble with finding it", followed?.last_error],
    ]),
  ];
  if (sentinel) nodes.push(table("Sentinels", ["sentinel", "events", "primary", "error"], sentinelRows(sentinel)));
  return nodes;
}

export class Uplink {
  constructor(section) {
    const box = section.appendChild(el("div"));
    this.show = whenChanged((value) => draw(box, ...uplinkNodes(value)));
  }

  update({ uplink, aside, raw_connections: raw }) {
    if (uplink) this.show({ uplink, aside, raw });
  }
}

export class Workers {
  constructor(section) {
    const box = section.appendChild(el("div"));
    this.section = section;
    const heads = [["worker", "number"], ["pid", "number"], ["clients", "number"], ["in flight", "number"],
      ["held", "number"], ["commands", "number"], "server", ["restarts", "number"], "answers"];
    const row = (each) => [
      each.number, each.pid, count(each.clients), count(each.in_flight), count(each.held), count(each.commands),
      each.connected ? "connected" : "not connected", count(each.restarts), each.answers ? "yes" : "no answer",
    ];
    this.show = whenChanged((workers) => draw(box, table("Workers", heads, workers.map(row))));
  }

  update({ workers = [] }) {
    this.section.hidden = !workers.length;
    if (workers.length) this.show(workers);
  }
}
