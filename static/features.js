// The forms of features: a number that stands in a field stays what it is when its unit is changed,
// and the line above the buttons counts what is filled in. Without this script a number is not
// converted, and the line is right as soon as the form is sent.
"use strict";

const GROUPS = [
  /^([+-]?)(\d*)(?:[.,](\d*))?(e[+-]?\d+)?$/i,
  /^([+-]?)([1-9]\d{0,2}(?: \d{3})+)(?:[.,](\d+))?(e[+-]?\d+)?$/i,
  /^([+-]?)([1-9]\d{0,2}(?:'\d{3})+)(?:[.,](\d+))?(e[+-]?\d+)?$/i,
  /^([+-]?)([1-9]\d{0,2}(?:,\d{3}){2,})(?:\.(\d+))?(e[+-]?\d+)?$/i,
  /^([+-]?)([1-9]\d{0,2}(?:\.\d{3}){2,})(?:,(\d+))?(e[+-]?\d+)?$/i,
  /^([+-]?)([1-9]\d{0,2},\d{3})\.(\d+)(e[+-]?\d+)?$/i,
  /^([+-]?)([1-9]\d{0,2}\.\d{3}),(\d+)(e[+-]?\d+)?$/i,
];
const AMBIGUOUS = /^[+-]?[1-9]\d{0,2},\d{3}(e[+-]?\d+)?$/i;

// The number that a text says, as carprice/pages/number_text.py reads it; null if it refuses it.
function readNumber(text) {
  if (text.length > 100 || /(?!\p{Nd})\p{N}/u.test(text)) return null;
  const plain = text
    .normalize("NFKC")
    .replace(/[\u2010-\u2013\u2212]/g, "-")
    .replace(/[\u2018\u2019\u02bc]/g, "'")
    .replace(/\p{Cf}/gu, "")
    .replace(/\s/g, " ")
    .trim();
  if (AMBIGUOUS.test(plain)) return null;
  for (const form of GROUPS) {
    const [, sign, whole, fraction, exponent] = plain.match(form) ?? [];
    if (!whole && !fraction) continue;
    const value = Number(`${sign}${whole.replace(/\D/g, "") || 0}.${fraction || 0}${exponent ?? ""}`);
    return Number.isFinite(value) ? value : null;
  }
  return null;
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
    const number = isTyped ? null : readNumber(shown.text);
    if (number === null) return;
    const value = convert(number, shown.unit.dataset, unit.dataset);
    const isWhole = "whole" in select.dataset && unit.dataset.factor === undefined;
    if (unit === shown.unit) input.value = shown.text;
    else if (Number.isFinite(value)) {
      input.value = isWhole ? Math.round(value) : Number(value.toPrecision(6));
    }
  });
}

// Whether a field has what can be read; a choice that was refused stays in its list until it changes.
function isGiven(field) {
  if (field.tagName !== "SELECT") return readNumber(field.value) !== null;
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
