// A time on the page: local and short, the exact one in its title. Relative ones stay true.

import { h, setText } from "./dom.js";
import { clock, relative } from "./format.js";

const RENEW = 5000;

/** A `<time>` that shows the time of day, or the date too where it was not today. */
export function atTime(iso) {
  return h("time", { datetime: iso, title: iso }, clock(iso));
}

/** A `<time>` that says how long ago, and goes on saying so. */
export function ago(iso) {
  return h("time", { datetime: iso, title: `${clock(iso)}  (${iso})`, data: { ago: String(iso) } }, relative(iso));
}

/** Let *time*, made by `ago`, tell of another moment. */
export function setAgo(time, iso) {
  if (time.dataset.ago === String(iso)) return;
  time.dataset.ago = String(iso);
  time.setAttribute("datetime", iso);
  time.title = `${clock(iso)}  (${iso})`;
  setText(time, relative(iso));
}

function renew() {
  if (document.hidden) return;
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    setText(time, relative(time.dataset.ago, now));
  }
}

setInterval(renew, RENEW);
