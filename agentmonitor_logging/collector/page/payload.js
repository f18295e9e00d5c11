// One payload (the input or output of an event), shown the way that reads best: as a
// conversation, as a text, or as JSON; always with the JSON one click away.

import { conversation, conversationIn, plainText } from "./conversation.js";
import { copyButton } from "./copy.js";
import { h, replace } from "./dom.js";
import { jsonText, jsonTree } from "./jsontree.js";
import { longText } from "./longtext.js";

/** A section with a heading, the payload, and buttons to copy it and to see its JSON. */
export function payloadSection(title, data) {
  const id = `payload-${title.toLowerCase()}`;
  const body = h("div.payload");
  const section = h("section", { "aria-labelledby": id }, h("div.section-head", h("h3", { id }, title)), body);
  if (data === null || data === undefined) {
    replace(body, h("p.soft", "None was recorded."));
    return section;
  }
  const pretty = prettyForm(data);
  const head = section.firstChild;
  if (pretty) head.append(jsonSwitch(body, pretty, data));
  head.append(copyButton(() => jsonText(data)));
  replace(body, pretty ? pretty() : jsonTree(data));
  return section;
}

function jsonSwitch(body, pretty, data) {
  const button = h("button.small", { "aria-pressed": "false", onclick: turn }, "JSON");
  function turn() {
    const json = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(json));
    replace(body, json ? jsonTree(data) : pretty());
  }
  return button;
}

function prettyForm(data) {
  const found = conversationIn(data);
  if (found) {
    return () => [conversation(found.messages), found.rest && h("div.rest", h("p.role", "and beside the messages"), jsonTree(found.rest))];
  }
  const text = Object.keys(data).length === 1 ? plainText(data) : null;
  if (text === null) return null;
  const [name] = Object.keys(data);
  return () => [name !== "value" && h("p.role", name), longText(text, { kind: "prose" })];
}

/** The payload as what somebody says in a conversation: the text that matters. */
export function saying(data, side) {
  const found = conversationIn(data);
  if (found) return spoken(found.messages, side);
  const text = plainText(data);
  if (text === null) return jsonTree(data);
  if (Object.keys(data).length === 1) return longText(text);
  return [longText(text), h("details.whole", h("summary", "all of it"), jsonTree(data))];
}

function spoken(messages, side) {
  const roles = side === "user" ? ["user", "human"] : ["assistant", "model", "ai"];
  const last = messages.findLast((message) => roles.includes(message.role.toLowerCase())) || messages.at(-1);
  const rest = messages.length - 1;
  return [
    conversation([last]),
    rest > 0 && h("details.whole", h("summary", `all ${rest + 1} messages`), conversation(messages)),
  ];
}
