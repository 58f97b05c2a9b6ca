// Swagger UI has a dark look of its own, which a class turns on.
"use strict";

const root = document.documentElement;
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function chooseLook() {
  const isDark = root.dataset.theme === "dark" || (root.dataset.theme !== "light" && prefersDark.matches);
  root.classList.toggle("dark-mode", isDark);
}

prefersDark.addEventListener("change", chooseLook);
chooseLook();
