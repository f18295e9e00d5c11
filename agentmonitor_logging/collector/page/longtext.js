// Text of any length: the first part, and the rest for who asks. A quarter of a megabyte
// laid out at once would freeze a phone.

import { h, replace } from "./dom.js";
import { count } from "./format.js";

const MAX_LENGTH = 1500;

/** A block with *text*, its line breaks kept. */
export function longText(text, { max = MAX_LENGTH, kind = "" } = {}) {
  const whole = String(text);
  const block = h("div", { class: `text ${kind}`, dir: "auto" });
  if (whole.length <= max * 1.2) {
    replace(block, whole);
    return block;
  }
  const more = h("button.small.more-text", { "aria-expanded": "false", onclick: turn }, `Show all ${count(whole.length)} characters`);
  let open = false;
  function turn() {
    open = !open;
    more.setAttribute("aria-expanded", String(open));
    replace(more, open ? "Show less" : `Show all ${count(whole.length)} characters`);
    replace(block, open ? whole : whole.slice(0, max) + "…");
  }
  replace(block, whole.slice(0, max) + "…");
  return h("div.long", block, more);
}
