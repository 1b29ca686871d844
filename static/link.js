// A link's token stands after the #, which a browser sends to nobody. It goes
// into the form's field, out of the address, and the form is sent. Without this
// file the reader copies it himself.
(() => {
  "use strict";
  const form = document.querySelector("form[data-link]");
  const token = location.hash.slice(1);
  if (!form || !token) return;
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.requestSubmit();
})();
