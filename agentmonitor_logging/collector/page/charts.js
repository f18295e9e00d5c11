// Small charts in SVG: bars or lines over time, with a readout under the pointer and, for
// the keyboard, as a slider: arrow keys go from one stretch of time to the next.

import { attribute, h, replace, svg } from "./dom.js";
import { tick } from "./format.js";

const HEIGHT = 100;

/**
 * A chart.
 *
 * *label* names it, *sets* are `[{name, pick, kind}]` with *pick* taking a value out of
 * an entry of the series, *format* writes values, *open(from, to)* is called on Enter or
 * a click.
 */
export class Chart {
  constructor({ label, sets, format, shape, open }) {
    Object.assign(this, { label, sets, format, shape, open });
    this.index = -1;
    this.series = [];
    this.plot = svg("svg", { class: `plot ${shape}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.top = h("span.chart-top", { "aria-hidden": "true" });
    this.readout = h("span.readout", { "aria-hidden": "true", hidden: true });
    this.box = h("div", {
      class: "chart-box",
      role: "slider",
      tabindex: "0",
      "aria-label": `${label} over time`,
      "aria-roledescription": "chart",
      "aria-valuemin": "0",
      "aria-valuemax": "0",
      "aria-valuenow": "0",
      onpointermove: (event) => this.point(event),
      onpointerdown: (event) => this.point(event),
      onpointerleave: () => this.choose(-1),
      onblur: () => this.choose(-1),
      onfocus: () => this.box.matches(":focus-visible") && this.choose(this.index < 0 ? this.series.length - 1 : this.index),
      onkeydown: (event) => this.key(event),
      onclick: (event) => event.detail && this.touch !== true && this.enter(),
    }, this.plot, this.top, this.readout);
    this.ends = h("div.chart-ends", { "aria-hidden": "true" });
    this.element = h("div.chart", this.box, this.ends);
  }

  /** Draw *series*, entries of *step* milliseconds with their `from`. */
  update(series, step) {
    this.series = series.map((entry) => ({ ...entry, at: Date.parse(entry.from) }));
    this.step = step;
    const values = this.series.flatMap((entry) => this.sets.map((set) => Number(set.pick(entry)) || 0));
    const highest = values.reduce((a, b) => Math.max(a, b), 0);
    this.scale = Number.isFinite(highest) && highest > 0 ? highest : 1;
    const count = Math.max(1, this.series.length);
    attribute(this.plot, "viewBox", `0 0 ${count} ${HEIGHT}`);
    this.hover = svg("rect.hover", { x: 0, y: 0, width: 1, height: HEIGHT, hidden: true });
    replace(this.plot, this.hover, this.shape === "bars" ? this.bars() : this.lines());
    this.top.textContent = highest > 0 ? this.format(highest) : "";
    const range = count * step;
    const first = this.series[0]?.at;
    replace(this.ends, h("span", first ? tick(first, range) : ""), h("span", first ? tick(Math.min(first + range, Date.now()), range) : ""));
    attribute(this.box, "aria-valuemax", String(count - 1));
    this.describe(this.index < 0 ? count - 1 : Math.min(this.index, count - 1));
    if (this.index >= 0) this.choose(Math.min(this.index, count - 1));
  }

  y(value) {
    const part = Math.min(1, Math.max(0, value / this.scale));
    return Math.round(10 * (HEIGHT - part * (HEIGHT - 6))) / 10;
  }

  bars() {
    const [set] = this.sets;
    return this.series.map((entry, index) => {
      const value = Number(set.pick(entry)) || 0;
      if (value <= 0) return null;
      // However small, what is there is seen.
      const top = Math.min(this.y(value), HEIGHT - 3);
      return svg("rect", { class: `bar ${set.kind}`, x: index + 0.12, y: top, width: 0.76, height: HEIGHT - top });
    });
  }

  lines() {
    return this.sets.map((set) => svg("path", { class: `line ${set.kind}`, d: this.path(set), "vector-effect": "non-scaling-stroke" }));
  }

  // Gaps stay gaps; a value alone between gaps is a short dash.
  path(set) {
    const known = (index) => {
      const value = this.series[index] && set.pick(this.series[index]);
      return value === null || value === undefined ? null : Number(value);
    };
    let path = "";
    this.series.forEach((_, index) => {
      const value = known(index);
      if (value === null) return;
      const y = this.y(value);
      const isAlone = known(index - 1) === null && known(index + 1) === null;
      if (isAlone) path += `M${index + 0.2} ${y}H${index + 0.8}`;
      else path += `${known(index - 1) === null ? "M" : "L"}${index + 0.5} ${y}`;
    });
    return path;
  }

  point(event) {
    this.touch = event.pointerType === "touch";
    const { left, width } = this.box.getBoundingClientRect();
    this.choose(Math.min(this.series.length - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * this.series.length))));
  }

  key(event) {
    const last = this.series.length - 1;
    const at = this.index < 0 ? last : this.index;
    const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last, PageUp: at + 10, PageDown: at - 10 }[event.key];
    if (event.key === "Enter") return this.enter();
    if (event.key === "Escape") return this.choose(-1);
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    event.preventDefault();
    return this.choose(Math.min(last, Math.max(0, to)));
  }

  enter() {
    const entry = this.series[this.index];
    if (entry && this.open) this.open(entry.at, entry.at + this.step);
  }

  choose(index) {
    this.index = this.series[index] ? index : -1;
    this.readout.hidden = this.index < 0;
    this.hover?.toggleAttribute("hidden", this.index < 0);
    if (this.index < 0) return;
    attribute(this.hover, "x", index);
    replace(this.readout, h("span.readout-time", this.when(index)), this.values(index).map((text) => h("span", text)));
    const middle = (index + 0.5) / this.series.length;
    this.readout.style.left = `${middle * 100}%`;
    this.readout.style.transform = `translateX(${-middle * 100}%)`;
    this.describe(index);
  }

  describe(index) {
    attribute(this.box, "aria-valuenow", String(Math.max(0, index)));
    attribute(this.box, "aria-valuetext", this.series[index] ? `${this.when(index)}: ${this.values(index).join(", ")}` : "no data");
  }

  when(index) {
    const { at } = this.series[index];
    const range = this.series.length * this.step;
    const days = range > 20 * 3_600_000 ? range : 0;
    return this.step >= 86_400_000 ? tick(at, range) : `${tick(at, Math.min(days, 8 * 86_400_000))}–${tick(at + this.step, 0)}`;
  }

  values(index) {
    return this.sets.map((set) => `${this.format(set.pick(this.series[index]))} ${set.name}`);
  }
}
