// A span of time: the last so many hours, or from one moment to another. It lives in the
// query string as `span=6h`, or as `from=…&to=…`.

import { h, replace } from "./dom.js";
import { clock } from "./format.js";

const HOUR = 3_600_000;

/** The spans to choose from, in milliseconds, with the words for the time before them. */
export const SPANS = {
  "1h": { ms: HOUR, label: "1 h", long: "the last hour", before: "the hour before" },
  "6h": { ms: 6 * HOUR, label: "6 h", long: "the last 6 hours", before: "the 6 h before" },
  "24h": { ms: 24 * HOUR, label: "24 h", long: "the last 24 hours", before: "the 24 h before" },
  "7d": { ms: 168 * HOUR, label: "7 d", long: "the last 7 days", before: "the 7 days before" },
  "30d": { ms: 720 * HOUR, label: "30 d", long: "the last 30 days", before: "the 30 days before" },
};

/** Read the span in *query*: `{span, from, to, long, before}`; null where none is named. */
export function rangeIn(query) {
  const named = SPANS[query.get("span")];
  if (named) return { span: query.get("span"), from: null, to: null, ...named };
  const from = moment(query.get("from"));
  const to = moment(query.get("to"));
  if (!from && !to) return null;
  const long = from && to ? `${clock(from)} to ${clock(to)}` : from ? `since ${clock(from)}` : `until ${clock(to)}`;
  const ms = (to ? Date.parse(to) : Date.now()) - (from ? Date.parse(from) : 0);
  return { span: "custom", from, to, long, before: "the time before", ms };
}

/** The `from` and `to` to ask the collector for, as of now. */
export function limits(range) {
  if (!range) return {};
  if (range.span !== "custom") return { from: new Date(Date.now() - range.ms).toISOString() };
  return { from: range.from, to: range.to };
}

/** The part of a query string that names *range*. */
export function rangeParams(range) {
  if (!range) return {};
  return range.span === "custom" ? { from: range.from, to: range.to } : { span: range.span };
}

function moment(text) {
  const at = text ? Date.parse(text) : NaN;
  return Number.isFinite(at) ? new Date(at).toISOString() : null;
}

// What an <input type="datetime-local"> takes: local time without a zone.
function local(iso) {
  if (!iso) return "";
  const at = new Date(iso);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Two fields, from and to; *onChange* gets a range, or null where both are empty. */
export function customFields(range, onChange) {
  const from = h("input", { type: "datetime-local", id: "range-from", value: local(range?.from) });
  const to = h("input", { type: "datetime-local", id: "range-to", value: local(range?.to) });
  const error = h("p.field-error", { role: "alert" });
  const apply = () => {
    const params = new URLSearchParams();
    if (from.value) params.set("from", new Date(from.value).toISOString());
    if (to.value) params.set("to", new Date(to.value).toISOString());
    if (from.value && to.value && from.value >= to.value) return replace(error, "“From” has to be before “to”.");
    replace(error);
    return onChange(rangeIn(params));
  };
  return h(
    "div.custom-range",
    h("div.field", h("label", { for: "range-from" }, "From"), from),
    h("div.field", h("label", { for: "range-to" }, "To"), to),
    h("button", { onclick: apply }, "Apply"),
    error,
  );
}

/** The choice of spans as one row of radio buttons, and fields for a span of one's own. */
export function rangePicker(range, onChange) {
  const place = h("div.custom-place");
  const showCustom = () => replace(place, customFields(range.span === "custom" ? range : defaultCustom(range), onChange));
  const choose = (value) => {
    if (value === "custom") return showCustom();
    replace(place);
    return onChange({ span: value, ...SPANS[value] });
  };
  const choice = (value, label) =>
    h(
      "label.segment",
      h("input", { type: "radio", name: "span", value, checked: value === range.span, onchange: () => choose(value) }),
      h("span", label),
    );
  if (range.span === "custom") showCustom();
  return h(
    "fieldset.range",
    h("legend.vh", "Span of time"),
    h("div.segments", Object.entries(SPANS).map(([value, { label }]) => choice(value, label)), choice("custom", "Custom")),
    place,
  );
}

function defaultCustom(range) {
  const now = Date.now();
  return { from: new Date(now - range.ms).toISOString(), to: new Date(now).toISOString() };
}
