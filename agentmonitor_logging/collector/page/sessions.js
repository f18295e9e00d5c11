// The list of sessions, newest first.

import { get } from "./api.js";
import { clip, h, hidden } from "./dom.js";
import { plural } from "./format.js";
import { listing } from "./listing.js";
import { ago } from "./moment.js";
import { sessionPath } from "./paths.js";
import { limits, rangeIn } from "./range.js";
import { cost, empty, statusMark, tally } from "./states.js";

const FIELDS = {
  q: { label: "Session starts with", kind: "search", hint: "The beginning of a session’s id" },
  agent_id: { label: "Agent", kind: "suggest", hint: "any" },
  span: { label: "Time", kind: "span" },
};

/** Open the view. */
export function sessions(page) {
  return listing(page, {
    title: "Sessions",
    path: "/sessions",
    noun: "session",
    fields: FIELDS,
    heads: { mark: "", name: "Session", agent: "Agent", when: "Last seen", took: "Traces", events: "Events", tokens: "Tokens", cost: "Cost" },
    streamed: ["agent_id"],
    pause: 1500,
    keyOf: (session) => session.session_id,
    row,
    load,
    take: (traces, list) => traces.some((trace) => trace.session_id) && list.again(),
    none: () => empty("No sessions yet", "A session joins the traces of one conversation. Name it where a request comes in:", h("code", 'with agent_context(session_id="…", user_id="…"):')),
  });
}

async function load(query, paging, signal) {
  const found = await get("/sessions", { q: query.get("q"), agent_id: query.get("agent_id"), ...limits(rangeIn(query)), ...paging }, signal);
  return { items: found.sessions, next: found.next, reached: found.reached };
}

function row(session) {
  return {
    href: sessionPath(session.session_id),
    cells: [
      h("span.c-mark", statusMark(session.errors ? "error" : "success")),
      h(
        "span.c-name",
        h("span.name", clip(session.session_id, 200)),
        session.errors > 0 && h("span.chip.error", plural(session.errors, "error")),
        session.user_id && h("span.preview", hidden("user "), clip(session.user_id, 100)),
      ),
      h("span.c-agent", hidden("agent "), clip(session.agent_id, 80)),
      h("span.c-when", ago(session.last_at)),
      h("span.c-took", tally(session.traces, "traces"), h("span.unit", session.traces === 1 ? " trace" : " traces")),
      h("span.c-events", tally(session.events, "events"), h("span.unit", " events")),
      h("span.c-tokens", tally(session.tokens, "tokens"), h("span.unit", " tokens")),
      h("span.c-cost", hidden("cost "), cost(session.cost_usd)),
    ],
  };
}
