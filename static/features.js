// The forms of features: a number stays what it is when its unit is changed, and the line above the
// buttons counts what is filled in. Without this script both are right as soon as a form is sent.
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

// Whether a number was typed before its unit was chosen: 2000 is no engine size in cubic inches, but
// one in cubic centimeters. Then it is left as it is.
function isMeant(number, from, to, select) {
  const { low, high } = select.dataset;
  const isKnown = (unit) => {
    const own = toOwn(number, unit.dataset);
    return Number(low) <= own && own <= Number(high);
  };
  return low !== undefined && !isKnown(from) && isKnown(to);
}

function convertOnChange(select) {
  const input = select.parentElement.querySelector("input");
  let unit = select.selectedOptions[0];
  let typed = null; // what was typed, and in which unit, so that a way there and back changes nothing
  input.addEventListener("input", () => { typed = null; });
  select.addEventListener("change", () => {
    typed ??= { text: input.value, unit };
    unit = select.selectedOptions[0];
    const number = readNumber(typed.text);
    if (number === null) return;
    const value = convert(number, typed.unit.dataset, unit.dataset);
    const isWhole = "whole" in select.dataset && unit.dataset.factor === undefined;
    if (unit === typed.unit || isMeant(number, typed.unit, unit, select)) input.value = typed.text;
    else if (Number.isFinite(value)) {
      input.value = isWhole ? Math.round(value) : Number(value.toPrecision(6));
    }
  });
}

function countOnInput(form) {
  const line = form.querySelector("#given");
  if (!line) return;
  const fields = [...form.querySelectorAll("[data-counted]")];
  const total = Number(line.dataset.total);
  form.addEventListener("input", () => {
    const given = fields.filter((field) => field.value.trim()).length;
    const assumed = total - given;
    line.firstElementChild.textContent =
      `${given} of ${total} feature${total === 1 ? "" : "s"} ${given === 1 ? "is" : "are"} yours, ` +
      `${assumed} ${assumed === 1 ? "is a typical value" : "are typical values"}.`;
  });
}

document.querySelectorAll(".with-unit select").forEach(convertOnChange);
document.querySelectorAll("form").forEach(countOnInput);
