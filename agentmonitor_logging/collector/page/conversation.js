// Finds chat messages in a payload and shows them as a conversation. Knows the shapes that
// programs really log: lists of {role, content}, content as text or as parts, tool calls.

import { clip, h } from "./dom.js";
import { plural } from "./format.js";
import { jsonTree } from "./jsontree.js";
import { longText } from "./longtext.js";

const LIKELY = ["messages", "items", "value", "message", "history", "conversation", "chat", "choices", "contents"];
const PLAIN = ["value", "text", "content", "question", "prompt", "query", "answer", "message", "input", "output", "completion", "result"];
const SEARCHED = 200;
const AT_ONCE = 50;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function isMessage(value) {
  return isObject(value) && typeof value.role === "string" && ("content" in value || "parts" in value || "tool_calls" in value);
}

/** Return `{messages, rest}` where *data* holds a conversation, else null. */
export function conversationIn(data) {
  const direct = listOf(data);
  if (direct) return { messages: direct, rest: null };
  if (!isObject(data)) return null;
  const names = [...LIKELY.filter((name) => Object.hasOwn(data, name)), ...Object.keys(data).slice(0, 30)];
  for (const name of names) {
    const messages = listOf(data[name]);
    if (messages) return { messages, rest: without(data, name) };
  }
  return null;
}

function listOf(value) {
  if (isMessage(value)) return [value];
  if (!Array.isArray(value) || !value.length) return null;
  const found = value.slice(0, SEARCHED).map((part) => (isObject(part) && isMessage(part.message) ? part.message : part));
  return found.every(isMessage) ? [...found, ...value.slice(SEARCHED).filter(isMessage)] : null;
}

function without(data, name) {
  const { [name]: _, ...rest } = data;
  return Object.keys(rest).length ? rest : null;
}

/** Return the one text that *data* says, or null where it is more than a text. */
export function plainText(data) {
  if (typeof data === "string") return data;
  if (!isObject(data)) return null;
  const names = Object.keys(data);
  const name = names.length === 1 ? names[0] : PLAIN.find((likely) => typeof data[likely] === "string" && data[likely]);
  return name !== undefined && typeof data[name] === "string" ? data[name] : null;
}

/** The messages one below the other, the person's and the agent's on their sides. */
export function conversation(messages) {
  const list = h("ol.chat");
  let shown = 0;
  const more = h("button.small", { onclick: next });
  function next() {
    const part = messages.slice(shown, shown + AT_ONCE);
    shown += part.length;
    list.append(...part.map(message));
    const left = messages.length - shown;
    more.hidden = left <= 0;
    more.textContent = `Show more (${plural(left, "message")} left)`;
  }
  next();
  return h("div.chat-box", list, more);
}

/** Which side of the conversation a role speaks on. */
function sideOf(role) {
  const name = role.toLowerCase();
  if (name === "user" || name === "human") return "user";
  if (name === "assistant" || name === "model" || name === "ai") return "agent";
  return "aside";
}

function message(given) {
  const name = typeof given.name === "string" ? ` · ${clip(given.name, 60)}` : "";
  const parts = [...contentOf(given.content ?? given.parts), ...callsOf(given.tool_calls)];
  return h(
    "li",
    { class: `bubble ${sideOf(given.role)}` },
    h("p.role", clip(given.role, 40) + name),
    parts.length ? parts : h("p.soft", "(nothing)"),
  );
}

function contentOf(content) {
  if (content === null || content === undefined || content === "") return [];
  if (typeof content === "string") return [longText(content)];
  if (!Array.isArray(content)) return [jsonTree(content)];
  return content.slice(0, SEARCHED).map(part);
}

function part(given) {
  if (typeof given === "string") return longText(given);
  if (!isObject(given)) return jsonTree(given);
  if (typeof given.text === "string") return longText(given.text);
  if (given.type === "tool_use") return call(given.name, given.input);
  if (given.type === "tool_result") return h("div.tool", h("p.role", "result"), contentOf(given.content));
  return jsonTree(given);
}

function callsOf(calls) {
  if (!Array.isArray(calls)) return [];
  return calls.slice(0, SEARCHED).map((given) => {
    const inner = isObject(given?.function) ? given.function : given;
    return call(inner?.name, inner?.arguments ?? inner?.args ?? inner?.input);
  });
}

function call(name, input) {
  return h("div.tool", h("p.role", "calls ", h("code", clip(name ?? "a tool", 120))), input === undefined || input === null ? null : jsonTree(parsed(input)));
}

// Models write their arguments as JSON in a text.
function parsed(input) {
  if (typeof input !== "string") return input;
  try {
    return JSON.parse(input);
  } catch {
    return input;
  }
}
