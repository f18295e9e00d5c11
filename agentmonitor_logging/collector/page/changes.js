// Puts into words what changed against the equally long time before.

import { count, money, roughly, share } from "./format.js";

const SAME = 0.005;
const NOTABLE = 0.3;
const ENOUGH = 5; // fewer events than this say nothing about latency

/** `{arrow, words}` for one number; the pair of words is for less and more. */
export function change(now, before, [less, more], time) {
  if (now === null || now === undefined) return { arrow: "", words: before ? `nothing now, something in ${time}` : "" };
  if (!before) return { arrow: "", words: now ? `none in ${time}` : `as in ${time}` };
  const part = (now - before) / before;
  if (Math.abs(part) < SAME) return { arrow: "", words: `as in ${time}` };
  return { arrow: part > 0 ? "↑" : "↓", words: now >= 3 * before ? `${ratio(now, before)} ${time}` : `${ratio(now, before)} ${part > 0 ? more : less} than ${time}` };
}

/** The same in a table cell: `{arrow, text, words}`. */
export function briefChange(now, before) {
  if (now === null || now === undefined || before === undefined) return null;
  if (!before) return now ? { arrow: "", text: "new", words: "none before" } : null;
  const part = (now - before) / before;
  if (Math.abs(part) < SAME) return { arrow: "", text: "=", words: "as before" };
  return { arrow: part > 0 ? "↑" : "↓", text: ratio(now, before), words: part > 0 ? "up" : "down" };
}

function ratio(now, before) {
  if (now >= 3 * before) return `${count(Math.round((10 * now) / before) / 10)}×`;
  return share(Math.abs(now - before), before);
}

/** The most telling changes as `{name, kind, text, bad, filters}`, at most *most*. */
export function notable({ agents, event_types: types }, most = 5) {
  const found = [...agents.flatMap((sum) => told(sum, "agent_id")), ...types.flatMap((sum) => told(sum, "event_type"))];
  return found.sort((a, b) => b.weight - a.weight).slice(0, most);
}

function told(sum, kind) {
  const before = sum.before || {};
  const about = { name: sum[kind], kind };
  const filters = { [kind]: sum[kind] };
  if (!before.events) return sum.events ? [{ ...about, text: `new: ${count(sum.events)} events, none before`, weight: 1, bad: false, filters }] : [];
  if (!sum.events) return [{ ...about, text: `silent: ${count(before.events)} events before, none now`, weight: 2, bad: false, filters }];
  return [...errors(sum, before, about, filters), ...latency(sum, before, about, filters), ...spending(sum, before, about, filters)];
}

function errors(sum, before, about, filters) {
  const now = sum.errors / sum.events;
  const then = before.errors / before.events;
  if (Math.abs(now - then) < 0.01 || Math.abs(sum.errors - before.errors) < 2) return [];
  const text = `${share(before.errors, before.events)} of events failed before, ${share(sum.errors, sum.events)} now`;
  return [{ ...about, text: (now > then ? "more errors: " : "fewer errors: ") + text, weight: 3 + 10 * Math.abs(now - then), bad: now > then, filters: now > then ? { ...filters, status: "error" } : filters }];
}

function latency(sum, before, about, filters) {
  if (!sum.p95_ms || !before.p95_ms || Math.min(sum.events, before.events) < ENOUGH) return [];
  const part = sum.p95_ms / before.p95_ms;
  if (part < 1 + NOTABLE && part > 1 - NOTABLE) return [];
  const text = `p95 ${roughly(before.p95_ms)} before, ${roughly(sum.p95_ms)} now`;
  return [{ ...about, text: (part > 1 ? "slower: " : "faster: ") + text, weight: 2 + Math.abs(Math.log(part)), bad: false, filters }];
}

function spending(sum, before, about, filters) {
  if (!sum.cost_usd || !before.cost_usd) return [];
  const part = sum.cost_usd / before.cost_usd;
  if (part < 1 + NOTABLE && part > 1 - NOTABLE) return [];
  const text = `${money(before.cost_usd)} before, ${money(sum.cost_usd)} now`;
  return [{ ...about, text: (part > 1 ? "costs more: " : "costs less: ") + text, weight: 1.5 + Math.abs(Math.log(part)), bad: false, filters }];
}
