// What the list of traces and the list of sessions have in common: filters that live in the
// address, rows, and the stream that makes them grow.

import { get } from "./api.js";
import { h, paced } from "./dom.js";
import { Feed } from "./feed.js";
import { Filters } from "./filters.js";
import { follow } from "./live.js";
import { query as queryText } from "./paths.js";
import { rangeIn } from "./range.js";
import { setAddress } from "./router.js";
import { start } from "./start.js";
import { empty } from "./states.js";

const PAGE = 50;

const last = {};

/** The address at which the list *path* was looked at last, with its filters. */
export function lastAddress(path) {
  return last[path] || path;
}

/**
 * Open a list as *spec* describes it.
 *
 * *load(query, paging, signal)* fetches a page, *take(message, list)* handles a message of
 * the stream with `list.merge(items)` or, where only the collector can tell what belongs
 * here, `list.again()`, which comes at most every *pause* ms.
 */
export function listing(page, spec) {
  let { query } = page;
  let stream = null;
  const filters = new Filters({ fields: spec.fields, query, signal: page.signal, onChange: changed });
  const load = (cursor, limit) => spec.load(query, { cursor, limit }, page.signal);
  const feed = new Feed({ page, load, row: spec.row, keyOf: spec.keyOf, noun: spec.noun, head: header(spec.heads), nothing });
  page.title(spec.title);
  page.root.append(h("h1", spec.title), filters.element, feed.element);
  begin(page.memory?.count || 0);

  async function begin(count) {
    stream?.abort();
    stream = new AbortController();
    const { signal } = stream;
    page.signal.addEventListener("abort", () => signal.aborted || stream.abort(), { signal });
    last[spec.path] = spec.path + location.search;
    // Before the list: what comes while that is read is then told by the stream.
    const newest = await get("/traces", { limit: 1 }, signal).catch(() => null);
    if (signal.aborted) return;
    const first = await feed.start(count);
    if (!first || signal.aborted) return;
    if (newest?.revision === 0 && !first.items.length) {
      start(page);
      return;
    }
    page.ready();
    const to = query.get("to");
    if (!to || Date.parse(to) > Date.now()) listen(newest?.revision, signal);
  }

  function listen(revision, signal) {
    const again = paced(async () => {
      const found = await load(null, PAGE).catch(() => null);
      if (found && !signal.aborted) feed.merge(found.items);
    }, () => spec.pause, signal);
    const asked = Object.fromEntries(spec.streamed.map((name) => [name, query.get(name)]));
    const list = { again, query, has: (key) => feed.rows.has(key), merge: (items) => feed.merge(items) };
    follow({ of: "traces", ...asked }, revision, (message) => spec.take(message.traces || [], list), signal);
  }

  function nothing() {
    const filtered = Object.keys(spec.fields).some((name) => query.get(name)) || rangeIn(query);
    if (!filtered) return spec.none();
    return empty(`No ${spec.noun} matches`, "Loosen a filter, choose a longer time, or start anew.", h("button", { onclick: () => filters.empty() }, "Clear filters"));
  }

  // A person who types makes one step of history, not one per pause.
  function changed(params, typing) {
    const address = spec.path + queryText(params);
    if (address === location.pathname + location.search) return;
    setAddress(address, { push: !typing });
    query = new URLSearchParams(location.search);
    begin(0);
  }

  return {
    memory: () => ({ count: feed.rows.size }),
    update(next) {
      query = next;
      filters.set(next);
      begin(0);
    },
  };
}

function header(names) {
  return h("div.row.row-head", { "aria-hidden": "true" }, Object.entries(names).map(([kind, text]) => h("span", { class: `c-${kind}` }, text)));
}
