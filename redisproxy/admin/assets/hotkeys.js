// The keys that are used most, and the largest replies, where they are sampled.

import { draw, el, table, whenChanged } from "./dom.js";
import { bytes, count, time } from "./format.js";
import { getJsonOrNothing } from "./feed.js";

const ASK_MS = 5000;
const AGAIN_MS = 60000;
const SHOWN = 10;
const KEYS = [["share", "number"], ["commands a second", "number"], "family", "key"];
const REPLIES = [["bytes", "number"], "command", "key", "when"];

export class HotKeys {
  #askAt = 0;

  constructor(section) {
    this.section = section;
    const box = section.appendChild(el("div"));
    const key = (each) => [`${(100 * each.share).toFixed(1)} %`, count(each.commands_per_s), each.family, each.key];
    const reply = (each) => [bytes(each.bytes), each.command, each.key, time(each.time)];
    this.show = whenChanged(({ keys, replies }) => draw(box,
      table("Keys that are used most", KEYS, keys.slice(0, SHOWN).map(key)),
      table("Largest replies", REPLIES, replies.slice(0, SHOWN).map(reply)),
    ));
  }

  async update() {
    if (Date.now() < this.#askAt) return;
    this.#askAt = Date.now() + ASK_MS;
    const told = await getJsonOrNothing("/hot_keys.json");
    if (told === undefined) return;
    if (!told?.sample) this.#askAt = Date.now() + AGAIN_MS;
    this.section.hidden = !told?.sampled;
    if (told?.sampled) this.show(told);
  }
}
