// Package templates holds the console's pages. A page is a struct of values
// that are ready to show, with a method that draws it; struct, page and its
// fragments are one file. It knows no domain type, opens nothing and decides
// nothing: handlers fill the structs.
package templates

import (
	"context"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"farol/internal/i18n"
	"farol/templates/ui"
)

// Shell is the frame around every page of a signed-in reader.
type Shell struct {
	Title   string // of the page
	Firm    string // "" before DingTalk is bound
	Version string
	Path    string // of this page, to come back to
	Theme   string // "light", "dark", "" = the system's
	User    string
	Role    string
	Nav     []NavItem
	Say     Say
	Todo    int // things that wait for this person
	Idle    int // seconds until the session ends without use
	Toast   *Toast
	Then    *Then // a state of the past is shown
}

// Then says which state of the past a page shows. It stays until the reader
// goes back to now.
type Then struct {
	Text string // state as of …
	Back string // this page now
	Seq  string // as_of of every address that leads on
}

// on is an address inside the archive that keeps to the state shown.
func (s Shell) on(address string) string {
	if s.Then == nil {
		return address
	}
	sep := "?"
	if strings.Contains(address, "?") {
		sep = "&"
	}
	return address + sep + "as_of=" + s.Then.Seq
}

// NavItem is an entry of the rail. An entry that a role may not use is absent.
type NavItem struct {
	Label, Href, Icon string
	Open              bool // this page or one below it
	Here              bool // this very page
	Sub               []NavItem
}

// Say is the band's standing answer to "is everything safe?".
type Say struct {
	State        ui.State
	Bold, Text   string
	Action, Href string // one action when something is wrong
}

// Toast is said once after an act.
type Toast struct {
	State ui.State
	Text  string
}

// Panel is what every panel can be besides filled.
type Panel struct {
	Broken string // why it could not be filled, "" when it could
	Number string // error number for support
	Stale  string // age of old figures, "" when fresh
}

// Attention prefixes the window's title when something is wrong.
func (s Say) attention(ctx context.Context) string {
	switch s.State {
	case ui.Danger:
		return i18n.T(ctx, "title.danger")
	case ui.Signal:
		return i18n.T(ctx, "title.signal")
	}
	return ""
}

// htmlLang is the tag that also picks the glyphs.
func htmlLang(ctx context.Context) string {
	switch l := i18n.From(ctx); l {
	case i18n.ZhHant:
		return "zh-Hant-MO"
	case i18n.PT:
		return "pt-PT"
	default:
		return string(l)
	}
}

func otherTheme(theme string) string {
	if theme == "dark" {
		return "light"
	}
	return "dark"
}

// langs are the entries of the language menu.
func langs(ctx context.Context) []ui.Choice {
	var out []ui.Choice
	for _, l := range i18n.Langs {
		out = append(out, ui.Choice{Value: string(l), Label: i18n.Names[l], On: l == i18n.From(ctx)})
	}
	return out
}

func langMark(ctx context.Context) string {
	return map[i18n.Lang]string{i18n.ZhHant: "繁", i18n.ZhHans: "简", i18n.PT: "PT", i18n.EN: "EN"}[i18n.From(ctx)]
}

func itoa(n int) string { return strconv.Itoa(n) }

func href(s string) templ.SafeURL { return templ.SafeURL(s) }

func current(n NavItem) string {
	if n.Here {
		return "page"
	}
	return "true"
}

// dash stands where there is nothing to say.
func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// country is what was typed, Macau before anything was.
func country(typed string) string {
	if typed == "" {
		return "MO"
	}
	return typed
}
