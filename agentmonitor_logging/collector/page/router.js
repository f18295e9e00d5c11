// One address per view: reads it, opens the view, and brings back the scroll position on
// back, forward and reload. Views get a *page* and know nothing of the history.

import { clip, h, replace, settled, visible } from "./dom.js";
import { mayAskAgain } from "./key.js";
import { show } from "./live.js";
import { viewOf } from "./paths.js";

const NAME = "AgentMonitor";
const main = document.getElementById("content");

let views = {};
let current = null;
let key = "";

/** Start with *table*, which maps the names of views to the functions that draw them. */
export function start(table) {
  views = table;
  history.scrollRestoration = "manual";
  key = history.state?.key || newKey();
  history.replaceState({ ...history.state, key }, "");
  addEventListener("popstate", back);
  addEventListener("pagehide", remember);
  addEventListener("scroll", settled(remember, 150), { passive: true });
  document.addEventListener("click", follow);
  open(kept(), false);
}

/** Go to another address of ours, as a click on a link does. */
export function go(address) {
  remember();
  key = newKey();
  history.pushState({ key }, "", address);
  open(null, true);
}

/** Change the address without leaving the view: filters, the selected call. */
export function setAddress(address, { push = false } = {}) {
  if (push) {
    remember();
    key = newKey();
    history.pushState({ key, inside: true }, "", address);
  } else {
    history.replaceState({ ...history.state, key }, "", address);
  }
}

/** Open the current address anew, for example after the first event arrived. */
export function reopen() {
  open(null, false);
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || viewOf(link.pathname).view === "nowhere" || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

function back(event) {
  remember();
  key = event.state?.key || newKey();
  const path = location.pathname;
  if (current && current.path === path && current.handle?.update) {
    current.handle.update(new URLSearchParams(location.search));
    return;
  }
  open(kept(), true);
}

function open(memory, focus) {
  current?.end.abort();
  show(null);
  mayAskAgain();
  const { view, id } = viewOf(location.pathname);
  const end = new AbortController();
  const root = h("div", { class: `view ${view}` });
  // Until the view has its content again, its short page must not be what is remembered.
  const opened = { path: location.pathname, end, root, handle: null, incomplete: Boolean(memory) };
  current = opened;
  mark(view);
  replace(main, root);
  if (!memory) scrollTo(0, 0);
  opened.handle = views[view]({
    root,
    id,
    query: new URLSearchParams(location.search),
    signal: end.signal,
    memory,
    title: (text) => current === opened && title(text),
    ready() {
      if (current === opened && memory) restore(root, memory);
      opened.incomplete = false;
    },
  });
  if (focus) focusHeading(root);
}

function title(text) {
  document.title = text ? `${clip(visible(text).replace(/\s+/g, " "), 80)} · ${NAME}` : NAME;
}

function focusHeading(root) {
  const heading = root.querySelector("h1");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

function mark(view) {
  const owner = { trace: "traces", session: "sessions" }[view] || view;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === owner) link.setAttribute("aria-current", owner === view ? "page" : "true");
    else link.removeAttribute("aria-current");
  }
}

function newKey() {
  return Math.random().toString(36).slice(2);
}

function remember() {
  if (!current || current.incomplete) return;
  const memory = { y: scrollY, anchor: scrollY > 0 ? anchor(current.root) : null, ...current.handle?.memory?.() };
  try {
    sessionStorage.setItem(`view.${key}`, JSON.stringify(memory));
  } catch {
    // Then this browser starts every view at its top.
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(`view.${key}`));
  } catch {
    return null;
  }
}

// The first row in sight, and where it stood: rows that came above it do not move it.
function anchor(root) {
  for (const row of root.querySelectorAll("[data-key]")) {
    const { top, bottom } = row.getBoundingClientRect();
    if (bottom > 60) return { key: row.dataset.key, top };
  }
  return null;
}

function restore(root, memory) {
  if (!memory.y) return;
  scrollTo(0, memory.y);
  const row = memory.anchor && root.querySelector(`[data-key="${CSS.escape(memory.anchor.key)}"]`);
  if (row) scrollBy(0, row.getBoundingClientRect().top - memory.anchor.top);
}
