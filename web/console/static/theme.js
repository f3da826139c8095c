// Light, dark or as the system has it. A plain script in the head, so that no page is painted in the wrong colours first.
"use strict";
(() => {
  const KEY = "switchroom.theme";
  const root = document.documentElement;
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  const stored = () => {
    try { return localStorage.getItem(KEY) || "system"; } catch { return "system"; }
  };
  window.switchroomTheme = {
    get: stored,
    set(theme) {
      try { localStorage.setItem(KEY, theme); } catch { /* It is then not remembered. */ }
      apply(theme);
      window.dispatchEvent(new Event("themechange"));
    },
  };
  apply(stored());
})();
