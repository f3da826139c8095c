// What pages share: loading, streams, time, and commands that are pending until an event confirms them.

import { command } from "./api.js";
import { useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { reasonText } from "./words.js";
import { follow } from "./stream.js";
import { tell } from "./toasts.js";

// A node has 10 s to confirm a command; then the event that says so is on its way.
const CONFIRM_MS = 15000;
const RELOAD_MS = 400;
const FALLBACK_MS = 20000;

/** Calls `load(signal)` now, every `seconds` while the page is seen, and when `dependencies` change. Returns
 * `{data, error, loading, reload}`: `data` stays while it is loaded anew, and `error` is that of the last load. `reload` resolves
 * to what it has loaded, or to nothing if it failed or there is a later one. */
export function useLoad(load, dependencies, seconds = 0) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const latest = useRef(null);
  const loader = useRef(load);
  loader.current = load;

  const reload = useCallback(async () => {
    latest.current?.abort();
    const controller = new AbortController();
    latest.current = controller;
    try {
      const data = await loader.current(controller.signal);
      if (latest.current !== controller) return undefined;
      setState({ data, error: null, loading: false });
      return data;
    } catch (error) {
      if (latest.current === controller && error.name !== "AbortError") {
        setState((before) => ({ data: before.data, error, loading: false }));
      }
      return undefined;
    }
  }, []);

  useEffect(() => {
    setState({ data: null, error: null, loading: true });
    reload();
    return () => {
      latest.current?.abort();
      latest.current = null;
    };
  }, dependencies);

  useEffect(() => {
    if (!seconds) return undefined;
    const timer = setInterval(() => document.hidden || reload(), seconds * 1000);
    const seen = () => document.hidden || reload();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [seconds]);

  return { ...state, reload };
}

/** The pages of a listing behind the first, `{rows, cursor, busy, more, forget}`: `more(cursor)` has `load(cursor, signal)` load
 * the next. There are none again when `dependencies` change, or by `forget`; `cursor` is null as long as there are none. */
export function useFurther(load, dependencies) {
  const [further, setFurther] = useState({ rows: [], cursor: null, busy: false });
  const listing = useRef(null);
  const forget = () => {
    listing.current?.abort();
    listing.current = new AbortController();
    setFurther({ rows: [], cursor: null, busy: false });
  };
  useEffect(() => {
    forget();
    return () => listing.current.abort();
  }, dependencies);
  const more = async (cursor) => {
    const { signal } = listing.current; // A page that comes once another listing is shown is none of that.
    setFurther((before) => ({ ...before, busy: true }));
    try {
      const page = await load(cursor, signal);
      if (!signal.aborted) setFurther((before) => ({ rows: [...before.rows, ...page.rows], cursor: page.cursor || "", busy: false }));
    } catch (error) {
      if (signal.aborted) return;
      setFurther((before) => ({ ...before, busy: false }));
      tell("bad", error.message);
    }
  };
  return { ...further, more, forget };
}

/** Listings by pages: `load(cursor, signal)` returns `{rows, cursor}`. `more` loads the next page behind those there are. */
export function usePages(load, dependencies, seconds = 0) {
  const further = useFurther(load, dependencies);
  const first = useLoad((signal) => load("", signal), dependencies, seconds);
  const cursor = further.cursor ?? first.data?.cursor ?? "";
  const rows = first.data ? [...first.data.rows, ...further.rows] : null;
  return { ...first, rows, cursor, more: () => further.more(cursor), busy: further.busy };
}

/** Follows a stream while the component is there; `source` is `{path, app, query}` or null. `onEvent` also gets an event of
 * the type `live` when the stream begins, and when it is back after it was lost: what was loaded before may lack something. */
export function useStream(source, onEvent) {
  const handler = useRef(onEvent);
  handler.current = onEvent;
  useEffect(() => {
    if (!source) return undefined;
    const changed = (state, reason) => {
      if (state === "live") handler.current({ id: null, type: "live", data: null });
      window.dispatchEvent(new CustomEvent("streamstate", { detail: { state, reason } }));
    };
    const stop = follow(source.path, source, (event) => handler.current(event), changed);
    return () => {
      stop();
      window.dispatchEvent(new CustomEvent("streamstate", { detail: null }));
    };
  }, [JSON.stringify(source)]);
}

/** Hands the events of one stream on to parts of a page: `emit(event)`, and `subscribe(listener)`, which returns what ends it. */
export function useFeed() {
  const listeners = useRef(new Set());
  return useMemo(() => ({
    emit: (event) => listeners.current.forEach((listener) => listener(event)),
    subscribe: (listener) => {
      listeners.current.add(listener);
      return () => listeners.current.delete(listener);
    },
  }), []);
}

/** Reloads soon, once for many calls; and now and then by itself, for what no event tells. */
export function useReloadSoon(reload) {
  const timer = useRef(0);
  useEffect(() => {
    const regular = setInterval(() => document.hidden || reload(), FALLBACK_MS);
    return () => {
      clearInterval(regular);
      clearTimeout(timer.current);
    };
  }, []);
  return useCallback(() => {
    if (timer.current) return;
    timer.current = setTimeout(() => {
      timer.current = 0;
      reload();
    }, RELOAD_MS);
  }, []);
}

/** Commands that are pending until an event confirms them.
 *
 * `run({key, what, path, app, body, method, confirmedBy, failedBy, settled})`: `confirmedBy(event)` and `failedBy(event)` say
 * what an event means for it; without `confirmedBy` the response is all there is to wait for. Resolves to the response's
 * body, or null if it was refused. `seen(event)` is to be called with every event; `pending[key]` is `what`. */
export function useCommands() {
  const [pending, setPending] = useState({});
  const open = useRef(new Map());

  const show = () => setPending(Object.fromEntries([...open.current].map(([key, one]) => [key, one.what])));
  const close = (key, one) => {
    if (open.current.get(key) !== one) return false;
    clearTimeout(one.timer);
    open.current.delete(key);
    show();
    return true;
  };

  useEffect(() => () => {
    open.current.forEach((one) => clearTimeout(one.timer));
    open.current.clear(); // Nobody waits for what a response that is still to come leads to.
  }, []);

  const run = useCallback(async (one) => {
    if (open.current.has(one.key)) return null;
    open.current.set(one.key, one);
    show();
    try {
      const answer = await command(one.method || "POST", one.path, { app: one.app, body: one.body });
      if (one.confirmedBy) {
        one.timer = setTimeout(() => {
          if (close(one.key, one)) tell("bad", `${one.what}: no confirmation came within ${CONFIRM_MS / 1000} s.`);
        }, CONFIRM_MS);
      } else {
        close(one.key, one);
        if (one.settled) tell("good", one.settled);
      }
      return answer;
    } catch (error) {
      close(one.key, one);
      tell("bad", `${one.what}: ${error.message}`);
      return null;
    }
  }, []);

  const seen = useCallback((event) => {
    for (const [key, one] of [...open.current]) {
      if (one.confirmedBy?.(event)) {
        if (close(key, one) && one.settled) tell("good", one.settled);
      } else if (one.failedBy?.(event)) {
        if (close(key, one)) tell("bad", `${one.what}: ${reasonText(event.data.data?.reason ?? event.data.data?.cause)}`);
      }
    }
  }, []);

  return useMemo(() => ({ run, seen, pending }), [pending]);
}

const listeners = new Set();
setInterval(() => document.hidden || listeners.forEach((listener) => listener(Date.now())), 1000);

/** The time, each second. */
export function useNow() {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    listeners.add(setNow);
    return () => listeners.delete(setNow);
  }, []);
  return now;
}

/** A value that follows another with a delay: for a field that is typed into. */
export function useDelayed(value, ms = 300) {
  const [delayed, setDelayed] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setDelayed(value), ms);
    return () => clearTimeout(timer);
  }, [value]);
  return delayed;
}

/** What the window's title says. */
export function useTitle(title) {
  useEffect(() => {
    document.title = title ? `${title} · Switchroom` : "Switchroom";
  }, [title]);
}
