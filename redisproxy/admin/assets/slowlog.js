// The slow commands, the newest first.

import { draw, el, table, whenChanged } from "./dom.js";
import { milliseconds, time } from "./format.js";
import { getJsonOrNothing } from "./feed.js";

const ASK_MS = 5000;
const AGAIN_MS = 60000;
const SHOWN = 20;

export class SlowLog {
  #askAt = 0;

  constructor(section) {
    this.section = section;
    const box = section.appendChild(el("div"));
    const heads = ["when", "command", "key", ["together", "number"], ["in the proxy", "number"],
      ["in the server", "number"], "client", "user"];
    const row = (each) => [
      time(each.time), each.command, each.key, milliseconds(each.total_ms), milliseconds(each.proxy_ms),
      milliseconds(each.redis_ms), each.addr, each.user,
    ];
    const key = ({ time: at, addr, command, key: name, total_ms: ms }) => JSON.stringify([at, addr, command, name, ms]);
    this.show = whenChanged((entries) =>
      draw(box, table("Slow commands", heads, entries.map(row), { tall: "tall", keys: entries.map(key) })));
  }

  async update() {
    if (Date.now() < this.#askAt) return;
    this.#askAt = Date.now() + ASK_MS;
    const told = await getJsonOrNothing("/slowlog.json");
    if (told === undefined) return;
    if (!told) this.#askAt = Date.now() + AGAIN_MS;
    const entries = (told?.entries ?? []).slice(0, SHOWN);
    this.section.hidden = !entries.length;
    if (entries.length) this.show(entries);
  }
}
