// The forms of features: a number that stands in a field stays what it is when its unit is changed,
// and whole numbers have buttons that step. Whether a field can be read is for the server to say,
// when it is left. Without this script all of it can be typed.
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

// Buttons beside a whole number, which step from what stands there or else from the typical value.
function addStepper(input) {
  const box = document.createElement("div");
  box.className = "stepper";
  const label = input.labels[0].textContent.trim();
  const buttons = [-1, 1].map((step) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = step < 0 ? "\u2212" : "+";
    button.setAttribute("aria-label", `${label} ${button.textContent}1`);
    button.addEventListener("click", () => {
      const start = input.value.trim() === "" ? Number(input.dataset.typical) : plainNumber(input.value);
      if (start === null) return;
      input.value = Math.round(start) + step;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
    return button;
  });
  input.replaceWith(box);
  box.append(buttons[0], input, buttons[1]);
}

// A slider over the known cases, beside the number that it sets; in the feature's own unit alone.
function addSlider(input) {
  const low = Number(input.dataset.low), high = Number(input.dataset.high);
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: low, max: high });
  slider.step = input.dataset.whole ? 1 : "any";
  slider.value = plainNumber(input.value) ?? (input.dataset.start || (low + high) / 2);
  slider.setAttribute("aria-label", input.labels[0].textContent.trim());
  const knob = document.createElement("div");
  knob.className = "knob";
  const ends = [low, high].map((end) => {
    const text = document.createElement("span");
    text.textContent = Number(end.toPrecision(3)).toLocaleString(document.documentElement.lang);
    return text;
  });
  knob.append(ends[0], slider, ends[1]);
  (input.closest(".with-unit, .stepper") ?? input).after(knob);
  slider.addEventListener("input", () => {
    input.value = input.dataset.whole ? slider.value : Number(Number(slider.value).toPrecision(3));
  });
  input.addEventListener("change", () => {
    const number = plainNumber(input.value);
    if (number !== null) slider.value = number;
  });
  const unit = input.parentElement.querySelector("select");
  unit?.addEventListener("change", () => { knob.hidden = unit.selectedIndex !== 0; });
  knob.hidden = unit ? unit.selectedIndex !== 0 : false;
}

// What the server says beside a field is also what a screen reader is told of the field.
function markRefused() {
  document.querySelectorAll("p.error[id]").forEach((message) => {
    const field = document.getElementById(message.id.replace(/_error$/, ""));
    if (!field) return;
    const isRefused = message.textContent.trim() !== "";
    const inputs = field.matches("fieldset") ? field.querySelectorAll("input") : [field];
    inputs.forEach((input) => {
      if (isRefused) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    });
    if (field.matches("input, select")) {
      const ids = new Set((field.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
      ids.add(message.id);
      field.setAttribute("aria-describedby", [...ids].join(" "));
    }
  });
}

document.querySelectorAll(".with-unit select").forEach(convertOnChange);
document.querySelectorAll("[data-typical]").forEach(addStepper);
document.querySelectorAll(".knobs [data-low]").forEach(addSlider);
document.addEventListener("htmx:afterSettle", markRefused);
document.addEventListener("htmx:oobAfterSwap", markRefused);
