// What a view shows when it has nothing to show: loading, empty and failed, each with
// what to do next.

import { h } from "./dom.js";
import { count, duration, money, roughly, whole } from "./format.js";
import { reopen } from "./router.js";

/** Grey rows while something loads; invisible for the first 150 ms (see the style). */
export function skeleton(rows = 8, kind = "line") {
  return h(
    "div.skeleton",
    h("p.vh", { role: "status" }, "Loading…"),
    Array.from({ length: rows }, () => h("div", { class: `ghost ${kind}` })),
  );
}

/** A place that is empty, in a sentence, and what to do. */
export function empty(title, text, ...actions) {
  return h("div.state", h("p.state-title", title), text && h("p.soft", text), actions.length ? h("p.buttons", actions) : null);
}

/** Something went wrong, and a way to try again. */
export function failed(error, again = reopen) {
  const [title, text] = words(error);
  return h(
    "div.state",
    { role: "alert" },
    h("p.state-title", title),
    h("p.soft", text),
    h("p.buttons", h("button.primary", { onclick: () => (error.status === 401 ? reopen() : again()) }, error.status === 401 ? "Enter the key" : "Try again")),
  );
}

function words(error) {
  switch (error.status) {
    case 0:
      return ["The collector does not answer", "Look whether it is still running in its terminal, then try again."];
    case 401:
      return ["This collector wants its key", "Without it nothing is shown. It is the key the collector was started with."];
    case 400:
      return ["The collector does not understand this", `It says: ${error.message}. Check the filters in the address.`];
    case 503:
      return ["The collector is busy", `It says: ${error.message}. Nothing is lost; try again in a moment.`];
    default:
      if (error.status) return ["The collector had a problem", `It says: ${error.message} (${error.status}). Its terminal may say more.`];
      return ["This page had a problem", `${error.name}: ${error.message}. Reload it; if that does not help, it is a bug of ours.`];
  }
}

/** The view for an address that is none of ours. */
export function nowhere(page) {
  page.title("Not found");
  page.root.append(h("h1", "There is no such page"), empty("Nothing lives at this address.", null, h("a.button.primary", { href: "/" }, "Go to the overview")));
}

/** Success or error, as a mark and a word for those who do not see it. */
export function statusMark(status, running = false) {
  const kind = status === "error" ? "error" : running ? "running" : "success";
  const mark = { error: "✕", running: "", success: "✓" }[kind];
  return h("span", { class: `mark ${kind}`, role: "img", "aria-label": kind, title: kind }, mark);
}

/** A number with its unit, the exact one in the title. */
export function cost(value) {
  return h("span.number", { title: value === null || value === undefined ? "cost not known" : `$${whole(value)}` }, money(value));
}

/** The same for tokens and other counts. */
export function tally(value, unit) {
  return h("span.number", { title: `${whole(value)} ${unit}` }, count(value));
}

/** Milliseconds of which half, or nearly all, events took less. */
export function tookRoughly(ms) {
  return h("span.number", { title: whereabouts(ms) }, roughly(ms));
}

/** How exact they are, in words. */
export function whereabouts(ms) {
  return ms === null || ms === undefined ? "latency not known" : `${roughly(ms)}, to within 6 %`;
}

/** The same for milliseconds. */
export function took(ms) {
  return h("span.number", { title: ms === null || ms === undefined ? "latency not known" : `${whole(ms)} ms` }, duration(ms));
}
