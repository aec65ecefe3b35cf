// The table of clients: filtered by a text, sorted by any column, and closed one by one after a question. It is asked for
// while it is in sight: the proxy has to look at all its clients for it.

import { draw, el, setText, unseen } from "./dom.js";
import { count, duration, many } from "./format.js";
import { getJson } from "./feed.js";

const ASK_MS = 2000;
const AGAIN_MS = 60000;
const LIMIT = 200;
const TYPED_MS = 250;
const PLAIN = "Plain commands such as GET and SET pass without being noted.";

const STATES = ["", "held", "blocked", "slow reader", "waiting", "monitor", "subscribed", "transaction", "active", "idle"];
const COLUMNS = [
  { key: "addr", label: "address" },
  { key: "state", label: "state" },
  { key: "name", label: "name" },
  { key: "user", label: "user" },
  { key: "lib", label: "library" },
  { key: "db", label: "db", number: true },
  { key: "cmd", label: "last special command" },
  { key: "age_s", label: "age", number: true, format: duration },
  { key: "idle_s", label: "idle", number: true, format: duration },
  { key: "pending", label: "pending", number: true, format: count },
];

export class Clients {
  #askAt = 0;
  #asked = 0;
  #open = 0;
  #where = "";
  #inSight = false;
  #names = new Map();
  #sortBy = COLUMNS[0];
  #descending = false;

  constructor(section, ask) {
    this.ask = ask;
    let typed;
    const oninput = () => {
      clearTimeout(typed);
      typed = setTimeout(() => this.#load(), TYPED_MS);
    };
    this.filter = el("input", { type: "search", id: "clients-filter", autocomplete: "off", spellcheck: "false",
      maxlength: "200", placeholder: "address, user, name, library, command", oninput });
    this.state = el("select", { id: "clients-state", onchange: () => this.#load() },
      STATES.map((name) => el("option", { value: name }, name || "any state")));
    this.number = el("p", { class: "note", role: "status" });
    this.heads = COLUMNS.map((column) => this.#head(column));
    this.body = el("tbody");
    this.table = el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Table of clients" },
      el("table", { class: "acts" }, el("caption", { class: "unseen" }, "Clients"),
        el("thead", {}, el("tr", {}, this.heads, el("th", { scope: "col" }, unseen("disconnect")))), this.body));
    this.table.hidden = true; // until it is known who is there
    section.append(
      el("p", { class: "search" }, el("label", { for: "clients-filter" }, "Filter"), this.filter,
        el("label", { class: "unseen", for: "clients-state" }, "State"), this.state),
      this.number, this.table);
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.#inSight = isIntersecting;
    }, { rootMargin: "50%" }).observe(section);
  }

  #head(column) {
    const onclick = () => {
      this.#descending = this.#sortBy === column ? !this.#descending : Boolean(column.number);
      this.#sortBy = column;
      this.#load();
    };
    return el("th", { scope: "col", class: column.number ? "number" : null },
      el("button", { type: "button", class: "sort", onclick }, column.label));
  }

  update({ clients = {}, config = {} }) {
    this.#open = clients.open ?? 0;
    this.#where = (config.listen ?? []).map(({ addr }) => addr).join(", ");
    if (this.#inSight && Date.now() >= this.#askAt) this.#load();
  }

  /** Ask for the clients that are looked for, and show them unless another question was asked meanwhile. */
  async #load() {
    this.#askAt = Date.now() + ASK_MS;
    this.#asked += 1;
    const asked = this.#asked;
    const text = this.filter.value.trim();
    const query = new URLSearchParams({ sort: (this.#descending ? "-" : "") + this.#sortBy.key, limit: LIMIT });
    if (text) query.set("text", text);
    if (this.state.value) query.set("state", this.state.value);
    try {
      const told = await getJson(`/clients.json?${query}`);
      if (asked !== this.#asked) return;
      if (!told) this.#askAt = Date.now() + AGAIN_MS;
      this.#show(told);
    } catch (error) {
      if (asked === this.#asked) setText(this.number, `What is shown was told before: ${error.message}`);
    }
  }

  #show(told) {
    const { clients = [], total = this.#open } = told ?? {};
    this.#tell(told !== null, clients.length, total);
    COLUMNS.forEach((column, number) => {
      const order = this.#descending ? "descending" : "ascending";
      this.heads[number].setAttribute("aria-sort", column === this.#sortBy ? order : "none");
    });
    this.#names = new Map(clients.map(({ id, name, addr }) => [id, name ? `${addr} (${name})` : addr]));
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    draw(this.body, ...clients.map((client) => this.#row(client)));
    // A row that has got another place has lost it.
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  get #filters() {
    return Boolean(this.filter.value.trim() || this.state.value);
  }

  get #invitation() {
    return this.#where && `Applications connect to ${this.#where}.`;
  }

  #tell(known, shown, found) {
    const all = `${many(this.#open, "client")} connected`;
    if (!known) setText(this.number, `${all}. This proxy does not list them.`);
    else if (shown < found) setText(this.number, `${count(shown)} shown of ${count(found)} found; ${all}`);
    else setText(this.number, this.#filters ? `${count(found)} found; ${all}` : `${all}. ${found ? PLAIN : this.#invitation}`);
    this.table.hidden = !shown;
  }

  #row(client) {
    const cell = ({ key, number, format = (value) => String(value ?? "") }) =>
      el("td", { class: number ? "number" : null }, format(client[key]));
    const kill = el("button", { type: "button", class: "small", "aria-label": `Kill ${this.#names.get(client.id)}`,
      onclick: () => this.#kill(client.id) }, "Kill…");
    return el("tr", { "data-key": client.id }, COLUMNS.map(cell), el("td", {}, kill));
  }

  #kill(id) {
    this.ask.open({
      alone: true,
      title: "Disconnect this client?",
      text: `${this.#names.get(id)}, id ${id}. Replies that it waits for are lost to it; most libraries connect again by`
        + " themselves.",
      choices: [{ label: "Disconnect", fields: { cmd: "kill", id }, strong: true }],
    });
  }
}
