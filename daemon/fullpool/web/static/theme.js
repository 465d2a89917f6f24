// Light or dark: as the system has it, or as was chosen here.
"use strict";
(() => {
  const page = document.documentElement;
  const chosen = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  if (chosen()) page.dataset.theme = chosen();
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", () => {
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const now = page.dataset.theme ?? (dark ? "dark" : "light");
      page.dataset.theme = now === "dark" ? "light" : "dark";
      try { localStorage.setItem("theme", page.dataset.theme); } catch { /* not kept, then */ }
      document.dispatchEvent(new Event("theme"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      document.dispatchEvent(new Event("theme")));
  });
})();
