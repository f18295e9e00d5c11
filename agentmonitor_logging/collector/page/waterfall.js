// The calls of a trace as a waterfall: a tree on the left, bars to scale on the right. Rows
// are kept from one update to the next, so that a growing trace does not flicker.

import { arrange, shown, ticksOf } from "./calls.js";
import { clip, h, hidden, patch, replace } from "./dom.js";
import { count, duration, money } from "./format.js";
import { cost, statusMark, tally, took } from "./states.js";

const DEEPEST_INDENT = 12;
const TICKS = 5;
const GAP = 6;

export class Waterfall {
  /** *onSelect(id)* is called with the event id of the call that was chosen. */
  constructor(onSelect) {
    this.onSelect = onSelect;
    this.folded = new Set();
    this.rows = new Map();
    this.visible = [];
    this.selected = null;
    this.active = null;
    this.axis = h("div.w-time.w-axis", { role: "columnheader" });
    new ResizeObserver(() => this.fitLabels()).observe(this.axis);
    const heads = [h("div.w-name", { role: "columnheader" }, "Call"), this.axis, ...["Latency", "Tokens", "Cost"].map((text) => h("div", { class: `w-${text.toLowerCase()}`, role: "columnheader" }, text))];
    this.body = h("div.w-body", { role: "rowgroup" });
    this.grid = h("div.waterfall", { role: "treegrid", "aria-label": "Calls of this trace", onkeydown: (event) => this.key(event), onclick: (event) => this.click(event) }, h("div", { role: "rowgroup" }, h("div.w-row.w-head", { role: "row" }, heads)), this.body);
    this.element = h("div.waterfall-box", this.grid);
  }

  /** Show these spans, *isCut* if not all; what was folded, selected and focused stays so. */
  update(spans, isCut) {
    this.tree = arrange(spans);
    this.isCut = isCut;
    this.drawAxis();
    this.draw();
  }

  drawAxis() {
    const length = this.tree.end - this.tree.start;
    const { step, ticks } = ticksOf(length, TICKS);
    this.grid.style.setProperty("--tick", `${(100 * step) / length}%`);
    const labels = ticks.map((at) => {
      const label = h("span.w-tick", at ? duration(at) : "0");
      label.style.left = `${(100 * at) / length}%`;
      return label;
    });
    replace(this.axis, hidden("Time"), labels);
    this.fitLabels();
  }

  // As many labels as there is room for, evenly: none over another, or over the edge.
  fitLabels() {
    const labels = [...this.axis.querySelectorAll(".w-tick")];
    for (const label of labels) label.hidden = false;
    const { right } = this.axis.getBoundingClientRect();
    const places = labels.map((label) => label.getBoundingClientRect());
    const fits = (every) => places.every((place, index) => index % every || place.right + GAP <= (places[index + every]?.left ?? Infinity));
    const every = labels.findIndex((_, index) => fits(index + 1)) + 1;
    labels.forEach((label, index) => (label.hidden = index % every > 0 || places[index].right > right));
  }

  draw() {
    this.visible = shown(this.tree.roots, this.folded);
    const rows = this.visible.map((node) => this.row(node));
    const wanted = new Set(rows);
    // First out, then in: a row that is moved would lose the focus.
    for (const row of [...this.body.children]) if (!wanted.has(row)) row.remove();
    let at = this.body.firstElementChild;
    for (const row of rows) {
      if (row === at) at = at.nextElementSibling;
      else this.body.insertBefore(row, at);
    }
    if (!this.active || !this.visible.some((node) => node.span.id === this.active)) this.activate(this.visible[0]?.span.id);
    this.grid.setAttribute("aria-rowcount", String(this.visible.length + 1));
  }

  row(node) {
    const { id } = node.span;
    let row = this.rows.get(id);
    const folded = this.folded.has(id);
    const look = this.look(node, folded);
    if (!row) {
      row = h("div.w-row", { role: "row", tabindex: "-1", data: { id: String(id) } });
      this.rows.set(id, row);
    }
    if (row.look === look) return row;
    row.look = look;
    row.className = `w-row${node.span.status === "error" ? " failed" : ""}${id === this.selected ? " selected" : ""}`;
    row.setAttribute("aria-level", String(node.depth + 1));
    row.setAttribute("aria-selected", String(id === this.selected));
    if (node.children.length) row.setAttribute("aria-expanded", String(!folded));
    patch(row, this.cells(node, folded));
    return row;
  }

  // All that a row's looks depend on.
  look(node, folded) {
    const { start, end } = this.tree;
    return [this.isCut, start, end, node.depth, node.below, node.cost, node.tokens, node.errors, folded, node.span.id === this.selected].join();
  }

  cells(node, folded) {
    const { span } = node;
    const isParent = node.children.length > 0;
    const indent = h("span.w-indent");
    indent.style.width = `${Math.min(node.depth, DEEPEST_INDENT) * 14}px`;
    const twist = h("span", { class: isParent ? "twist" : "twist none", "aria-hidden": "true" }, isParent ? (folded ? "▸" : "▾") : "");
    const name = h(
      "div.w-name",
      { role: "gridcell" },
      indent,
      twist,
      statusMark(span.status),
      h("span.w-text", h("span.name", { title: clip(span.name, 300) }, clip(span.name || "(no name)", 200)), h("span.chip", clip(span.event_type, 60)), folded ? h("span.chip", `+${count(node.below)}`) : null, folded && node.errors > 0 && span.status !== "error" ? h("span.chip.error", `${count(node.errors)} inside`) : null),
    );
    return [
      name,
      h("div.w-time", { role: "gridcell" }, this.bar(node)),
      h("div.w-latency", { role: "gridcell" }, span.latency_ms === null ? h("span.soft", { title: "a moment, it took no time" }, "·") : took(span.latency_ms)),
      h("div.w-tokens", { role: "gridcell" }, this.summed(span.tokens, node.tokens, tally, "tokens", count)),
      h("div.w-cost", { role: "gridcell" }, this.summed(span.cost_usd, node.cost, cost, "", money)),
    ];
  }

  // A call's own number; where it has none, the sum of what it called, marked as such.
  summed(own, all, show, unit, format) {
    if (own !== null && own !== undefined) return show(own, unit);
    if (all === null) return h("span.soft", "–");
    if (this.isCut) return h("span.soft", { title: "no sum: not all calls inside are drawn" }, "–");
    return h("span.sum", { title: `sum of the calls inside: ${format(all)}` }, h("span", { "aria-hidden": "true" }, "Σ "), hidden("sum "), format(all));
  }

  bar(node) {
    const length = this.tree.end - this.tree.start;
    const from = Number.isFinite(node.start) ? (node.start - this.tree.start) / length : 0;
    const width = Number.isFinite(node.end) ? (node.end - node.start) / length : 0;
    const isMoment = node.span.latency_ms === null;
    const text = isMoment ? `at ${duration(node.start - this.tree.start)}` : `from ${duration(node.start - this.tree.start)}, ${duration(node.span.latency_ms)}`;
    const bar = h("span", { class: isMoment ? "w-bar moment" : "w-bar", role: "img", "aria-label": text, title: text });
    bar.style.left = `${Math.max(0, Math.min(1, from)) * 100}%`;
    if (!isMoment) bar.style.width = `${Math.max(0, Math.min(1, width)) * 100}%`;
    return bar;
  }

  activate(id) {
    const old = this.rows.get(this.active);
    if (old) old.tabIndex = -1;
    this.active = id ?? null;
    const row = this.rows.get(this.active);
    if (row) row.tabIndex = 0;
  }

  /** Mark one call as selected, or none; unfold what hides it. */
  select(id, { reveal = false } = {}) {
    const node = id === null ? null : this.tree?.nodes.get(id);
    this.selected = node ? id : null;
    for (let above = node?.parent; above; above = above.parent) this.folded.delete(above.span.id);
    if (!this.tree) return;
    this.draw();
    if (!node) return;
    this.activate(id);
    if (reveal) this.rows.get(id).scrollIntoView({ block: "nearest" });
  }

  /** Put the focus on one call. */
  focus(id = this.active) {
    if (!this.rows.has(id)) return;
    this.activate(id);
    this.rows.get(id).focus();
  }

  /** The first call with an error after the active one, going round. */
  nextError() {
    const all = shown(this.tree.roots, new Set());
    const at = all.findIndex((node) => node.span.id === (this.selected ?? -1));
    const found = [...all.slice(at + 1), ...all.slice(0, at + 1)].find((node) => node.span.status === "error");
    return found?.span.id ?? null;
  }

  foldAll(fold) {
    this.folded.clear();
    if (fold) for (const node of this.tree.nodes.values()) if (node.children.length) this.folded.add(node.span.id);
    this.draw();
  }

  fold(id, fold) {
    if (fold) this.folded.add(id);
    else this.folded.delete(id);
    this.draw();
  }

  click(event) {
    const row = event.target.closest(".w-body .w-row");
    if (!row) return;
    const id = Number(row.dataset.id);
    this.activate(id);
    if (event.target.closest(".twist") && this.tree.nodes.get(id).children.length) this.fold(id, !this.folded.has(id));
    else this.onSelect(id, { asked: true });
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = this.visible.findIndex((node) => node.span.id === this.active);
    const node = this.visible[at];
    if (!node || !event.target.closest(".w-body .w-row")) return;
    const to = this.target(event.key, node, at);
    if (to === undefined) return;
    event.preventDefault();
    if (!to) return;
    this.focus(to.span.id);
    this.onSelect(to.span.id, { asked: false });
  }

  // Where a key leads: a node, null for nowhere, undefined for keys that are not ours.
  target(key, node, at) {
    const { id } = node.span;
    const isOpen = node.children.length > 0 && !this.folded.has(id);
    switch (key) {
      case "ArrowDown":
        return this.visible[at + 1] ?? null;
      case "ArrowUp":
        return this.visible[at - 1] ?? null;
      case "Home":
        return this.visible[0];
      case "End":
        return this.visible.at(-1);
      case "ArrowRight":
        if (isOpen) return node.children[0];
        if (node.children.length) this.fold(id, false);
        return null;
      case "ArrowLeft":
        if (!isOpen) return node.parent;
        this.fold(id, true);
        return null;
      case "Enter":
      case " ":
        this.onSelect(id, { asked: true });
        return null;
      default:
        return undefined;
    }
  }
}
