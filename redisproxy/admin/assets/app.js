// Puts the page together: what the feed tells goes to each part.

import { Ask } from "./ask.js";
import { Clients } from "./clients.js";
import { Commands } from "./commands.js";
import { Configuration } from "./configuration.js";
import { Feed } from "./feed.js";
import { Fleet } from "./fleet.js";
import { Figures } from "./figures.js";
import { marks, Moves } from "./moves.js";
import { Header, Uplink, Workers } from "./overview.js";
import { HotKeys } from "./hotkeys.js";
import { SlowLog } from "./slowlog.js";
import { Switchover } from "./switchover.js";

const find = (id) => document.getElementById(id);
const ask = new Ask(find("ask"));
const header = new Header(find);
const figures = new Figures(find("graphs"));
const parts = [
  ask,
  new Commands(find("commands"), ask),
  new Switchover(find("running"), find("switchover")),
  new Uplink(find("uplink")),
  new Moves(find("moves")),
  new Fleet(find("fleet")),
  new Workers(find("workers")),
  new Clients(find("clients"), ask),
  new SlowLog(find("slowlog")),
  new HotKeys(find("hotkeys")),
  new Configuration(find("configuration")),
];

let fault = "";

/** One part that can't be drawn, of a proxy of another version perhaps, does not keep the others from it. */
function failed(error) {
  fault = String(error.message ?? error);
  console.error(error);
}

function show(state) {
  for (const part of parts) {
    try {
      part.update(state);
    } catch (error) {
      failed(error);
    }
  }
  figures.update(state, marks(state)).catch(failed);
  header.update({ ...state, fault });
  fault = "";
}

new Feed(show, (how, error) => header.link(how, error)).start();
