// The live stream: server-sent events read by fetch, because EventSource cannot send a key.
// Reconnects by itself, further apart each time, and goes on where it stopped.

import { answer } from "./api.js";
import { replace, h } from "./dom.js";
import { query } from "./paths.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const SILENCE = 45_000; // three times the pause between two signs of life

/**
 * Follow the traces that are new or changed, until *signal* aborts.
 *
 * *after* is the revision to start after; none means from now on. *onMessage* is called
 * with each message's data. A hidden page holds no connection: browsers allow six per
 * collector, and a seventh tab would wait for ever. Where the collector comes back with
 * another database, nothing of the page is true any longer: it is loaded anew.
 */
export async function follow(params, after, onMessage, signal) {
  let last = after;
  let wait = FIRST_WAIT;
  let database = null;
  const heard = ({ id, data }) => {
    if (id) last = id;
    if (data?.database) {
      if (last > data.revision || (database && database !== data.database)) location.reload();
      database = data.database;
      return;
    }
    wait = FIRST_WAIT;
    if (data) onMessage(data);
  };
  while (!signal.aborted) {
    await untilVisible(signal);
    if (signal.aborted) break;
    const connection = connected(signal);
    try {
      await read({ ...params, after: last }, last, heard, connection);
    } catch (error) {
      if (error.status === 401) break;
    } finally {
      connection.end();
    }
    if (signal.aborted) break;
    if (!document.hidden) {
      show("waiting");
      await pause(wait * (0.75 + Math.random() / 2), signal);
      wait = Math.min(LONGEST_WAIT, wait * 2);
    }
  }
}

async function read(params, last, heard, connection) {
  const extra = { Accept: "text/event-stream" };
  if (last !== undefined) extra["Last-Event-ID"] = String(last);
  const response = await answer("/stream" + query(params), connection.signal, extra);
  show("live");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = parse(heard);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    connection.alive();
    parser(value);
  }
}

/** Return a function that takes pieces of a stream and hands on whole messages. */
export function parse(heard) {
  let rest = "";
  let lines = [];
  let id = "";
  const line = (text) => {
    if (text === "") {
      if (lines.length) heard({ id, data: json(lines.join("\n")) });
      lines = [];
    } else if (text.startsWith("data:")) {
      lines.push(text.slice(text[5] === " " ? 6 : 5));
    } else if (text.startsWith("id:")) {
      id = text.slice(3).trim();
    }
  };
  return (piece) => {
    const parts = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop();
    parts.forEach(line);
  };
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A signal for one connection: ends with the view, when hidden, or after silence. */
function connected(outer) {
  const inner = new AbortController();
  const end = () => inner.abort();
  const hide = () => document.hidden && end();
  let timer = setTimeout(end, SILENCE);
  outer.addEventListener("abort", end);
  document.addEventListener("visibilitychange", hide);
  return {
    signal: inner.signal,
    alive() {
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
    },
    end() {
      clearTimeout(timer);
      outer.removeEventListener("abort", end);
      document.removeEventListener("visibilitychange", hide);
      end();
    },
  };
}

function untilVisible(signal) {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
    check();
  });
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

const WORDS = {
  live: ["Live", "New events appear by themselves"],
  waiting: ["Reconnecting…", "The collector does not answer; trying again by itself"],
};

/** Say in the header whether the page is live; null hides it. */
export function show(state) {
  const place = document.getElementById("live");
  place.hidden = !state;
  if (!state || place.dataset.state === state) return;
  place.dataset.state = state;
  place.title = WORDS[state][1];
  replace(place, h("span.dot", { "aria-hidden": "true" }), h("span.live-word", WORDS[state][0]));
}
