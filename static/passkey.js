// A button that asks the reader's device for a passkey: data-options is the
// question as the server wrote it. The answer goes into the form's field and
// the form is sent; the server decides.
(() => {
  "use strict";
  document.addEventListener("click", async (e) => {
    const b = e.target.closest("[data-passkey]");
    if (!b) return;
    e.preventDefault();
    try {
      const o = JSON.parse(b.dataset.options).publicKey;
      const PK = window.PublicKeyCredential;
      const answer = b.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: PK.parseCreationOptionsFromJSON(o) })
        : await navigator.credentials.get({ publicKey: PK.parseRequestOptionsFromJSON(o) });
      b.form.elements.credential.value = JSON.stringify(answer.toJSON());
      b.form.submit();
    } catch {
      const box = document.getElementById("toasts");
      if (!box) return;
      const t = document.createElement("div");
      t.className = "toast";
      t.dataset.s = "danger";
      t.textContent = b.dataset.failed;
      box.replaceChildren(t);
    }
  });
})();
