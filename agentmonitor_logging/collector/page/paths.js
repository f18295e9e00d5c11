// The addresses of our own views. Ids in them are event data, so they are always encoded.

function encoded(id) {
  // A lone surrogate has no UTF-8, and encodeURIComponent would throw.
  return encodeURIComponent(String(id).replace(/[\ud800-\udfff]/gu, "\ufffd"));
}

/** The address of one trace, with one of its events open where *event* is given. */
export function tracePath(id, event) {
  return `/traces/${encoded(id)}` + (event ? query({ event }) : "");
}

/** The address of one session. */
export function sessionPath(id) {
  // A browser would resolve these two as folders before anybody sees them.
  if (id === "." || id === "..") return tracesPath({ session_id: id });
  return `/sessions/${encoded(id)}`;
}

/** The address of the list of traces with these filters. */
export function tracesPath(filters) {
  return "/traces" + query(filters);
}

/** `?a=1&b=2` of what is set, or nothing. */
export function query(params) {
  const set = Object.entries(params || {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = set.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&");
  return text && "?" + text;
}

/** Which view a location shows: its name and, where it has one, the id in it. */
export function viewOf(pathname) {
  const [, name, id] = /^\/([^/]*)(?:\/(.+))?$/.exec(pathname.replace(/\/$/, "") || "/") || [];
  if (name === "") return { view: "overview" };
  if (name === "traces") return id ? { view: "trace", id: decoded(id) } : { view: "traces" };
  if (name === "sessions") return id ? { view: "session", id: decoded(id) } : { view: "sessions" };
  return { view: "nowhere" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
