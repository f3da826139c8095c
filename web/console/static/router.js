// Pages by the part of the address after `#`, such as `#/rooms/demo/acW68-room-…?tab=log`.

import { useEffect, useState } from "./html.js";

/** `{path: ["rooms", "demo", …], query: {tab: "log"}}` of the current address. */
export function current() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a page: `link("rooms", app, room)`, with a query as the last argument if it is an object. */
export function link(...parts) {
  const query = typeof parts.at(-1) === "object" ? parts.pop() : {};
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(...parts) {
  location.hash = link(...parts);
}

/** Changes what a page shows without a new entry in the browser's history. */
export function replace(...parts) {
  history.replaceState(null, "", link(...parts));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const changed = () => setRoute(current());
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return route;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
