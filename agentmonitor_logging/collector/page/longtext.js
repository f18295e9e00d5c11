// Text of any length: the first part, and the rest for who asks. A quarter of a megabyte
// laid out at once would freeze a phone.

import { h, replace } from "./dom.js";
import { count } from "./format.js";

const MAX_LENGTH = 1500;
const PIECE = 4000;

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
    replace(block, open ? pieces(whole) : whole.slice(0, max) + "…");
  }
  replace(block, whole.slice(0, max) + "…");
  return h("div.long", block, more);
}

// Blocks that the browser lays out as they come into view: one word of a quarter of a
// megabyte takes it minutes. Cut at a line's end, where there is one.
function pieces(whole) {
  const blocks = [];
  for (let at = 0; at < whole.length; ) {
    const end = whole.length - at > PIECE ? whole.lastIndexOf("\n", at + PIECE) : -1;
    const to = end > at ? end : at + PIECE;
    blocks.push(h("div.piece", whole.slice(at, to)));
    at = end > at ? to + 1 : to;
  }
  return blocks;
}
