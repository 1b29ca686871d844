// Command pages serves every page of the console with invented data, to
// be looked at while templates and styles are written.
//
//	go run ./internal/web/pages -listen 127.0.0.1:8090
//
// ?lang=pt and ?theme=dark choose language and theme.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"log"
	"net/http"
	"strings"

	"farol/internal/auth"
	"farol/internal/i18n"
	"farol/static"
	"farol/templates/fixtures"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8090", "address to serve on")
	flag.Parse()
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, static.Handler())
	for _, path := range []string{"/setup/admin", "/settings/authenticator", "/join/account"} {
		mux.HandleFunc("GET "+path+"/qr.png", qr)
	}
	mux.HandleFunc("GET /pages/{name}", page)
	mux.HandleFunc("GET /{$}", index)
	log.Printf("pages on http://%s/", *listen)
	log.Fatal(http.ListenAndServe(*listen, mux))
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>pages</title><ul>")
	for _, p := range fixtures.All() {
		n := html.EscapeString(p.Name)
		fmt.Fprintf(w, `<li>%s: `, n)
		for _, l := range i18n.Langs {
			fmt.Fprintf(w, `<a href="/pages/%s?lang=%s">%s</a> `, n, l, l)
		}
		fmt.Fprintf(w, `<a href="/pages/%s?theme=dark">dark</a>`, n)
	}
	fmt.Fprint(w, "</ul>")
}

func page(w http.ResponseWriter, r *http.Request) {
	lang, _ := i18n.Parse(r.URL.Query().Get("lang"))
	for _, p := range fixtures.All() {
		if p.Name != r.PathValue("name") {
			continue
		}
		var b bytes.Buffer
		if err := p.Page.Page().Render(i18n.With(r.Context(), lang), &b); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out := b.String()
		if t := r.URL.Query().Get("theme"); t == "dark" || t == "light" {
			out = strings.Replace(out, "<html", `<html data-theme="`+t+`"`, 1)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		fmt.Fprint(w, out)
		return
	}
	http.NotFound(w, r)
}

func qr(w http.ResponseWriter, _ *http.Request) {
	s, err := auth.NewSecret("admin")
	if err == nil {
		var png []byte
		if png, err = s.QR(320); err == nil {
			w.Header().Set("Content-Type", "image/png")
			_, err = w.Write(png)
		}
	}
	if err != nil {
		log.Print(err)
	}
}
