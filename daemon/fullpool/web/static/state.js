// Says so when a newer generation has been published than the one that a page shows.
"use strict";
(() => {
  const { root, generation } = document.body.dataset;
  const place = document.getElementById("newer");
  if (!generation || !place) return;
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch(`${root}/state`).catch(() => null);
    if (!answer?.ok) return;
    const now = await answer.json();
    place.hidden = String(now.generation) === generation;
    place.querySelector("b").textContent = now.generation;
  }, 15000);
})();
