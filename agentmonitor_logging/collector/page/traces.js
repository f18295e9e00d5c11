// The list of traces: newest first, filtered, and growing while one looks at it.

import { get } from "./api.js";
import { clip, h, hidden } from "./dom.js";
import { plural } from "./format.js";
import { listing } from "./listing.js";
import { ago } from "./moment.js";
import { tracePath } from "./paths.js";
import { limits, rangeIn } from "./range.js";
import { cost, empty, statusMark, tally, took } from "./states.js";

const RECENT = 5 * 60_000;

const FIELDS = {
  q: { label: "Search in the text", kind: "search", hint: "Words in any event" },
  agent_id: { label: "Agent", kind: "suggest", hint: "any" },
  event_type: { label: "Type", kind: "suggest", hint: "any" },
  status: { label: "Status", kind: "select", options: [["", "Any"], ["error", "With errors"], ["success", "Success"]] },
  span: { label: "Time", kind: "span" },
  session_id: { label: "Session", kind: "text", hint: "any" },
  min_cost: { label: "Cost from, $", kind: "number", hint: "0" },
  min_latency_ms: { label: "Latency from, ms", kind: "number", hint: "0" },
};

/** Open the view. */
export function traces(page) {
  return listing(page, {
    title: "Traces",
    path: "/traces",
    noun: "trace",
    fields: FIELDS,
    heads: { mark: "", name: "Trace", agent: "Agent", when: "Started", took: "Latency", events: "Events", tokens: "Tokens", cost: "Cost" },
    streamed: ["agent_id", "event_type", "status", "session_id"],
    pause: 3000,
    keyOf: (trace) => trace.trace_id,
    row,
    load,
    take,
    none: () => empty("No traces", "There are events, but none of them is left in a trace."),
  });
}

function params(query) {
  const named = Object.keys(FIELDS).filter((name) => name !== "span").map((name) => [name, query.get(name)]);
  return { ...Object.fromEntries(named), ...limits(rangeIn(query)) };
}

async function load(query, paging, signal) {
  const found = await get("/traces", { ...params(query), ...paging }, signal);
  return { items: found.traces, next: found.next, reached: found.reached };
}

function take(traces, list) {
  // What a text is found in, only the collector knows: a search is asked again instead.
  if (list.query.get("q")) list.again();
  else list.merge(traces.filter((trace) => list.has(trace.trace_id) || matches(trace, params(list.query))));
}

function matches(trace, { min_cost: least, min_latency_ms: shortest, from }) {
  if (least && !(trace.cost_usd >= Number(least))) return false;
  if (shortest && !(trace.latency_ms >= Number(shortest))) return false;
  return !from || Date.parse(trace.started_at) >= Date.parse(from);
}

/** Whether *trace* seems to be going on: its root is missing, and it is young. */
export function isRunning(trace) {
  const end = Date.parse(trace.started_at) + (Number(trace.latency_ms) || 0);
  return !trace.complete && Date.now() - end < RECENT;
}

function row(trace) {
  const running = isRunning(trace);
  const preview = trace.error_message || trace.input || trace.output || "";
  return {
    href: tracePath(trace.trace_id),
    cells: [
      h("span.c-mark", statusMark(trace.status, running)),
      h(
        "span.c-name",
        h("span.name", clip(trace.name || "(no name)", 200)),
        h("span.chip", clip(trace.event_type, 60)),
        running && h("span.chip.running", "running"),
        trace.errors > 0 && h("span.chip.error", plural(trace.errors, "error")),
        h("span", { class: trace.error_message ? "preview error" : "preview" }, clip(preview, 200)),
      ),
      h("span.c-agent", hidden("agent "), clip(trace.agent_id, 80)),
      h("span.c-when", ago(trace.started_at)),
      h("span.c-took", hidden("latency "), took(trace.latency_ms)),
      h("span.c-events", tally(trace.events, "events"), h("span.unit", " events")),
      h("span.c-tokens", tally(trace.tokens, "tokens"), h("span.unit", " tokens")),
      h("span.c-cost", hidden("cost "), cost(trace.cost_usd)),
    ],
  };
}
