// JSON as a tree that folds. What is folded is not built yet, and a level shows at most a
// hundred entries at a time, so that no payload is too deep or too wide.

import { append, h, replace } from "./dom.js";
import { count, plural } from "./format.js";
import { longText } from "./longtext.js";

const AT_ONCE = 100;
const OPEN_LEVELS = 2;
const OPEN_SIZE = 30;
const DEEPEST_INDENT = 10;
const PREVIEW = 70;

/** Return the element that shows *value*. */
export function jsonTree(value) {
  return h("div.json", node(null, value, 0));
}

/** JSON as text, also with the numbers that only BigInt holds. */
export function jsonText(value) {
  return JSON.stringify(value, (name, part) => (typeof part === "bigint" ? (JSON.rawJSON?.(String(part)) ?? String(part)) : part), 2);
}

function node(name, value, level) {
  const label = name === null ? null : h("span.json-key", shortened(name), h("span.soft", ": "));
  if (value === null || typeof value !== "object") return h("div.json-leaf", label, leaf(value));
  const size = Array.isArray(value) ? value.length : Object.keys(value).length;
  if (!size) return h("div.json-leaf", label, h("span.soft", Array.isArray(value) ? "[ ]" : "{ }"));
  return branch(label, value, size, level);
}

function branch(label, value, size, level) {
  const preview = h("span.json-preview", glance(value));
  const about = h("span.soft", Array.isArray(value) ? `[${count(size)}] ` : `{${count(size)}} `);
  const body = h("div", { class: level < DEEPEST_INDENT ? "json-body" : "json-body deep" });
  const details = h("details", { ontoggle: build }, h("summary", label, about, preview), body);
  let built = false;
  function build() {
    if (built || !details.open) return;
    built = true;
    entries(body, value, level + 1);
  }
  details.open = level < OPEN_LEVELS && size <= OPEN_SIZE;
  build();
  return details;
}

function entries(body, value, level) {
  const list = Array.isArray(value) ? value.map((part, index) => [index, part]) : Object.entries(value);
  let shown = 0;
  const more = h("button.small", { onclick: next });
  function next() {
    const part = list.slice(shown, shown + AT_ONCE);
    more.remove();
    append(body, part.map(([name, inner]) => node(name, inner, level)));
    shown += part.length;
    if (shown >= list.length) return;
    replace(more, `Show more (${plural(list.length - shown, "entry", "entries")} left)`);
    body.append(more);
  }
  next();
}

function leaf(value) {
  if (typeof value === "string") return longText(value, { max: 600, kind: "json-string" });
  return h("span.json-atom", String(value));
}

function shortened(name) {
  const text = String(name);
  return text.length > 120 ? text.slice(0, 119) + "…" : text;
}

// A few of the entries on one line, without walking a large value.
function glance(value) {
  const isList = Array.isArray(value);
  let text = "";
  for (const name in value) {
    const part = value[name];
    const shown = part !== null && typeof part === "object" ? "…" : typeof part === "string" ? part.slice(0, 40) : String(part);
    text += (text && ", ") + (isList ? shown : `${name}: ${shown}`);
    if (text.length > PREVIEW) return text.slice(0, PREVIEW) + "…";
  }
  return text;
}
