// A button that copies. Away from loopback and HTTPS a browser has no clipboard for pages,
// so the old way stands behind the new one.

import { h, replace, say } from "./dom.js";

const SHOWN = 1600;

/** A button that copies what *text()* returns, and says so. */
export function copyButton(text, what = "Copy") {
  const button = h("button.small", { onclick: copy }, what);
  let timer = 0;
  async function copy() {
    const done = await copied(text());
    replace(button, done ? "Copied" : "Not allowed");
    say(done ? "Copied" : "The browser did not allow to copy");
    clearTimeout(timer);
    timer = setTimeout(() => replace(button, what), SHOWN);
  }
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text);
  }
}

function copiedByHand(text) {
  const area = h("textarea.vh", { "aria-hidden": "true" });
  area.value = text;
  const inside = document.querySelector("dialog:modal") || document.body;
  const before = document.activeElement;
  inside.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus({ preventScroll: true });
  return done;
}
