// The API's pages: sends the box as JSON and shows the page that comes back. A button that is pressed
// twice sends one Idempotency-Key twice, so its work is done once. Each answer has a key of its own.
"use strict";

const DOUBLE_CLICK_MS = 700;
let sentAt = -Infinity;

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-key]");
  if (!form) return;
  event.preventDefault();
  if (performance.now() - sentAt < DOUBLE_CLICK_MS) return; // the second click may meet the next page
  sentAt = performance.now();
  const method = event.submitter.value;
  const headers = {
    Accept: "text/html",
    "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
  };
  if (method === "POST") headers["Idempotency-Key"] = form.dataset.key;
  const body = method === "DELETE" ? "" : form.elements.content.value.trim();
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(form.action, { method, headers, body: body || undefined });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.getElementById("answer")?.focus();
});
