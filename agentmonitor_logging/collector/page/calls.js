// Orders the spans of a trace as nested calls. Events come from anywhere, so every rule has
// its exception here: missing parents, parents in a circle, one id used twice.

import { millis } from "./format.js";

const SHORTEST = 1; // ms from end to end: latencies are whole, and some are 0

/**
 * Return `{roots, nodes, start, end}`: nodes by event id, each with its span, children,
 * depth, start and end in milliseconds, and the sums of everything below it.
 */
export function arrange(spans) {
  const nodes = new Map();
  const bySpanId = new Map();
  for (const span of spans) {
    const node = made(span);
    nodes.set(span.id, node);
    const rival = bySpanId.get(span.span_id);
    // One id used twice: the call that took time is the parent, not a note about it.
    if (span.span_id && (!rival || (rival.span.latency_ms === null && span.latency_ms !== null))) bySpanId.set(span.span_id, node);
  }
  for (const node of nodes.values()) adopt(node, bySpanId);
  const roots = [...nodes.values()].filter((node) => !node.parent);
  const ordered = walk(roots);
  sum(ordered);
  return { roots, nodes, ...extent(ordered) };
}

function made(span) {
  const start = millis(span.timestamp);
  const length = Math.max(0, Number(span.latency_ms) || 0);
  return { span, start, end: start + length, parent: null, children: [], depth: 0, errors: 0, cost: null, tokens: null, below: 0 };
}

// An orphan stays at the root level: its parent may be filtered, lost, or still running.
function adopt(node, bySpanId) {
  const parent = bySpanId.get(node.span.parent_span_id);
  if (!parent || parent === node) return;
  for (let above = parent; above; above = above.parent) if (above === node) return;
  node.parent = parent;
  parent.children.push(node);
}

// Parents before children, without recursion: a trace may be thousands of levels deep.
function walk(roots) {
  const ordered = [];
  const stack = [...byTime(roots)].reverse();
  while (stack.length) {
    const node = stack.pop();
    node.depth = node.parent ? node.parent.depth + 1 : 0;
    ordered.push(node);
    stack.push(...[...byTime(node.children)].reverse());
  }
  return ordered;
}

function byTime(nodes) {
  return nodes.sort((a, b) => a.start - b.start || b.end - a.end || a.span.id - b.span.id);
}

function sum(ordered) {
  for (let index = ordered.length - 1; index >= 0; index -= 1) {
    const node = ordered[index];
    node.cost = plus(node.cost, node.span.cost_usd);
    node.tokens = plus(node.tokens, node.span.tokens);
    node.errors += node.span.status === "error" ? 1 : 0;
    if (!node.parent) continue;
    node.parent.cost = plus(node.parent.cost, node.cost);
    node.parent.tokens = plus(node.parent.tokens, node.tokens);
    node.parent.errors += node.errors;
    node.parent.below += node.below + 1;
  }
}

function plus(sum, value) {
  return value === null || value === undefined ? sum : (sum ?? 0) + Number(value);
}

function extent(ordered) {
  const starts = ordered.map((node) => node.start).filter(Number.isFinite);
  const ends = ordered.map((node) => node.end).filter(Number.isFinite);
  const start = starts.reduce((a, b) => Math.min(a, b), Infinity);
  const end = ends.reduce((a, b) => Math.max(a, b), -Infinity);
  return Number.isFinite(start) ? { start, end: Math.max(end, start + SHORTEST) } : { start: 0, end: 1 };
}

/** The nodes one sees, top to bottom, when those in *folded* hide what is below them. */
export function shown(roots, folded) {
  const list = [];
  const stack = [...roots].reverse();
  while (stack.length) {
    const node = stack.pop();
    list.push(node);
    if (!folded.has(node.span.id)) stack.push(...[...node.children].reverse());
  }
  return list;
}

/** Evenly spaced ticks, at most *most*, on round numbers: `{step, ticks}` in milliseconds. */
export function ticksOf(length, most) {
  const rough = Math.max(SHORTEST, length / most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) || rough;
  const ticks = [];
  for (let index = 0; index * step <= length && index <= most; index += 1) ticks.push(index * step);
  return { step, ticks };
}
