// Turns numbers and times into what a person reads. Unknown is a dash, never a zero.

const DASH = "–";
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const known = (value) => value !== null && value !== undefined && !Number.isNaN(Number(value));

function digits(value, places) {
  return value.toLocaleString("en", { maximumFractionDigits: places });
}

/** 0, 999, 1.2k, 34.5M, 1.0e+300. */
export function count(value) {
  if (!known(value)) return DASH;
  const number = Number(value);
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  const size = Math.abs(number);
  if (size < 1000) return digits(number, size < 10 ? 2 : size < 100 ? 1 : 0);
  if (size >= 1e15) return number.toExponential(1);
  const step = size < 999_950 ? [1e3, "k"] : size < 999_950_000 ? [1e6, "M"] : size < 999_950_000_000 ? [1e9, "B"] : [1e12, "T"];
  return (number / step[0]).toFixed(Math.abs(number / step[0]) < 100 ? 1 : 0).replace(/\.0$/, "") + step[1];
}

/** The number in full, for a title. */
export function whole(value) {
  return known(value) ? Number(value).toLocaleString("en", { maximumFractionDigits: 12 }) : "not known";
}

/** $0, $0.0042, $1.23, $1.2k. */
export function money(value) {
  if (!known(value)) return DASH;
  const number = Number(value);
  const size = Math.abs(number);
  const sign = number < 0 ? "−" : "";
  if (size === 0) return "$0";
  if (!Number.isFinite(size) || size >= 10_000) return sign + "$" + count(size);
  if (size >= 1) return sign + "$" + size.toFixed(2);
  if (size < 1e-6) return sign + "<$0.000001";
  const places = Math.min(8, Math.max(2, 1 - Math.floor(Math.log10(size))));
  return sign + "$" + size.toFixed(places);
}

/** 0.4 ms, 350 ms, 1.2 s, 2 min 5 s, 3 h 20 min. */
export function duration(ms) {
  if (!known(ms)) return DASH;
  const number = Number(ms);
  const size = Math.abs(number);
  const sign = number < 0 ? "−" : "";
  if (!Number.isFinite(size)) return sign + "∞";
  if (size < 1 && size > 0) return sign + digits(size, 2) + " ms";
  if (size < 999.5) return sign + digits(size, size < 10 ? 1 : 0) + " ms";
  if (size < 59_950) return sign + digits(size / SECOND, size < 9_950 ? 2 : 1) + " s";
  if (size < HOUR - 500) return sign + two(size, MINUTE, "min", SECOND, "s");
  if (size < DAY - MINUTE / 2) return sign + two(size, HOUR, "h", MINUTE, "min");
  if (size < 1e6 * DAY) return sign + two(size, DAY, "d", HOUR, "h");
  return sign + (size / DAY).toExponential(1) + " d";
}

/** The same for what is known to within 6 %: ≈ 300 ms. */
export function roughly(ms) {
  if (!known(ms) || !Number.isFinite(Number(ms))) return duration(ms);
  return `≈ ${duration(Number(Number(ms).toPrecision(2)))}`;
}

function two(size, large, largeName, small, smallName) {
  const parts = Math.round(size / small);
  const per = large / small;
  const rest = parts % per;
  return `${Math.floor(parts / per)} ${largeName}` + (rest ? ` ${rest} ${smallName}` : "");
}

/** Milliseconds since 1970, with the microseconds that Date would drop; NaN if none. */
export function millis(iso) {
  const text = String(iso);
  const base = Date.parse(text);
  const fraction = /\.(\d{3})(\d{1,6})/.exec(text);
  return fraction ? base + Number("0." + fraction[2]) : base;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const CLOCK_SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DATE_LONG = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

function moment(iso) {
  const at = millis(iso);
  return Number.isFinite(at) && Math.abs(at) < 8.64e15 ? new Date(at) : null;
}

/** 14:05:09 today, 12 Oct 14:05:09 before. */
export function clock(iso, now = Date.now()) {
  const at = moment(iso);
  if (!at) return DASH;
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return CLOCK.format(at);
  const date = at.getFullYear() === today.getFullYear() ? DATE : DATE_LONG;
  return `${date.format(at)}, ${CLOCK.format(at)}`;
}

/** A time on an axis: as much of it as the length of the axis asks for. */
export function tick(ms, range) {
  const at = new Date(ms);
  if (range <= 20 * HOUR) return CLOCK_SHORT.format(at);
  return range <= 8 * DAY ? `${DATE.format(at)}, ${CLOCK_SHORT.format(at)}` : DATE.format(at);
}

/** now, 12 s ago, 5 min ago, 3 h ago, 2 d ago; a date after a month. */
export function relative(iso, now = Date.now()) {
  const at = moment(iso);
  if (!at) return "at an unknown time";
  const age = now - at.getTime();
  if (age < -MINUTE) return "in the future";
  if (age < 2 * SECOND) return "now";
  if (age < MINUTE) return `${Math.floor(age / SECOND)} s ago`;
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min ago`;
  if (age < DAY) return `${Math.floor(age / HOUR)} h ago`;
  if (age < 31 * DAY) return `${Math.floor(age / DAY)} d ago`;
  return DATE_LONG.format(at);
}

/** The share of *part* in *all* as 0.4% or 12%. */
export function share(part, all) {
  if (!all) return DASH;
  const percent = (100 * part) / all;
  return digits(percent, percent < 10 ? 1 : 0) + "%";
}

/** "1 event", "2 events", "1.2k events". */
export function plural(value, one, many = one + "s") {
  return `${count(value)} ${Number(value) === 1 ? one : many}`;
}
