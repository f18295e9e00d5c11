// Everything about one event, beside the waterfall on a wide window and over it on a phone.

import { getExact } from "./api.js";
import { copyButton } from "./copy.js";
import { clip, h, replace } from "./dom.js";
import { jsonText, jsonTree } from "./jsontree.js";
import { longText } from "./longtext.js";
import { ago, atTime } from "./moment.js";
import { payloadSection } from "./payload.js";
import { sessionPath } from "./paths.js";
import { cost, failed, skeleton, statusMark, tally, took } from "./states.js";

const NARROW = matchMedia("(max-width: 899px)");
// Shown elsewhere in the panel, or of no interest beside it.
const TOLD = new Set(["traceback", "session_id"]);

export class Detail {
  /** *onClose()* is called when the reader closes the panel. */
  constructor(onClose, signal) {
    this.onClose = onClose;
    this.body = h("div.detail-body");
    this.title = h("h2", { id: "detail-title" }, "Call");
    const close = h("button.icon-button", { "aria-label": "Close the details", title: "Close (Esc)", onclick: () => onClose() }, h("span", { "aria-hidden": "true" }, "✕"));
    this.element = h("dialog.detail", { "aria-labelledby": "detail-title" }, h("div.detail-head", this.title, close), this.body);
    // The browser would close a modal one by itself; the address has to follow.
    this.element.addEventListener("cancel", (event) => {
      event.preventDefault();
      onClose();
    });
    NARROW.addEventListener("change", () => this.isOpen && this.place(), { signal });
    signal.addEventListener("abort", () => this.close());
  }

  get isOpen() {
    return this.element.open;
  }

  // A sheet over everything on a phone, with the focus inside; else a panel that leaves
  // the focus where it is.
  place() {
    const focused = document.activeElement;
    if (this.element.open) this.element.close();
    if (NARROW.matches) {
      this.element.showModal();
    } else {
      this.element.open = true;
      if (focused?.isConnected) focused.focus({ preventScroll: true });
    }
  }

  /** Fetch and show the event with this id; *span* is what is known of it already. */
  async open(id, span) {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    replace(this.title, clip(span?.name || "Call", 300));
    if (!this.isOpen) this.place();
    replace(this.body, skeleton(6));
    this.element.scrollTop = 0;
    try {
      const event = await getExact(`/events/${id}`, request.signal);
      if (request.signal.aborted) return;
      replace(this.title, clip(event.name || "Call", 300));
      replace(this.body, parts(event));
    } catch (error) {
      if (!request.signal.aborted) replace(this.body, failed(error, () => this.open(id, span)));
    }
  }

  /** Close it and forget what was being fetched. */
  close() {
    this.request?.abort();
    if (this.element.open) this.element.close();
  }
}

function parts(event) {
  const metadata = event.metadata || {};
  return [facts(event, metadata), event.status === "error" || event.error_message ? trouble(event, metadata) : null, payloadSection("Input", event.input_data), payloadSection("Output", event.output_data), table(event, metadata)];
}

function facts(event, metadata) {
  return h(
    "dl.facts",
    fact("Status", statusMark(event.status), ` ${event.status}`),
    fact("Type", clip(event.event_type, 120)),
    fact("Agent", clip(event.agent_id, 120)),
    fact("Started", atTime(event.timestamp), " ", h("span.soft", ago(event.timestamp))),
    event.latency_ms === null ? null : fact("Latency", took(event.latency_ms)),
    event.cost_usd === null ? null : fact("Cost", cost(event.cost_usd)),
    fact("Tokens", tally(event.tokens, "tokens")),
    metadata.session_id ? fact("Session", h("a", { href: sessionPath(metadata.session_id) }, clip(metadata.session_id, 80))) : null,
  );
}

/** One term and what it is. */
export function fact(term, ...values) {
  return h("div", h("dt", term), h("dd", values));
}

function trouble(event, metadata) {
  const traceback = typeof metadata.traceback === "string" ? metadata.traceback : null;
  const text = event.error_message || "It failed without a message.";
  return h(
    "section.trouble",
    { "aria-labelledby": "payload-error" },
    h("div.section-head", h("h3", { id: "payload-error" }, "Error"), copyButton(() => [text, traceback].filter(Boolean).join("\n\n"))),
    h("div.error-text", longText(text)),
    traceback && h("details.whole", { open: true }, h("summary", "Traceback"), h("div.traceback", { tabindex: "0", role: "region", "aria-label": "Traceback" }, longText(traceback, { max: 6000 }))),
  );
}

function table(event, metadata) {
  const rows = Object.entries(metadata).filter(([name]) => !TOLD.has(name));
  rows.push(["received_at", event.received_at], ["id", event.id]);
  return h(
    "section",
    { "aria-labelledby": "payload-metadata" },
    h("div.section-head", h("h3", { id: "payload-metadata" }, "Metadata"), copyButton(() => jsonText(metadata))),
    h("table.metadata", h("tbody", rows.slice(0, 200).map(([name, value]) => h("tr", h("th", { scope: "row" }, clip(name, 120)), h("td", cell(value)))))),
    rows.length > 200 ? h("p.soft", `${rows.length - 200} more are in the copied JSON.`) : null,
  );
}

function cell(value) {
  if (value === null || value === undefined) return h("span.soft", "–");
  return typeof value === "object" ? jsonTree(value) : longText(String(value), { max: 300 });
}
