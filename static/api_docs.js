// Swagger UI is heavy: it is loaded when somebody opens the console. It has a dark look of its own,
// which a class turns on.
"use strict";

const root = document.documentElement;
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function chooseLook() {
  const isDark = root.dataset.theme === "dark" || (root.dataset.theme !== "light" && prefersDark.matches);
  root.classList.toggle("dark-mode", isDark);
}

function openConsole() {
  const { style, scripts } = opener.dataset;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: style }));
  for (const src of scripts.split(" ")) {
    document.head.append(Object.assign(document.createElement("script"), { src, async: false }));
  }
  document.getElementById("console").remove();
  document.getElementById("reference").remove();
}

const opener = document.getElementById("open-console");
opener.hidden = false;
opener.addEventListener("click", openConsole);
prefersDark.addEventListener("change", chooseLook);
chooseLook();
