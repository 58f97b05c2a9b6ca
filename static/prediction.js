// A prediction's page: goes on by itself after a lost connection, copies the link, prints.
"use strict";

const RETRY_MS = 2000;
const notice = document.getElementById("connection");

function retryLater(event) {
  const part = event.detail.elt;
  if (notice) notice.hidden = false;
  setTimeout(() => { if (part.isConnected) window.htmx.trigger(part, "retry"); }, RETRY_MS);
}

function showButtons() {
  document.querySelectorAll("[data-copy], [data-print]").forEach((button) => { button.hidden = false; });
}

document.addEventListener("htmx:sendError", retryLater);
document.addEventListener("htmx:timeout", retryLater);
document.addEventListener("htmx:responseError", retryLater);
document.addEventListener("htmx:afterSwap", () => {
  if (notice) notice.hidden = true;
  showButtons();
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-print]");
  if (!button) return;
  if ("print" in button.dataset) window.print();
  else {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    await navigator.clipboard.writeText(field.value);
  }
});
showButtons();
