// Package i18n holds the four catalogs, chooses a reader's language, and
// carries errors that people may read. Sentences are whole strings with
// {placeholders}; no caller glues fragments.
package i18n

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/text/language"
)

// Lang is a language of the console.
type Lang string

// The languages, the default first.
const (
	ZhHant Lang = "zh-Hant"
	ZhHans Lang = "zh-Hans"
	PT     Lang = "pt"
	EN     Lang = "en"
)

// Langs lists them in the order of the language menu.
var Langs = []Lang{ZhHant, ZhHans, PT, EN}

// Names are the languages in their own words.
var Names = map[Lang]string{ZhHant: "繁體中文", ZhHans: "简体中文", PT: "Português", EN: "English"}

//go:embed messages
var files embed.FS

// catalogs is filled once at start and never changed.
var catalogs = func() map[Lang]map[string]string {
	out := map[Lang]map[string]string{}
	for _, l := range Langs {
		m := map[string]string{}
		names, err := fs.Glob(files, "messages/*."+string(l)+".json")
		if err != nil {
			panic(err)
		}
		for _, name := range names {
			b, err := files.ReadFile(name)
			if err != nil {
				panic(err) // embedded: wrong only if the build is
			}
			part := map[string]string{}
			if err := json.Unmarshal(b, &part); err != nil {
				panic(name + ": " + err.Error())
			}
			for id, text := range part {
				m[id] = text
			}
		}
		out[l] = m
	}
	return out
}()

// Has reports whether a message exists.
func Has(id string) bool { _, ok := catalogs[EN][id]; return ok }

// T is the message id in language l. args are pairs of placeholder and value.
// A message that is missing falls back to English, then to its id.
func (l Lang) T(id string, args ...any) string {
	text, ok := catalogs[l][id]
	if !ok {
		if text, ok = catalogs[EN][id]; !ok {
			return id
		}
	}
	if len(args) == 0 {
		return text
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(args[i])+"}", fmt.Sprint(args[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

type key struct{}

// With puts a language into the context.
func With(ctx context.Context, l Lang) context.Context { return context.WithValue(ctx, key{}, l) }

// From is the context's language, the default when none was put.
func From(ctx context.Context) Lang {
	if l, ok := ctx.Value(key{}).(Lang); ok {
		return l
	}
	return ZhHant
}

// T is the message id in the context's language.
func T(ctx context.Context, id string, args ...any) string { return From(ctx).T(id, args...) }

var matcher = language.NewMatcher([]language.Tag{language.MustParse("zh-Hant"), language.MustParse("zh-Hans"), language.Portuguese, language.English})

// Match chooses a language for an Accept-Language header.
func Match(accept string) Lang {
	if accept == "" {
		return ZhHant
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return ZhHant
	}
	for _, t := range tags { // in the reader's order: zh-MO must not lose to a later plain zh
		if _, i, conf := matcher.Match(t); conf != language.No {
			return Langs[i]
		}
	}
	return ZhHant
}

// Parse reads a language name.
func Parse(s string) (Lang, bool) {
	for _, l := range Langs {
		if string(l) == s {
			return l, true
		}
	}
	return ZhHant, false
}

// Error is a failure that a person may read: a message id with its arguments.
// Err is the cause, for the log only.
type Error struct {
	ID   string
	Args []any
	Err  error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.ID + ": " + e.Err.Error()
	}
	return e.ID
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Text is the message in language l.
func (e *Error) Text(l Lang) string { return l.T(e.ID, e.Args...) }
