// The console works without this file. It adds: focus after a swap, copying a
// hash, a warning before the session ends, and live progress over an event
// stream. Nothing here decides anything.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("htmx-ready");

  // After a swap whose control is gone, the new heading takes the focus, so
  // that a screen reader and the keyboard go on from there.
  document.addEventListener("htmx:afterSwap", (e) => {
    if (document.activeElement && document.activeElement !== document.body) return;
    const h = e.target.querySelector("h1, h2, h3");
    if (!h) return;
    h.tabIndex = -1;
    h.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:beforeRequest", (e) => e.detail.target && e.detail.target.setAttribute("aria-busy", "true"));
  document.addEventListener("htmx:afterRequest", (e) => e.detail.target && e.detail.target.removeAttribute("aria-busy"));

  // Copy buttons: the text is in data-copy; the label says that it is done.
  document.addEventListener("click", async (e) => {
    const b = e.target.closest("[data-copy]");
    if (!b || !navigator.clipboard) return;
    await navigator.clipboard.writeText(b.dataset.copy);
    toast(b.dataset.done || "", "safe");
  });

  // Print buttons.
  document.addEventListener("click", (e) => {
    if (e.target.closest("[data-print]")) window.print();
  });

  // A choice that acts at once, like the point in time.
  document.addEventListener("change", (e) => {
    const f = e.target.closest("form[data-instant]");
    if (f) f.requestSubmit();
  });

  // The slider says the point it stands on before it is let go.
  document.addEventListener("input", (e) => {
    if (e.target.type !== "range" || !e.target.dataset.labels) return;
    const out = e.target.form.querySelector("output");
    const names = e.target.dataset.labels.split("|");
    if (out) out.value = names[e.target.valueAsNumber] || out.value;
  });

  function toast(text, state) {
    const box = document.getElementById("toasts");
    if (!box || !text) return;
    const t = document.createElement("div");
    t.className = "toast";
    t.dataset.s = state;
    t.textContent = text;
    box.append(t);
    if (state === "safe") setTimeout(() => t.remove(), 6000);
  }

  // The session's end is announced two minutes before, with a link that keeps
  // it. Every request moves the end; the server decides.
  const idle = Number(root.dataset.idle || 0);
  let warn;
  function rearm() {
    clearTimeout(warn);
    const box = document.getElementById("session-end");
    if (!idle || !box) return;
    box.hidden = true;
    warn = setTimeout(() => { box.hidden = false; box.querySelector("a, button").focus(); }, (idle - 120) * 1000);
  }
  document.addEventListener("htmx:afterRequest", (e) => { if (!e.detail.elt.closest("[data-poll]")) rearm(); });
  document.addEventListener("click", async (e) => {
    const k = e.target.closest("[data-keep]");
    if (!k) return;
    e.preventDefault();
    if ((await fetch(k.href, { credentials: "same-origin" })).ok) rearm();
  });
  rearm();

  // Live progress: an element with data-live names its stream; every message
  // is the element's new inside. The quarter marks are said once each.
  const streams = new Map();
  function live() {
    for (const [el, s] of streams) if (!el.isConnected) { s.close(); streams.delete(el); }
    for (const el of document.querySelectorAll("[data-live]")) {
      if (streams.has(el)) continue;
      const s = new EventSource(el.dataset.live);
      streams.set(el, s);
      s.addEventListener("fragment", (m) => {
        el.innerHTML = m.data;
        const p = el.querySelector("progress[data-total]");
        const say = document.getElementById("progress-said");
        const quarter = p ? Math.floor(p.value / 25) * 25 : 0;
        if (say && quarter > Number(say.dataset.q || 0)) {
          say.dataset.q = quarter;
          say.textContent = p.getAttribute("aria-label") + " " + quarter + "%";
        }
      });
      s.addEventListener("end", () => { s.close(); location.reload(); });
    }
  }
  document.addEventListener("htmx:afterSwap", live);
  live();
})();
