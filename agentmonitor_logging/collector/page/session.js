// One session, told as the conversation it was: each trace is a turn, its input what the
// person said, its output what the agent answered.

import { get } from "./api.js";
import { clip, h, paced, patch, replace } from "./dom.js";
import { fact } from "./detail.js";
import { plural } from "./format.js";
import { lastAddress } from "./listing.js";
import { follow } from "./live.js";
import { ago, atTime } from "./moment.js";
import { saying } from "./payload.js";
import { tracePath, tracesPath } from "./paths.js";
import { cost, empty, failed, skeleton, statusMark, tally, took } from "./states.js";
import { isRunning } from "./traces.js";

const PAGE = 50;
const REFRESH = 1000;

/** Open the view. */
export function session(page) {
  const id = clip(page.id, 200);
  const summary = h("div.summary", skeleton(1));
  const list = h("ol.turns");
  const more = h("button", { hidden: true, onclick: () => loadMore() }, "Load more");
  const state = h("div", skeleton(4, "block"));
  const turns = new Map();
  let next = null;
  let last = null; // the cursor of the last page: what is new mostly comes after or in it
  let before = ""; // when the turn before that page began
  let newest = ""; // and the last one in it
  let late = false; // whether a turn before it is new or has changed

  page.title(`Session ${id}`);
  page.root.append(h("nav.crumbs", { "aria-label": "Breadcrumb" }, h("a", { href: lastAddress("/sessions") }, "Sessions"), h("span", { "aria-hidden": "true" }, " / ")), h("h1", id), summary, list, state, h("div.feed-end", more));
  begin(page.memory?.count || 0);

  async function begin(wanted) {
    try {
      const { revision } = await get("/traces", { limit: 1 }, page.signal);
      await loadAll(wanted);
      replace(state);
      page.ready();
      follow({ of: "traces", session_id: page.id }, revision, changed, page.signal);
    } catch (error) {
      if (page.signal.aborted) return;
      replace(summary);
      replace(state, error.status === 404 ? missing() : failed(error));
    }
  }

  async function loadAll(wanted) {
    let seen = await load(null);
    while (next && seen < wanted) seen += await load(next);
  }

  async function load(cursor) {
    const found = await get(`/sessions/${encodeURIComponent(page.id)}`, { limit: PAGE, cursor }, page.signal);
    if (cursor !== last) before = cursor ? newest : "";
    last = cursor;
    next = found.next;
    newest = found.turns.at(-1)?.trace.started_at ?? newest;
    patch(summary, [summaryOf(found.session)]);
    found.turns.forEach(show);
    more.hidden = !next;
    return found.turns.length;
  }

  async function loadMore() {
    try {
      await load(next);
      replace(state);
    } catch (error) {
      if (!page.signal.aborted) replace(state, failed(error, loadMore));
    }
  }

  // What was kept in a spool, or another program sends, may come late.
  function changed({ traces = [] }) {
    late ||= traces.some((trace) => trace.started_at <= before);
    refresh();
  }

  const refresh = paced(async () => {
    const [isWhole, wasLate] = [!next, late];
    late = false;
    try {
      if (wasLate) await loadAll(turns.size);
      else await load(last);
      if (isWhole && next) await load(next);
    } catch {
      late ||= wasLate;
      // The next message of the stream brings the next try.
    }
  }, () => REFRESH, page.signal);

  function show(turn) {
    const { trace } = turn;
    const key = trace.trace_id;
    const old = turns.get(key);
    if (old && old.trace.revision === trace.revision) return;
    const element = old?.element ?? h("li.turn", { data: { key } });
    turns.set(key, { element, trace });
    patch(element, [turnOf(turn)]);
    let above = list.lastChild;
    while (above && (above === element || isEarlier(trace, turns.get(above.dataset.key).trace))) above = above.previousSibling;
    const below = above ? above.nextSibling : list.firstChild;
    if (below !== element) list.insertBefore(element, below);
  }

  return { memory: () => ({ count: turns.size }) };
}

function isEarlier(one, other) {
  return one.started_at < other.started_at || (one.started_at === other.started_at && one.id < other.id);
}

function summaryOf(found) {
  return h(
    "dl.facts",
    fact("Agent", clip(found.agent_id, 80)),
    found.user_id ? fact("User", clip(found.user_id, 80)) : null,
    fact("Started", atTime(found.started_at)),
    fact("Last seen", ago(found.last_at)),
    fact("Traces", h("a", { href: tracesPath({ session_id: found.session_id }) }, plural(found.traces, "trace"))),
    fact("Errors", h("span", { class: found.errors ? "bad" : null }, tally(found.errors, "errors"))),
    fact("Tokens", tally(found.tokens, "tokens")),
    fact("Cost", cost(found.cost_usd)),
  );
}

function turnOf({ trace, input_data: input, output_data: output }) {
  const running = isRunning(trace);
  return h(
    "article",
    { "aria-label": clip(`Turn: ${trace.name}`, 120) },
    h(
      "header.turn-head",
      statusMark(trace.status, running),
      h("a.name", { href: tracePath(trace.trace_id) }, clip(trace.name || "(no name)", 120)),
      trace.errors > 0 && h("span.chip.error", plural(trace.errors, "error")),
      running && h("span.chip.running", "running"),
      h("span.turn-facts", atTime(trace.started_at), took(trace.latency_ms), trace.tokens !== null && h("span", tally(trace.tokens, "tokens"), " tokens"), cost(trace.cost_usd)),
    ),
    spoken("user", trace.user_id || "User", input, "No input was recorded."),
    spoken("agent", trace.agent_id, output, running ? "Still working …" : "No output was recorded."),
    trace.error_message && h("p.banner.error", h("strong", "Error: "), clip(trace.error_message, 300)),
  );
}

function spoken(side, who, data, nothing) {
  if (data === null && side === "user") return null;
  return h("div", { class: `said ${side}` }, h("p.role", clip(who, 80)), data === null || data === undefined ? h("p.soft", nothing) : saying(data, side));
}

function missing() {
  return empty("This session is not here", "It may be older than what the collector keeps, or from another collector.", h("a.button.primary", { href: "/sessions" }, "Go to all sessions"));
}
