// Package static holds the console's assets. Every file is hashed at start and
// served under a name that contains the hash, so a browser may keep it for
// ever; an unknown name panics, so the first template test catches a typo.
package static

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

//go:embed *.css *.js *.svg vendor
var files embed.FS

type asset struct {
	body []byte
	mime string
}

// Prefix is the path under which [Handler] must be mounted.
const Prefix = "/static/"

// icons is where the pinned icons lie.
const icons = "vendor/lucide-1.62.0"

// Filled once at start and never changed.
var (
	urls   = map[string]string{} // file → URL
	served = map[string]asset{}  // URL → bytes
	inner  = map[string]string{} // icon → its nodes
)

var (
	cssURL  = regexp.MustCompile(`url\(([a-z0-9.-]+)\)`)
	iconBox = regexp.MustCompile(`(?s)^.*?<svg[^>]*>(.*)</svg>\s*$`)
	spaces  = regexp.MustCompile(`\s*\n\s*`)
)

func init() {
	var sheets []string
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		switch {
		case path.Dir(name) == icons && path.Ext(name) == ".svg":
			m := iconBox.FindSubmatch(b)
			if m == nil {
				panic("static: " + name + " is no icon")
			}
			inner[strings.TrimSuffix(path.Base(name), ".svg")] = strings.TrimSpace(spaces.ReplaceAllString(string(m[1]), ""))
		case path.Ext(name) == ".css":
			sheets = append(sheets, name) // after the files they point to
		default:
			add(name, b)
		}
		return nil
	})
	if err != nil {
		panic(err) // embedded: wrong only if the build is
	}
	for _, name := range sheets {
		b, err := files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		add(name, cssURL.ReplaceAllFunc(b, func(m []byte) []byte {
			return []byte("url(" + URL(string(cssURL.FindSubmatch(m)[1])) + ")")
		}))
	}
}

func add(name string, b []byte) {
	sum := sha256.Sum256(b)
	ext := path.Ext(name)
	u := Prefix + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	kind := mime.TypeByExtension(ext)
	switch ext { // not left to the machine's own table
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml; charset=utf-8"
	case "", ".md":
		kind = "text/plain; charset=utf-8"
	}
	urls[name], served[u] = u, asset{b, kind}
}

// URL is the address of an asset. It panics on an unknown name.
func URL(name string) string {
	u, ok := urls[name]
	if !ok {
		panic("static: no asset " + name)
	}
	return u
}

// Icon is the inside of an icon's svg element. It panics on an unknown name.
func Icon(name string) string {
	s, ok := inner[name]
	if !ok {
		panic("static: no icon " + name)
	}
	return s
}

// Icons lists the names of all icons, for the test that none is unused.
func Icons() []string {
	var out []string
	for name := range inner {
		out = append(out, name)
	}
	return out
}

// Handler serves the assets under their hashed names only.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := served[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", a.mime)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	})
}
