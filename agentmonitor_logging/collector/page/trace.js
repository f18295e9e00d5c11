// One trace: what it came to, its calls as a waterfall, and one of them in detail.

import { get } from "./api.js";
import { clip, h, paced, replace, settled } from "./dom.js";
import { Detail, fact } from "./detail.js";
import { whole } from "./format.js";
import { lastAddress } from "./listing.js";
import { follow } from "./live.js";
import { ago, atTime } from "./moment.js";
import { sessionPath, tracePath, tracesPath } from "./paths.js";
import { setAddress } from "./router.js";
import { cost, empty, failed, skeleton, statusMark, tally, took } from "./states.js";
import { isRunning } from "./traces.js";
import { Waterfall } from "./waterfall.js";

const REFRESH = 700;
const REST = 120; // ms on a row before the panel follows the arrow keys

/** Open the view. */
export function trace(page) {
  const title = h("h1", "Trace");
  const summary = h("div.summary", skeleton(2));
  const tools = h("div.tools");
  const waterfall = new Waterfall(chosen);
  const detail = new Detail(close, page.signal);
  const calls = h("div.calls", tools, skeleton(10, "row-ghost"));
  let shown = null;

  page.title("Trace");
  page.root.append(h("nav.crumbs", { "aria-label": "Breadcrumb" }, h("a", { href: lastAddress("/traces") }, "Traces"), h("span", { "aria-hidden": "true" }, " / ")), title, summary, h("div.split", calls, detail.element));
  document.addEventListener("keydown", (event) => event.key === "Escape" && close(), { signal: page.signal });
  begin();

  async function begin() {
    try {
      // The revision first: what changes after it is told by the stream.
      const { revision } = await get("/traces", { limit: 1 }, page.signal);
      const found = await load();
      draw(found);
      page.ready();
      select(page.query, true);
      const sessionId = found.trace.session_id;
      follow({ of: "traces", session_id: sessionId }, revision, grown, page.signal);
    } catch (error) {
      if (page.signal.aborted) return;
      replace(summary);
      replace(calls, error.status === 404 ? missing() : failed(error));
    }
  }

  function load() {
    return get(`/traces/${encodeURIComponent(page.id)}`, null, page.signal);
  }

  // A large trace is fetched less often: its rows take the browser longer, too.
  const refresh = paced(async () => {
    const found = await load().catch(() => null);
    if (found && !page.signal.aborted) draw(found);
  }, () => REFRESH + (shown?.spans.length || 0), page.signal);

  function grown({ traces = [] }) {
    const mine = traces.find((one) => one.trace_id === page.id);
    if (mine && mine.revision > shown.trace.revision) refresh();
  }

  function draw(found) {
    const first = !shown;
    shown = found;
    replace(title, clip(found.trace.name || "(no name)", 300));
    page.title(found.trace.name || "Trace");
    replace(summary, summaryOf(found));
    waterfall.update(found.spans, found.cut);
    if (first) replace(calls, tools, waterfall.element);
    drawTools(found);
  }

  function drawTools({ trace, spans, cut }) {
    const failed = spans.filter((span) => span.status === "error").length;
    const look = [spans.length > 1, failed > 0, cut && [spans.length, trace.events, trace.errors]].join();
    // Buttons that stay what they are keep the focus.
    if (look === tools.look) return;
    tools.look = look;
    replace(
      tools,
      h("h2", "Calls"),
      failed > 0 && h("button.small", { onclick: toError }, "Next error"),
      spans.length > 1 && h("button.small", { onclick: () => waterfall.foldAll(true) }, "Fold all"),
      spans.length > 1 && h("button.small", { onclick: () => waterfall.foldAll(false) }, "Unfold all"),
      cut && h("p.soft", `Only ${whole(spans.length)} of ${whole(trace.events)} calls are drawn: the first ones${amongThem(failed, trace.errors)}.`),
    );
  }

  function toError() {
    const id = waterfall.nextError();
    chosen(id, { asked: true });
    waterfall.focus(id);
  }

  const rest = settled((id) => show(id), REST);

  // Arrow keys move the panel along once it is open; a click or Enter opens it.
  function chosen(id, { asked }) {
    if (!asked && !detail.isOpen) return;
    waterfall.select(id);
    if (asked) show(id);
    else rest(id);
  }

  function show(id) {
    if (page.signal.aborted || waterfall.selected !== id) return;
    const open = new URLSearchParams(location.search).get("event");
    if (open !== String(id)) setAddress(tracePath(page.id, id), { push: open === null });
    detail.open(id, spanOf(id));
  }

  function spanOf(id) {
    return shown.spans.find((span) => span.id === id);
  }

  function close() {
    if (!detail.isOpen) return;
    const id = waterfall.selected;
    detail.close();
    waterfall.select(null);
    // Back, where opening it was a step; else there is no step to undo.
    if (history.state?.inside) history.back();
    else setAddress(tracePath(page.id));
    waterfall.focus(id ?? undefined);
  }

  function select(query, reveal) {
    const id = Number(query.get("event")) || null;
    if (id === null) {
      detail.close();
      waterfall.select(null);
    } else {
      waterfall.select(id, { reveal });
      detail.open(id, spanOf(id));
    }
  }

  return {
    update(query) {
      if (shown) select(query, false);
    },
  };
}

function amongThem(failed, errors) {
  if (!errors) return "";
  if (failed >= errors) return errors > 1 ? ", and all that failed" : ", and the one that failed";
  return failed ? `, and ${whole(failed)} of the ${whole(errors)} that failed` : ", and none of those that failed";
}

function summaryOf({ trace }) {
  const running = isRunning(trace);
  return [
    h(
      "dl.facts",
      fact("Status", statusMark(trace.status, running), ` ${trace.status === "error" ? "error" : running ? "running" : trace.complete ? "success" : "unfinished"}`),
      fact("Agent", h("a", { href: tracesPath({ agent_id: trace.agent_id }) }, clip(trace.agent_id, 80))),
      fact("Type", clip(trace.event_type, 80)),
      fact("Started", atTime(trace.started_at), " ", h("span.soft", ago(trace.started_at))),
      fact("Latency", took(trace.latency_ms)),
      fact("Events", tally(trace.events, "events")),
      fact("Errors", h("span", { class: trace.errors ? "bad" : null }, tally(trace.errors, "errors"))),
      fact("Tokens", tally(trace.tokens, "tokens")),
      fact("Cost", cost(trace.cost_usd)),
      trace.session_id ? fact("Session", h("a", { href: sessionPath(trace.session_id) }, clip(trace.session_id, 80))) : null,
      trace.user_id ? fact("User", clip(trace.user_id, 80)) : null,
    ),
    trace.error_message ? h("p.banner.error", h("strong", "Error: "), clip(trace.error_message, 300)) : null,
    !trace.complete ? h("p.banner", running ? "Still going on: the outermost call has not ended. This page grows by itself." : "The outermost call never arrived: it was cut off, or it is not sent here.") : null,
  ];
}

function missing() {
  return empty("This trace is not here", "It may be older than what the collector keeps, or from another collector.", h("a.button.primary", { href: "/traces" }, "Go to all traces"));
}
