// The key of the collector: taken from `#key=` in the address, or asked for once, and kept
// in this browser. Everything else only ever sees `key.value`.

import { h, replace } from "./dom.js";

const PLACE = "agentmonitor.key";
let inMemory = "";

/** Return the key, or an empty text where none is known. */
export function currentKey() {
  try {
    return localStorage.getItem(PLACE) || inMemory;
  } catch {
    return inMemory;
  }
}

/** Whether *key* can be one: a browser throws at a header with others than these signs. */
export function isSendable(key) {
  return /^[\x21-\x7e]+$/.test(key);
}

/** Keep *value*, or forget the key where it is empty. */
export function keepKey(value) {
  inMemory = value;
  try {
    if (value) localStorage.setItem(PLACE, value);
    else localStorage.removeItem(PLACE);
  } catch {
    // A browser that keeps nothing asks again at the next visit.
  }
  showForget();
}

/** Show the button that forgets the key only while there is one. */
export function showForget() {
  document.getElementById("forget").hidden = !currentKey();
}

/** Take over a key from the address and remove it from there, where it would be seen. */
export function takeKeyFromAddress() {
  const found = /^#key=(.+)$/.exec(location.hash);
  if (!found) return;
  let value = found[1];
  try {
    value = decodeURIComponent(value);
  } catch {
    // Not encoded: the key as it stands.
  }
  history.replaceState(history.state, "", location.pathname + location.search);
  keepKey(value.trim());
}

let asking = null;
let declined = false;

/** Ask again, though the reader said “not now”: another view is being opened. */
export function mayAskAgain() {
  declined = false;
}

/**
 * Ask for the key; resolve to whether one was given.
 *
 * *refused* is the key that was just refused, if any. Calls at the same time share one
 * dialog.
 */
export function askForKey(refused) {
  if (declined) return Promise.resolve(false);
  asking ??= ask(refused).then((given) => {
    asking = null;
    declined = !given;
    return given;
  });
  return asking;
}

function ask(refused) {
  return new Promise((resolve) => {
    const input = h("input", { id: "key-input", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "key-help" });
    const error = h("p.field-error", { role: "alert" });
    const dialog = h(
      "dialog.modal",
      { "aria-labelledby": "key-title" },
      h(
        "form",
        { onsubmit: submit },
        h("h2", { id: "key-title" }, "This collector wants its key"),
        h("p.soft", { id: "key-help" }, "It is the key the collector was started with, and the one your handlers send as api_key. It is kept in this browser only."),
        h("label", { for: "key-input" }, "Key"),
        input,
        error,
        h("div.buttons", h("button", { onclick: () => dialog.close() }, "Not now"), h("button.primary", { type: "submit" }, "Open")),
      ),
    );
    let given = false;

    function submit(event) {
      event.preventDefault();
      const value = input.value.trim();
      if (!isSendable(value)) {
        replace(error, value ? "That cannot be the key: keys are ASCII letters, digits and signs, without spaces." : "Type the key, or choose “Not now”.");
        input.focus();
        return;
      }
      given = true;
      keepKey(value);
      dialog.close();
    }

    if (refused) replace(error, "That key was refused: it is not the key of this collector.");
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
