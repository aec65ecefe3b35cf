// Numbers, sizes and times as people read them. Everything takes null for "not known".

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** 1,234 */
export function count(value) {
  return known(value) ? whole.format(value) : NONE;
}

/** 12.3 below a hundred, whole above. */
function short(value) {
  const digits = value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** 0.42 ms, 12.3 ms, 4.20 s */
export function milliseconds(value) {
  if (!known(value)) return NONE;
  return value >= 1000 ? `${short(value / 1000)} s` : `${short(value)} ms`;
}

/** 12.3 MB, in powers of ten. */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  for (let size = value; size >= 1000 && power < units.length - 1; size /= 1000) power += 1;
  return power ? `${short(value / 1000 ** power)} ${units[power]}` : `${whole.format(value)} B`;
}

/** 12.3 MB/s */
export function bytesPerSecond(value) {
  return known(value) ? `${bytes(value)}/s` : NONE;
}

/** 3 d 4 h, 2 h 5 min, 3 min 20 s, 12 s */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const total = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${total % 60} s` : `${total} s`;
}

/** 14:03:22, with the day before it when that is not today. */
export function time(unixSeconds) {
  if (!known(unixSeconds)) return NONE;
  const at = new Date(unixSeconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

/** The words of a list, or "none". */
export function listed(values) {
  return values?.length ? values.join(", ") : "none";
}

/** "rolled_back" as "rolled back" */
export function words(name) {
  return String(name ?? "").replaceAll("_", " ");
}

/** 1 client, 2 clients */
export function many(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
