// The forms of features: a number that stands in a field stays what it is when its unit is changed,
// and the line above the buttons counts what is filled in. Whether it can be read is for the server
// to say. Without this script a number is not converted, and the line is right once the form is sent.
"use strict";

// The number that the page has put into a field; null if it is written in another way.
function plainNumber(text) {
  const plain = text.trim().replace(",", ".");
  return plain === "" || Number.isNaN(Number(plain)) ? null : Number(plain);
}

function toOwn(value, from) {
  const factor = Number(from.factor ?? 1);
  const share = from.reciprocal === undefined ? factor * value : factor / value;
  return share + Number(from.offset ?? 0);
}

function convert(value, from, to) {
  const share = toOwn(value, from) - Number(to.offset ?? 0);
  const factor = Number(to.factor ?? 1);
  return to.reciprocal === undefined ? share / factor : factor / share;
}

// A number that the page has put into its field stays what it is when its unit is changed. One that
// was typed is left as it is, for nobody but its writer knows in which unit it is: a person may type
// it first and choose its unit then. What was refused is taken for typed, as it may lack its unit.
function convertOnChange(select) {
  const input = select.parentElement.querySelector("input");
  let unit = select.selectedOptions[0];
  let isTyped = input.getAttribute("aria-invalid") === "true";
  let shown = null; // what was shown, and in which unit, so that a way there and back changes nothing
  input.addEventListener("input", () => { isTyped = true; });
  select.addEventListener("change", () => {
    shown ??= { text: input.value, unit };
    unit = select.selectedOptions[0];
    const number = isTyped ? null : plainNumber(shown.text);
    if (number === null) return;
    const value = convert(number, shown.unit.dataset, unit.dataset);
    const isWhole = "whole" in select.dataset && unit.dataset.factor === undefined;
    if (unit === shown.unit) input.value = shown.text;
    else if (Number.isFinite(value)) {
      input.value = isWhole ? Math.round(value) : Number(value.toPrecision(6));
    }
  });
}

// Whether a field is filled in; a choice that was refused stays in its list until it changes.
function isGiven(field) {
  if (field.tagName !== "SELECT") return field.value.trim() !== "";
  const isRefused = field.getAttribute("aria-invalid") === "true" && field.selectedOptions[0].defaultSelected;
  return field.value !== "" && !isRefused;
}

function countOnInput(form) {
  const line = form.querySelector("#given");
  if (!line) return;
  const fields = [...form.querySelectorAll("[data-counted]")];
  const total = Number(line.dataset.total);
  form.addEventListener("input", () => {
    const given = fields.filter(isGiven).length;
    const assumed = total - given;
    line.firstElementChild.textContent =
      `${given} of ${total} feature${total === 1 ? "" : "s"} ${given === 1 ? "is" : "are"} yours, ` +
      `${assumed} ${assumed === 1 ? "is a typical value" : "are typical values"}.`;
  });
}

document.querySelectorAll(".with-unit select").forEach(convertOnChange);
document.querySelectorAll("form").forEach(countOnInput);
