// Starts the page: the key, the colours, the keyboard and the views.

import { h, replace } from "./dom.js";
import { keepKey, showForget, takeKeyFromAddress } from "./key.js";
import { go, reopen, start } from "./router.js";
import { nowhere } from "./states.js";
import { overview } from "./overview.js";
import { traces } from "./traces.js";
import { trace } from "./trace.js";
import { sessions } from "./sessions.js";
import { session } from "./session.js";

const theme = document.getElementById("theme");

function showTheme() {
  const dark = document.documentElement.dataset.theme === "dark";
  const next = dark ? "light" : "dark";
  theme.setAttribute("aria-label", `Use the ${next} colours`);
  theme.title = `Use the ${next} colours`;
  replace(theme, h("span", { "aria-hidden": "true" }, "◐"));
}

theme.addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("agentmonitor.theme", root.dataset.theme);
  } catch {
    // Then the choice holds until the page is closed.
  }
});
new MutationObserver(showTheme).observe(document.documentElement, { attributeFilter: ["data-theme"] });

document.getElementById("forget").addEventListener("click", () => {
  keepKey("");
  reopen();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog.modal");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!document.querySelector("main [type=search]")) go("/traces");
  const search = document.querySelector("main [type=search]");
  search?.focus();
  search?.select();
});

// A skip link that stays in the page: the history must not see a "#content".
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("content").focus();
});

// Another tab may take the key away or bring it.
addEventListener("storage", showForget);

// A pasted "#key=…" in an open page changes only the fragment, so nothing reloads.
addEventListener("hashchange", () => {
  if (!location.hash.startsWith("#key=")) return;
  takeKeyFromAddress();
  reopen();
});

showTheme();
takeKeyFromAddress();
showForget();
start({ overview, traces, trace, sessions, session, nowhere });
