package static

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAssetsAreServedForEverUnderTheirHash(t *testing.T) {
	for _, name := range []string{"tokens.css", "console.css", "console.js", "vendor/htmx-2.0.11/htmx.min.js"} {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest("GET", URL(name), nil))
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", URL(name), w.Code, w.Header())
		}
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/static/console.css", nil))
	if w.Code != 404 {
		t.Errorf("a name without hash was served: %d", w.Code)
	}
}

func TestSheetsPointToHashedFiles(t *testing.T) {
	if body := string(served[URL("console.css")].body); !strings.Contains(body, "url("+URL("contours.svg")+")") {
		t.Error("console.css does not point to the hashed contours.svg")
	}
}

// TestOurScriptsDoWithoutDangerousParts: nothing is run that was text, nothing
// is kept in the browser, and no other window is listened to. What a stream
// brings is HTML that the server has drawn and escaped.
func TestOurScriptsDoWithoutDangerousParts(t *testing.T) {
	for _, name := range []string{"console.js", "passkey.js", "link.js"} {
		body := string(served[URL(name)].body)
		for _, bad := range []string{"eval(", "new Function", "document.write", "insertAdjacentHTML", "outerHTML", "localStorage", "sessionStorage", "indexedDB", "document.cookie", "postMessage", "\"message\"", "__proto__", "onpaste", "http:"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s uses %s", name, bad)
			}
		}
		if n := strings.Count(body, "innerHTML"); n > 0 && (name != "console.js" || n > 1) {
			t.Errorf("%s writes HTML in %d places", name, n)
		}
		if !strings.Contains(body, `"use strict"`) {
			t.Errorf("%s is not strict", name)
		}
	}
}

func TestEveryAssetSaysWhatItIs(t *testing.T) {
	for u, a := range served {
		if a.mime == "" || strings.HasPrefix(a.mime, "text/") && !strings.Contains(a.mime, "charset=utf-8") || strings.HasSuffix(u, ".svg") && a.mime != "image/svg+xml; charset=utf-8" {
			t.Errorf("%s is %q", u, a.mime)
		}
	}
}

func TestUnknownNamesPanic(t *testing.T) {
	for _, f := range []func(){func() { URL("nothing.css") }, func() { Icon("nothing") }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}

func TestHtmxIsTheFileThatTheReadmeNames(t *testing.T) {
	b, err := files.ReadFile("vendor/htmx-2.0.11/README.md")
	if err != nil {
		t.Fatal(err)
	}
	js, err := files.ReadFile("vendor/htmx-2.0.11/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), sum(js)) {
		t.Errorf("README does not name %s", sum(js))
	}
}

func sum(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
