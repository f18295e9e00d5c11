// A list, newest first, that grows at both ends: older rows are loaded, newer ones arrive.
// Nothing moves under the reader: rows come in by themselves only while the reader is at
// the top and not busy in the list; otherwise they wait behind a button.

import { clip, h, patch, replace, say, settled } from "./dom.js";
import { clock, count } from "./format.js";
import { empty, failed, skeleton } from "./states.js";

const PAGE = 50;
const LARGEST_PAGE = 200;
const PATIENCE = 8; // short pages loaded on before a person is asked
const MAX_WAITING = 500;
const MAX_ROWS = 800; // a list that grows by itself starts anew beyond this
const AT_TOP = 8;
const POINTER_REST = 1000;

/**
 * A live list.
 *
 * *load(cursor, limit)* resolves to `{items, next, reached}`; *row(item)* returns the
 * `{href, cells}` of a row; *noun* is what an item is called; *nothing()* returns
 * what stands where no item is.
 */
export class Feed {
  constructor({ page, load, row, keyOf, noun, head, nothing }) {
    Object.assign(this, { page, load, row, keyOf, noun, nothing });
    this.rows = new Map();
    this.ids = new WeakMap();
    this.waiting = new Map();
    this.next = null;
    this.round = 0;
    this.pointerAt = -Infinity;
    this.list = h("ol.rows", { tabindex: "-1", "aria-label": noun + "s" });
    this.news = h("button.news", { hidden: true, onclick: () => this.reveal(true) });
    this.note = h("p.soft", { role: "status" });
    this.more = h("button", { hidden: true, onclick: () => this.loadMore(true) }, "Load more");
    this.state = h("div");
    this.element = h("div.feed", h("div.news-place", this.news), head, this.list, this.state, h("div.feed-end", this.note, this.more));
    this.listen(page.signal);
  }

  listen(signal) {
    this.list.addEventListener("keydown", (event) => this.move(event));
    this.list.addEventListener("pointermove", () => (this.pointerAt = performance.now()), { passive: true });
    const look = settled(() => signal.aborted || this.offer(), POINTER_REST);
    for (const name of ["pointermove", "focusout", "pointerleave"]) this.list.addEventListener(name, look, { passive: true });
    addEventListener("scroll", settled(() => signal.aborted || this.offer(), 200), { passive: true, signal });
    document.addEventListener("selectionchange", look, { signal });
    const watcher = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.loadMore(false), { rootMargin: "600px" });
    watcher.observe(this.more);
    signal.addEventListener("abort", () => watcher.disconnect());
  }

  /** Load from the newest on, at least *wanted* rows; the rows before are replaced. */
  async start(wanted = 0) {
    const round = ++this.round;
    this.patience = PATIENCE;
    this.reached = null;
    this.waiting.clear();
    this.showNews();
    if (!this.rows.size) replace(this.state, skeleton(10, "row-ghost"));
    this.note.textContent = "";
    this.more.hidden = true;
    try {
      const first = await this.load(null, Math.min(LARGEST_PAGE, Math.max(PAGE, wanted)));
      if (round !== this.round) return null;
      this.rows.clear();
      replace(this.list);
      replace(this.state);
      this.add(first);
      await this.fillUp(Math.max(1, wanted), round);
      return first;
    } catch (error) {
      if (this.page.signal.aborted || round !== this.round) return null;
      this.rows.clear();
      replace(this.list);
      replace(this.state, failed(error, () => this.start(wanted)));
      return null;
    }
  }

  add(page) {
    this.next = page.next;
    this.reached = page.reached ?? page.items.at(-1)?.started_at ?? this.reached;
    if (page.items.length) this.patience = PATIENCE;
    for (const item of page.items) {
      const key = this.keyOf(item);
      if (this.rows.has(key)) this.renew(key, item);
      else this.list.append(this.made(key, item).element);
    }
  }

  // A search may come back with a short or empty page and a cursor to go on from.
  async fillUp(wanted, round) {
    while (this.next && this.rows.size < wanted && this.patience > 0 && round === this.round) {
      this.patience -= 1;
      this.note.textContent = "Searching further back…";
      const page = await this.load(this.next, PAGE);
      if (round === this.round) this.add(page);
    }
    if (round === this.round) this.showEnd();
  }

  async loadMore(asked) {
    if (this.loading || !this.next || this.more.hidden) return;
    if (asked) this.patience = PATIENCE;
    if (this.patience <= 0) return;
    const round = this.round;
    this.loading = true;
    this.more.setAttribute("aria-busy", "true");
    try {
      await this.fillUp(this.rows.size + 1, round);
    } catch (error) {
      if (!this.page.signal.aborted) this.note.textContent = `${error.message} Loading more did not work.`;
      this.patience = 0;
    } finally {
      this.loading = false;
      this.more.removeAttribute("aria-busy");
    }
    this.goOn();
  }

  // The observer only tells of changes: a button that stays in view is asked about here.
  goOn() {
    if (this.page.signal.aborted || this.more.hidden || this.patience <= 0) return;
    if (this.more.getBoundingClientRect().top < innerHeight + 600) this.loadMore(false);
  }

  showEnd() {
    const { size } = this.rows;
    this.more.hidden = !this.next;
    this.more.textContent = this.patience > 0 ? "Load more" : "Search further back";
    const back = this.reached ? ` to ${clock(this.reached)}` : "";
    if (!this.next) {
      this.note.textContent = size > 10 ? `That is all: ${count(size)} ${this.noun}s.` : "";
      replace(this.state, size ? null : this.nothing());
    } else if (this.patience <= 0) {
      this.note.textContent = `Searched back${back || " for a while"}, nothing more so far.`;
      replace(this.state, size ? null : empty(`No ${this.noun} found yet`, "What there is lies further back, or nowhere. Search on, or loosen the filters."));
    } else {
      this.note.textContent = "";
      replace(this.state);
    }
  }

  made(key, item) {
    const { href, cells } = this.row(item);
    const link = h("a.row", { href }, cells);
    const element = h("li", { data: { key: clip(key, 200) } }, link);
    const row = { item, element, link };
    this.rows.set(key, row);
    this.ids.set(element, item.id);
    return row;
  }

  renew(key, item) {
    const row = this.rows.get(key);
    if (item.revision < row.item.revision) return;
    row.item = item;
    patch(row.link, this.row(item).cells);
  }

  /** Take in what is new or changed. */
  merge(items) {
    const oldest = this.oldest();
    for (const item of items) {
      const key = this.keyOf(item);
      if (this.rows.has(key)) this.renew(key, item);
      else if (!(this.next && item.id < oldest)) this.waiting.set(key, item);
    }
    if (this.waiting.size > MAX_WAITING) {
      for (const key of [...this.waiting.keys()].slice(0, this.waiting.size - MAX_WAITING)) this.waiting.delete(key);
      this.flooded = true;
    }
    this.offer();
  }

  oldest() {
    const last = this.list.lastElementChild;
    return last ? this.ids.get(last) : -Infinity;
  }

  offer() {
    if (!this.waiting.size) return;
    if (this.busy()) this.showNews();
    else this.reveal(false);
  }

  busy() {
    const focused = document.activeElement;
    // The list itself is focused after a click on the button: nobody is busy in a row then.
    if (scrollY > AT_TOP || (focused !== this.list && this.list.contains(focused))) return true;
    if (performance.now() - this.pointerAt < POINTER_REST) return true;
    const chosen = getSelection();
    return !chosen.isCollapsed && this.list.contains(chosen.anchorNode);
  }

  showNews() {
    const { size } = this.waiting;
    this.news.hidden = !size;
    if (!size) return;
    const text = `${this.flooded ? count(MAX_WAITING) + "+" : count(size)} new ${this.noun}${size === 1 ? "" : "s"}`;
    replace(this.news, h("span", { "aria-hidden": "true" }, "↑ "), text);
  }

  /** Show what waits; *asked* means that the reader wants to see it now. */
  reveal(asked) {
    const items = [...this.waiting.values()].sort((a, b) => a.id - b.id);
    this.waiting.clear();
    if (this.flooded || this.rows.size + items.length > MAX_ROWS) {
      this.flooded = false;
      this.start();
    } else {
      replace(this.state);
      for (const item of items) this.insert(item);
      this.showEnd();
    }
    this.showNews();
    if (!asked) return;
    scrollTo({ top: 0 });
    this.list.focus({ preventScroll: true });
    say(`${items.length} new ${this.noun}s are shown`);
    getSelection().removeAllRanges();
  }

  insert(item) {
    const made = this.made(this.keyOf(item), item);
    made.element.classList.add("fresh");
    let before = this.list.firstElementChild;
    while (before && this.ids.get(before) > item.id) before = before.nextElementSibling;
    this.list.insertBefore(made.element, before);
  }

  move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const links = [...this.list.querySelectorAll("a.row")];
    const at = links.indexOf(document.activeElement);
    const to = step ? at + step : event.key === "Home" ? 0 : event.key === "End" ? links.length - 1 : -1;
    if (at < 0 || !links[to] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    links[to].focus();
  }
}
