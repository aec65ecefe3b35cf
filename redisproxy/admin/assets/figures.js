// The figures of the last minutes, and the graphs of them.

import { count, bytesPerSecond, many, milliseconds } from "./format.js";
import { getJsonOrNothing } from "./feed.js";
import { Graph, SPAN_S } from "./graph.js";

const ASK_MS = 2000;
const AGAIN_MS = 60000;
const GAP_S = 5;

/** What is known of this second without the proxy's own record. */
function ofState(state) {
  const { clients = {}, held = null, in_flight: inFlight = null } = state;
  return { time: Date.now() / 1000, clients: clients.open, held, in_flight: inFlight };
}

/** The samples of the last five minutes: the proxy's record, which was kept before the page was opened. */
class Samples {
  #all = [];
  #askAt = 0;

  get all() {
    return this.#all;
  }

  async update(state) {
    const now = Date.now();
    const last = this.#all[this.#all.length - 1];
    const told = state.figures?.time ? state.figures : null;
    const follows = told && last && told.time >= last.time && told.time - last.time < GAP_S;
    if (follows || now < this.#askAt) this.#add(told ?? ofState(state));
    else await this.#ask(state, now);
  }

  async #ask(state, now) {
    const told = await getJsonOrNothing("/figures.json");
    this.#askAt = now + (told === null ? AGAIN_MS : ASK_MS);
    if (told?.samples.length) this.#all = told.samples;
    else this.#add(ofState(state));
  }

  #add(sample) {
    const last = this.#all[this.#all.length - 1];
    if (last && sample.time - last.time < 0.5) return;
    this.#all = [...this.#all, sample].filter((each) => each.time > sample.time - SPAN_S);
  }
}

export class Figures {
  #samples = new Samples();
  #updating = false;

  constructor(root) {
    this.graphs = [
      new Graph("Commands", [{ key: "commands_per_s", label: "per second" }], count,
        (sample) => (sample.errors_per_s ? `${many(sample.errors_per_s, "error")} per second` : "no errors")),
      new Graph("Latency that clients see",
        [{ key: "client_p50_ms", label: "p50" }, { key: "client_p99_ms", label: "p99" }], milliseconds),
      new Graph("Latency of the server",
        [{ key: "uplink_p50_ms", label: "p50" }, { key: "uplink_p99_ms", label: "p99" }], milliseconds),
      new Graph("Clients", [{ key: "clients", label: "connected" }], count),
      new Graph("At the gate", [{ key: "held", label: "held" }, { key: "in_flight", label: "in flight" }], count),
      new Graph("Traffic",
        [{ key: "bytes_in_per_s", label: "in" }, { key: "bytes_out_per_s", label: "out" }], bytesPerSecond),
    ];
    root.append(...this.graphs.map((graph) => graph.node));
  }

  async update(state, marks) {
    if (this.#updating) return;
    this.#updating = true;
    try {
      await this.#samples.update(state);
      for (const graph of this.graphs) graph.update(this.#samples.all, marks);
    } finally {
      this.#updating = false;
    }
  }
}
