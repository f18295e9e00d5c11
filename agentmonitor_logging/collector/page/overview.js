// The overview: what the agents did in a span of time, and what changed.

import { get } from "./api.js";
import { briefChange, change, notable } from "./changes.js";
import { Chart } from "./charts.js";
import { clip, h, hidden, paced, patch, replace } from "./dom.js";
import { count, money, roughly, share, whole } from "./format.js";
import { follow } from "./live.js";
import { ago } from "./moment.js";
import { query as queryText, tracesPath } from "./paths.js";
import { limits, rangeIn, rangeParams, rangePicker, SPANS } from "./range.js";
import { go, setAddress } from "./router.js";
import { start } from "./start.js";
import { cost, empty, failed, skeleton, tally, tookRoughly, whereabouts } from "./states.js";

const PLACE = "agentmonitor.span";
const SOONEST = 1500;
const LATEST = 30_000;

/** Open the view. */
export function overview(page) {
  let range = rangeIn(page.query) || { span: keptSpan() || "1h", ...SPANS[keptSpan() || "1h"] };
  let isChosen = Boolean(rangeIn(page.query) || keptSpan());
  let lasted = 0;
  const body = h("div.overview-body", skeleton(5, "card-ghost"));
  const picker = h("div", rangePicker(range, chosen));
  const cards = new Cards((from, to, more) => go(tracesPath({ from: new Date(from).toISOString(), to: new Date(to).toISOString(), ...more })));
  const hint = h("div");
  const changed = h("section.panel.changed", { "aria-labelledby": "changed-title" });
  const tables = h("div.tables");

  page.title("Overview");
  page.root.append(h("div.title-row", h("h1", "Overview"), picker), body);
  begin();

  async function begin() {
    try {
      let stats = await load();
      if (!stats.newest) {
        start(page);
        return;
      }
      // Nobody chose a span: take the shortest one with something in it.
      if (!isChosen && !stats.total.events) {
        range = reaching(stats.newest);
        replace(picker, rangePicker(range, chosen));
        stats = await load();
      }
      draw(stats);
      page.ready();
      if (!range.to) stayLive();
    } catch (error) {
      if (!page.signal.aborted) replace(body, failed(error));
    }
  }

  async function load() {
    const began = performance.now();
    const stats = await get("/stats", limits(range), page.signal);
    lasted = performance.now() - began;
    return stats;
  }

  const refresh = paced(async () => {
    if (document.hidden) return;
    const asked = range;
    const stats = await load().catch(() => null);
    if (stats && asked === range && !page.signal.aborted) draw(stats);
  }, () => Math.min(LATEST, Math.max(SOONEST, 20 * lasted, range.ms / 20_000)), page.signal);

  let isLive = false;
  function stayLive() {
    if (isLive) return;
    isLive = true;
    follow({ of: "traces" }, undefined, refresh, page.signal);
    // Time goes on without events, too.
    const timer = setInterval(refresh, LATEST);
    page.signal.addEventListener("abort", () => clearInterval(timer));
    document.addEventListener("visibilitychange", refresh, { signal: page.signal });
  }

  async function chosen(next) {
    if (!next) return;
    range = next;
    isChosen = true;
    if (range.span !== "custom") keepSpan(range.span);
    setAddress("/" + queryText(rangeParams(range)), { push: true });
    await renew();
  }

  async function renew() {
    const asked = range;
    body.setAttribute("aria-busy", "true");
    try {
      const stats = await load();
      if (asked === range && !page.signal.aborted) draw(stats);
      if (!range.to) stayLive();
    } catch (error) {
      if (!page.signal.aborted && asked === range) replace(body, failed(error, renew));
    } finally {
      body.removeAttribute("aria-busy");
    }
  }

  function draw(stats) {
    if (!body.contains(cards.element)) replace(body, hint, cards.element, changed, tables);
    patch(hint, [stats.total.events ? null : nothingHere(stats)]);
    cards.update(stats, range);
    patch(changed, changedParts(stats, range), true);
    patch(tables, stats.total.events || stats.before.events ? [table("Agents", "agent_id", stats.agents, range), table("Event types", "event_type", stats.event_types, range)] : [], true);
  }

  function nothingHere(stats) {
    if (!stats.newest) return empty("No events", "The collector is empty.");
    const wider = reaching(stats.newest);
    const offer = wider.ms > range.ms || range.span === "custom";
    return h(
      "p.banner",
      range.span === "custom" ? "No events in this time. " : `No events in ${range.long}. `,
      "The newest came ",
      ago(stats.newest),
      ". ",
      offer && h("a", { href: "/" + queryText({ span: wider.span }) }, `Show ${wider.long}`),
    );
  }

  return {
    update(query) {
      range = rangeIn(query) || { span: keptSpan() || "1h", ...SPANS[keptSpan() || "1h"] };
      replace(picker, rangePicker(range, chosen));
      renew();
    },
  };
}

function reaching(newest) {
  const age = Date.now() - Date.parse(newest);
  const [span] = Object.entries(SPANS).find(([, { ms }]) => ms > age) || ["30d"];
  return { span, ...SPANS[span] };
}

function keptSpan() {
  try {
    const kept = localStorage.getItem(PLACE);
    return SPANS[kept] ? kept : null;
  } catch {
    return null;
  }
}

function keepSpan(span) {
  try {
    localStorage.setItem(PLACE, span);
  } catch {
    // Then the next visit starts with the usual one.
  }
}

/** The five numbers with their charts. */
class Cards {
  constructor(open) {
    const card = (title, pick, format, words, kind, filters) => {
      const chart = new Chart({ label: title, shape: "bars", format, sets: [{ name: title.toLowerCase(), pick, kind }], open: (from, to) => open(from, to, filters) });
      return { title, pick, format, words, chart, number: h("p.big"), change: h("p.change") };
    };
    this.cards = [
      card("Events", (sum) => sum.events, count, ["fewer", "more"], "plain"),
      card("Errors", (sum) => sum.errors, count, ["fewer", "more"], "bad", { status: "error" }),
      card("Cost", (sum) => sum.cost_usd, money, ["less", "more"], "plain"),
      card("Tokens", (sum) => sum.tokens, count, ["fewer", "more"], "plain"),
    ];
    const sets = [
      { name: "p95", pick: (sum) => sum.p95_ms, kind: "p95" },
      { name: "p50", pick: (sum) => sum.p50_ms, kind: "p50" },
    ];
    this.latency = { chart: new Chart({ label: "Latency", shape: "lines", format: roughly, sets, open: (from, to) => open(from, to) }), p50: h("p.big"), p95: h("p.big"), p50Change: h("p.change"), p95Change: h("p.change") };
    this.element = h("div.cards", this.cards.map((one) => framed(one.title, [h("div.figures", one.number, one.change)], one.chart)), this.latencyCard());
  }

  latencyCard() {
    const { chart, p50, p95, p50Change, p95Change } = this.latency;
    const figure = (name, number, words, kind) => h("div.figures", h("div.figure-row", number, h("p", { class: `legend ${kind}` }, name)), words);
    const element = framed("Latency", [figure("p50, the typical event", p50, p50Change, "p50"), figure("p95, the slow ones", p95, p95Change, "p95")], chart);
    element.classList.add("wide");
    return element;
  }

  update({ total, before, series, bucket_seconds: seconds }, range) {
    for (const { title, pick, format, words, chart, number, change: place } of this.cards) {
      const value = pick(total);
      figureOf(number, format(value), whole(value));
      number.classList.toggle("bad", title === "Errors" && value > 0);
      const rate = title === "Errors" && total.events ? h("span.soft", `${share(total.errors, total.events)} of events · `) : null;
      patch(place, [rate, changeText(change(value, pick(before), words, range.before))]);
      chart.update(series, seconds * 1000);
    }
    const { chart, p50, p95, p50Change, p95Change } = this.latency;
    figureOf(p50, roughly(total.p50_ms), whereabouts(total.p50_ms));
    figureOf(p95, roughly(total.p95_ms), whereabouts(total.p95_ms));
    patch(p50Change, [changeText(speed(total.p50_ms, before.p50_ms, range))]);
    patch(p95Change, [changeText(speed(total.p95_ms, before.p95_ms, range))]);
    chart.update(series, seconds * 1000);
  }
}

function speed(now, before, range) {
  if (!before) return { arrow: "", words: now ? `nothing to compare in ${range.before}` : "" };
  return change(now, before, ["faster", "slower"], range.before);
}

function framed(title, figures, chart) {
  const id = `card-${title.toLowerCase()}`;
  return h("section.card", { "aria-labelledby": id }, h("h2", { id }, title), h("div.card-figures", figures), chart.element);
}

function figureOf(place, text, exact) {
  if (place.textContent !== text) place.textContent = text;
  place.title = exact;
}

function changeText({ arrow, words }) {
  return h("span", arrow && h("span.arrow", { "aria-hidden": "true" }, arrow + " "), words);
}

function changedParts(stats, range) {
  const found = notable(stats);
  const items = found.map((one) =>
    h(
      "li",
      h("span", { class: one.bad ? "mark error" : "mark plain", role: "img", "aria-label": one.bad ? "worse" : "change" }, one.bad ? "✕" : "·"),
      h("span", h("a", { href: tracesPath({ ...one.filters, ...rangeParams(range) }) }, clip(one.name, 80)), " ", one.text),
    ),
  );
  const text = stats.before.events ? "Nothing notable: errors, latency and cost are about as before." : `There were no events in ${range.before} to compare with.`;
  const hasBefore = stats.before.events > 0 && items.length > 0;
  return [h("h2", { id: "changed-title" }, `Changed against ${range.before}`), hasBefore ? h("ul.changes", items) : h("p.soft", text)];
}

function table(title, key, sums, range) {
  const id = `table-${key}`;
  const heads = ["Events", "Errors", "Cost", "Tokens", "p50", "p95"];
  return h(
    "section.panel",
    { "aria-labelledby": id },
    h("h2", { id }, title),
    h(
      "div.table-scroll",
      { tabindex: "0", role: "region", "aria-label": `${title}, table` },
      h("table.sums", h("thead", h("tr", h("th", { scope: "col" }, key === "agent_id" ? "Agent" : "Type"), heads.map((text) => h("th", { scope: "col" }, text)))), h("tbody", sums.map((sum) => sumRow(sum, key, range)))),
    ),
    sums.length ? null : h("p.soft", "None in this time."),
  );
}

function sumRow(sum, key, range) {
  const before = sum.before || {};
  // What is new as a whole is said once, beside its events.
  const told = (name) => (name === "events" || before.events ? briefChange(sum[name], before[name]) : null);
  const place = { [key]: sum[key], ...rangeParams(range) };
  const failing = sum.errors > 0 ? h("a.bad", { href: tracesPath({ ...place, status: "error" }) }, tally(sum.errors, "errors")) : tally(sum.errors, "errors");
  return h(
    "tr",
    h("th", { scope: "row" }, h("a", { href: tracesPath(place) }, clip(sum[key] || "(no name)", 80))),
    cell(tally(sum.events, "events"), told("events")),
    cell(failing, told("errors")),
    cell(cost(sum.cost_usd), told("cost_usd")),
    cell(tally(sum.tokens, "tokens"), told("tokens")),
    cell(tookRoughly(sum.p50_ms), told("p50_ms")),
    cell(tookRoughly(sum.p95_ms), told("p95_ms")),
  );
}

function cell(value, told) {
  return h("td", value, told && h("span.delta", h("span", { "aria-hidden": "true" }, told.arrow), hidden(` ${told.words} `), told.text));
}
