// Brings what the proxy tells of itself: as server-sent events, or by asking again and again where those don't come.

const POLL_MS = 2000;
const SILENT_MS = 5000;
const AGAIN_MS = 15000;

/** GET a JSON page of the proxy; null when it has no such page. */
export async function getJson(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(10000) });
  if (answer.status === 404) return null;
  if (answer.ok) return answer.json();
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error ?? `status ${answer.status}`);
}

/** As getJson; undefined when there is no good answer now: what was told before is all that is known. */
export function getJsonOrNothing(path) {
  return getJson(path).catch(() => undefined);
}

/** What is null is as what is not told at all. */
function withoutNulls(state) {
  return Object.fromEntries(Object.entries(state).filter(([, value]) => value !== null));
}

/**
 * Calls `told(state)` with the whole state whenever something of it was told, and `linked(how)` with "live", "polling"
 * or "lost". A page in the background listens to nothing: browsers allow few connections to one host.
 */
export class Feed {
  #state = {};
  #source = null;
  #heardAt = 0;
  #openedAt = 0;
  #polling = false;

  constructor(told, linked) {
    this.told = told;
    this.linked = linked;
  }

  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
    setInterval(() => this.#look(), POLL_MS);
    this.#open();
  }

  #open() {
    this.#close();
    if (document.hidden) return;
    this.#openedAt = this.#heardAt = Date.now();
    this.#source = new EventSource("/events");
    // Perhaps another process: its first event has all that it tells.
    this.#source.onopen = () => { this.#state = {}; };
    this.#source.onmessage = (event) => this.#heard(JSON.parse(event.data), "live");
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }

  #heard(news, how) {
    if (how === "live") this.#heardAt = Date.now();
    this.#state = withoutNulls({ ...this.#state, ...news });
    this.linked(how);
    this.told(this.#state);
  }

  #look() {
    if (document.hidden) return;
    const refused = this.#source?.readyState === EventSource.CLOSED;
    if (!refused && Date.now() - this.#heardAt < SILENT_MS) return;
    if (Date.now() - this.#openedAt > AGAIN_MS) {
      this.#open();
      this.#heardAt = 0;
    }
    this.#poll();
  }

  async #poll() {
    if (this.#polling) return;
    this.#polling = true;
    try {
      const info = await getJson("/info.json");
      if (!info) throw new Error("status 404");
      this.#state = {};
      this.#heard({ ...info, error: "" }, "polling");
    } catch (error) {
      this.linked("lost", String(error.message ?? error));
    } finally {
      this.#polling = false;
    }
  }
}
