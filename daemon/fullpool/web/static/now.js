// Says so when the parts of the page can no longer be refreshed, and asks for nothing while hidden.
"use strict";
(() => {
  const offline = document.getElementById("offline"), answered = document.getElementById("answered");
  let last = new Date();
  const fail = () => { offline.hidden = false; answered.textContent = last.toISOString().slice(11, 19) + " UTC"; };
  document.body.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });
  document.body.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.xhr.status === 200) { offline.hidden = true; last = new Date(); }
  });
  document.body.addEventListener("htmx:sendError", fail);
  document.body.addEventListener("htmx:responseError", fail);
})();
