// The proxies that are operated together with this one.

import { draw, el, table, whenChanged } from "./dom.js";
import { count, milliseconds } from "./format.js";
import { getJsonOrNothing } from "./feed.js";

const ASK_MS = 2000;
const HEADS = ["proxy", "version", "state", "server", ["clients", "number"], ["held", "number"], ["lag", "number"], "runs"];

function row(peer, name) {
  if (peer.instance === undefined) return [name, "", peer.error ? "missing" : "not reached yet"];
  const server = peer.connected ? peer.server : `${peer.server} (not connected)`;
  return [
    name, peer.version, peer.state, peer.same_server === false ? `! another one: ${server}` : server, count(peer.clients),
    count(peer.held), peer.lag_ms === undefined ? "" : milliseconds(peer.lag_ms),
    peer.operation + (peer.leads ? " (leads it)" : ""),
  ];
}

/** What an operator has to know of the others. */
export function fleetAlerts(fleet) {
  if (!fleet) return [];
  const { peers, reachable, unresolved = [], on_another_server: elsewhere } = fleet;
  return [
    unresolved.length > 0 && `the fleet: ${unresolved.join(", ")} can't be resolved`,
    reachable < peers && `${count(peers - reachable)} of ${count(peers)} other proxies can't be reached`,
    elsewhere > 0 && `${count(elsewhere)} of ${count(peers)} other proxies use another server`,
  ];
}

export class Fleet {
  #askAt = 0;

  constructor(section) {
    const box = section.appendChild(el("div"));
    this.section = section;
    this.show = whenChanged(({ self, peers, faults }) => {
      const rows = [row(self, `${self.name} (this one)`), ...peers.map((peer) => row(peer, peer.addr))];
      const missing = faults.map((text) => el("p", { class: "warning" }, el("b", {}, "! "), text));
      draw(box, table("Fleet", HEADS, rows), ...missing);
    });
  }

  async update({ fleet }) {
    this.section.hidden = !fleet;
    if (!fleet || Date.now() < this.#askAt) return;
    this.#askAt = Date.now() + ASK_MS;
    const told = await getJsonOrNothing("/fleet.json");
    if (told?.fleet) this.show(told);
  }
}
