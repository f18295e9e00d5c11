// Makes elements from text that may be hostile. Everything on the page is made here: there
// is no innerHTML anywhere, and no event reaches an attribute that could run or load.

const SVG = "http://www.w3.org/2000/svg";
const MAX_ATTRIBUTE = 600;

const SAFE = new Set(
  ("class id for type name value placeholder autocomplete tabindex role title dir spellcheck list min step " +
    "inputmode open checked scope datetime hidden viewBox width height d x y preserveAspectRatio vector-effect").split(" "),
);

// Controls, and the marks that turn text around or hide it: shown as what they are.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\ufeff]/g;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Return *text* with what cannot be seen made visible, so that nothing hides in it. */
export function visible(text) {
  return String(text)
    .replace(/\r\n/g, "\n")
    .replace(UNSEEN, (mark) => `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`)
    .replace(LONE, "\ufffd");
}

/** Return at most *length* characters of *text*, with an ellipsis where some are missing. */
export function clip(text, length) {
  const whole = String(text);
  return whole.length > length ? whole.slice(0, length - 1) + "…" : whole;
}

/**
 * Make an element: `h("a.row.fresh", {href: "/traces"}, "text", child)`.
 *
 * Functions listen (`onclick`), `data` is the dataset, null and false leave an attribute
 * out. The attributes themselves may be left out.
 */
export function h(tag, ...given) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, given);
}

/** Make an SVG element, in the same way. */
export function svg(tag, ...given) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS(SVG, name), classes, given);
}

function fill(element, classes, given) {
  element.classList.add(...classes);
  if (element.localName === "button") element.type = "button";
  if (given[0]?.constructor === Object) {
    for (const [name, value] of Object.entries(given.shift())) attribute(element, name, value);
  }
  return append(element, given);
}

/** Set one attribute, if it is one that can do no harm. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else if (typeof value === "function" && name.startsWith("on")) {
    element.addEventListener(name.slice(2), value);
  } else if (name === "data") {
    Object.assign(element.dataset, value);
  } else if (name === "href") {
    // Only paths of our own: events never name a place to go to.
    if (/^(\/(?!\/)|#|\?)/.test(value)) element.setAttribute("href", value);
  } else if (SAFE.has(name) || name.startsWith("aria-")) {
    element.setAttribute(name, value === true ? "" : name === "d" ? value : clip(visible(value), MAX_ATTRIBUTE));
  } else {
    throw new TypeError(`no attribute for this page: ${name}`);
  }
}

/** Append nodes, texts and lists of them; null and false are left out. */
export function append(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(parent, child);
    else parent.append(child instanceof Node ? child : visible(child));
  }
  return parent;
}

/** Let *parent* hold these children and no others. */
export function replace(parent, ...children) {
  parent.replaceChildren();
  return append(parent, children);
}

/**
 * Let *parent* hold children equal to *children*, touching only those that differ.
 *
 * *deep* goes on inside of them, so that focus and selection survive; it is for elements
 * that listen to nothing, as listeners stay those of the old ones.
 */
export function patch(parent, children, deep = false) {
  const wanted = children.filter(Boolean);
  wanted.forEach((child, index) => {
    const old = parent.childNodes[index];
    if (!old) parent.append(child);
    else if (old.isEqualNode(child)) return;
    else if (deep && old.nodeType === 1 && old.nodeName === child.nodeName) become(old, child);
    else old.replaceWith(child);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}

function become(old, wanted) {
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  patch(old, [...wanted.childNodes], true);
}

/** Set the text only where it differs: a selection in unchanged text survives. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Text for screen readers only. */
export function hidden(text) {
  return h("span.vh", text);
}

/** Say something to screen readers, politely. */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = visible(text);
}

/** Return a function that runs *task* once things have been quiet for *wait* ms. */
export function settled(task, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(task, wait, ...given);
  };
}

/**
 * Return a function that runs the async *task* soon, never twice at once, and at least
 * *pause()* ms apart; calls meanwhile become one more run.
 */
export function paced(task, pause, signal) {
  let timer = 0;
  let running = false;
  let again = false;
  let last = -Infinity;
  const run = async () => {
    timer = 0;
    running = true;
    again = false;
    try {
      await task();
    } finally {
      running = false;
      last = performance.now();
      if (again) call();
    }
  };
  const call = () => {
    again = running;
    if (running || timer || signal.aborted) return;
    timer = setTimeout(run, Math.max(0, last + pause() - performance.now()));
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  return call;
}
