// What a collector without a single event shows: the lines that send the first one, and
// then, by itself, what arrived.

import { copyButton } from "./copy.js";
import { h, replace } from "./dom.js";
import { currentKey } from "./key.js";
import { follow } from "./live.js";
import { reopen } from "./router.js";

const ANY_KEY = "on-loopback-any-32-characters-do";
const OWN_KEY = "the key this collector was started with";

/** Fill *page* with the first steps; the view is opened anew when an event arrives. */
export function start(page) {
  const lines = snippet();
  const heading = h("h1", { tabindex: "-1" }, "Waiting for the first event");
  const hadFocus = page.root.contains(document.activeElement);
  page.title("Waiting for the first event");
  replace(
    page.root,
    h(
      "div.first",
      heading,
      h("p.soft", "The collector is running and empty. Put these lines where your program starts; from then on whatever it logs appears here."),
      h("div.code", h("div.code-head", h("span", "Python"), copyButton(() => lines, "Copy")), h("pre", { tabindex: "0", "aria-label": "Lines of Python to copy" }, lines)),
      h("p", "Then log something: ", h("code", 'logging.getLogger().info("hello")')),
      currentKey() ? h("p.soft", "Replace the text after “api_key” by the key of this collector. It is not shown here, so that nobody reads it over your shoulder.") : null,
      h("p.waiting", { role: "status" }, h("span.pulse", { "aria-hidden": "true" }), "Listening. This page goes on by itself."),
    ),
  );
  if (hadFocus) heading.focus();
  let opened = false;
  const first = ({ traces, events }) => {
    if (opened || !(traces?.length || events?.length)) return;
    opened = true;
    reopen();
  };
  // After 0, and not from now on: an event may have come since we looked.
  follow({ of: "traces" }, 0, first, page.signal);
}

function snippet() {
  const key = currentKey() ? OWN_KEY : ANY_KEY;
  return [
    "import logging.config",
    "logging.config.dictConfig({",
    '    "version": 1, "disable_existing_loggers": False,',
    '    "handlers": {"agentmonitor": {',
    '        "()": "agentmonitor_logging.AgentMonitorQueueHandler",',
    '        "agent_id": "my-agent",',
    `        "api_url": "${location.origin}/api/v1",`,
    `        "api_key": "${key}",`,
    "    }},",
    '    "root": {"handlers": ["agentmonitor"], "level": "INFO"},',
    "})",
  ].join("\n");
}
