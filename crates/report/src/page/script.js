"use strict";
(() => {
  const tip = document.getElementById("tip");
  const show = (text, event) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 6)) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 16, innerHeight - box.height - 6)) + "px";
  };
  // A mask's own colours, kept before any of its classes are faded.
  const masks = new WeakMap();
  const pixels = (img) => {
    if (!masks.has(img) && img.complete && img.naturalWidth) {
      const canvas = document.createElement("canvas");
      canvas.width = img.naturalWidth;
      canvas.height = img.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(img, 0, 0);
      const data = context.getImageData(0, 0, canvas.width, canvas.height);
      masks.set(img, { canvas, context, data, src: img.src });
    }
    return masks.get(img);
  };
  const legend = (img) => [...img.closest("figure").querySelectorAll(".swatch")];
  const key = (data, at) => data[at] + "," + data[at + 1] + "," + data[at + 2];
  const nameAt = (img, event) => {
    const mask = pixels(img);
    if (!mask) return null;
    const box = img.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * mask.canvas.width);
    const y = Math.floor((event.clientY - box.top) / box.height * mask.canvas.height);
    if (x < 0 || y < 0 || x >= mask.canvas.width || y >= mask.canvas.height) return null;
    const colour = key(mask.data.data, 4 * (y * mask.canvas.width + x));
    const swatch = legend(img).find((swatch) => swatch.dataset.colour === colour);
    return swatch ? swatch.dataset.name : null;
  };
  document.addEventListener("pointermove", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const tipped = target && target.closest("[data-tip]");
    const text = tipped ? tipped.dataset.tip : target && target.matches("img[data-mask]") ? nameAt(target, event) : null;
    if (text) show(text, event); else tip.hidden = true;
  });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  const set = (button, on) => {
    button.setAttribute("aria-pressed", String(on));
    const parts = button.closest("figure").querySelectorAll('[data-series="' + button.dataset.for + '"]');
    for (const part of parts) part.classList.toggle("off", !on);
  };
  const fade = (figure) => {
    const chosen = new Set([...figure.querySelectorAll(".swatch[aria-pressed=true]")].map((s) => s.dataset.colour));
    for (const img of figure.querySelectorAll("img[data-mask]")) {
      const mask = pixels(img);
      if (!mask) continue;
      if (chosen.size === 0) { img.src = mask.src; continue; }
      const copy = new ImageData(new Uint8ClampedArray(mask.data.data), mask.canvas.width, mask.canvas.height);
      for (let at = 0; at < copy.data.length; at += 4) {
        if (chosen.has(key(copy.data, at))) continue;
        for (let c = 0; c < 3; c++) copy.data[at + c] = 150 + copy.data[at + c] * 0.12;
      }
      mask.context.putImageData(copy, 0, 0);
      img.src = mask.canvas.toDataURL();
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button) return;
    const pressed = button.getAttribute("aria-pressed") === "true";
    if (button.classList.contains("all")) {
      const switches = [...button.parentElement.querySelectorAll("[data-for]")];
      const on = switches.every((one) => one.getAttribute("aria-pressed") === "false");
      for (const one of switches) set(one, on);
    } else if (button.dataset.for !== undefined) {
      set(button, !pressed);
    } else if (button.classList.contains("swatch")) {
      button.setAttribute("aria-pressed", String(!pressed));
      fade(button.closest("figure"));
    }
  });
  addEventListener("beforeprint", () => {
    for (const img of document.querySelectorAll("img[loading]")) img.loading = "eager";
    for (const part of document.querySelectorAll("details")) part.open = true;
  });
})();
