// The filters of the lists: fields that live in the query string, so that an address, a
// reload and the back button bring the same list.

import { get } from "./api.js";
import { append, h, replace, settled } from "./dom.js";
import { customFields, rangeIn, rangeParams, SPANS } from "./range.js";

const TYPING = 300;

/**
 * A form with one field per name of *fields* (`{name: {label, kind, …}}`).
 *
 * *onChange* gets the filters as plain params whenever one of them changed, and whether
 * somebody was typing.
 */
export class Filters {
  constructor({ fields, query, onChange, signal }) {
    this.fields = fields;
    this.onChange = onChange;
    this.inputs = {};
    this.custom = h("div.custom-place");
    this.clear = h("button.small", { onclick: () => this.empty() }, "Clear filters");
    this.body = h("div.filter-fields", { id: "filter-fields" }, Object.entries(fields).map(([name, field]) => name !== "q" && this.field(name, field)), this.custom, this.clear);
    this.toggle = h("button.filter-toggle", { "aria-expanded": "false", "aria-controls": "filter-fields", onclick: () => this.turn() }, "Filters");
    const top = h("div.filter-top", fields.q ? this.field("q", fields.q) : null, this.toggle);
    this.element = h("form.filters", { role: "search", "aria-label": "Filter the list", onsubmit: (event) => event.preventDefault() }, top, this.body);
    this.set(query);
    this.suggest(signal);
  }

  field(name, { label, kind, hint, options }) {
    const id = `filter-${name}`;
    const typed = settled(() => this.changed(true), TYPING);
    let input;
    if (kind === "select") {
      input = h("select", { id, onchange: () => this.changed(false) }, options.map(([value, text]) => h("option", { value }, text)));
    } else if (kind === "span") {
      const choices = Object.entries(SPANS).map(([value, { long }]) => h("option", { value }, long));
      input = h("select", { id, onchange: () => this.spanChanged() }, h("option", { value: "" }, "Any time"), choices, h("option", { value: "custom" }, "From … to …"));
    } else {
      const type = { search: "search", number: "number" }[kind] || "text";
      const numeric = kind === "number" ? { min: "0", step: "any", inputmode: "decimal" } : {};
      input = h("input", { id, type, placeholder: hint, autocomplete: "off", spellcheck: "false", list: kind === "suggest" ? `${id}-list` : null, ...numeric, oninput: typed });
    }
    this.inputs[name] = input;
    const list = kind === "suggest" ? h("datalist", { id: `${id}-list` }) : null;
    return h("div", { class: `field field-${name}` }, h("label", { for: id }, label), input, list);
  }

  /** Show the filters that *query* holds. */
  set(query) {
    this.range = this.fields.span ? rangeIn(query) : null;
    for (const [name, input] of Object.entries(this.inputs)) {
      const value = name === "span" ? (this.range?.span ?? "") : (query.get(name) ?? "");
      if (input.value !== value && input !== document.activeElement) input.value = value;
    }
    this.showCustom();
    this.showActive();
  }

  /** The filters as params for an address. */
  params() {
    const params = {};
    for (const [name, input] of Object.entries(this.inputs)) {
      if (name !== "span" && input.value.trim() && !(input.type === "number" && !(Number(input.value) > 0))) params[name] = input.value.trim();
    }
    return { ...params, ...rangeParams(this.range) };
  }

  changed(typing) {
    this.showActive();
    this.onChange(this.params(), typing);
  }

  spanChanged() {
    const { value } = this.inputs.span;
    if (value === "custom") {
      this.range = { span: "custom", from: null, to: null };
      this.showCustom();
      this.custom.querySelector("input").focus();
      return;
    }
    this.range = value ? { span: value, ...SPANS[value] } : null;
    this.showCustom();
    this.changed(false);
  }

  showCustom() {
    const isCustom = this.range?.span === "custom";
    const take = (range) => {
      this.range = range;
      if (!range) this.inputs.span.value = "";
      this.changed(false);
    };
    replace(this.custom, isCustom ? customFields(this.range, take) : null);
  }

  showActive() {
    const active = Object.keys(this.params()).filter((name) => name !== "q" && name !== "to").length;
    this.clear.hidden = !active && !this.inputs.q?.value;
    replace(this.toggle, "Filters", active ? h("span.badge", String(active)) : null);
  }

  turn() {
    const open = this.element.classList.toggle("open");
    this.toggle.setAttribute("aria-expanded", String(open));
  }

  empty() {
    this.range = null;
    for (const input of Object.values(this.inputs)) input.value = "";
    this.showCustom();
    this.changed(false);
    Object.values(this.inputs)[0].focus();
  }

  // Names to choose from; without them the fields work all the same.
  async suggest(signal) {
    if (!this.inputs.agent_id) return;
    try {
      const from = new Date(Date.now() - SPANS["30d"].ms).toISOString();
      const stats = await get("/stats", { from }, signal);
      this.offer("agent_id", stats.agents);
      this.offer("event_type", stats.event_types);
    } catch {
      // The list itself will say what is wrong.
    }
  }

  offer(name, sums) {
    const list = this.inputs[name]?.nextElementSibling;
    if (list) append(list, (sums || []).map((sum) => h("option", { value: sum[name] })));
  }
}
