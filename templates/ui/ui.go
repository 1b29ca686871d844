// Package ui holds the pieces of the console that know nothing of the product:
// icons, states, fields, steps, and the charts that the server draws.
package ui

import (
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"

	"github.com/a-h/templ"
)

// State is what a lamp shows. It is never colour alone.
type State string

// The states.
const (
	Safe   State = "safe"
	Signal State = "signal"
	Danger State = "danger"
	Idle   State = "idle"
	Run    State = "run"
	Hold   State = "hold"
)

// Icon is the shape of the state.
func (s State) Icon() string {
	switch s {
	case Safe:
		return "circle-check"
	case Signal:
		return "triangle-alert"
	case Danger:
		return "octagon-x"
	case Run:
		return "loader"
	case Hold:
		return "eye"
	}
	return "circle-dashed"
}

// NoteIcon is the shape on a note; an idle note informs.
func (s State) NoteIcon() string {
	if s == Idle || s == "" {
		return "info"
	}
	return s.Icon()
}

// Spin is the class of a shape that turns.
func (s State) Spin() string {
	if s == Run {
		return "spin"
	}
	return ""
}

// Moment is a time ready to show. The zero ISO is a time that is not known.
type Moment struct{ ISO, UTC, Text string }

// Problem is one thing that a form was refused for.
type Problem struct{ Field, Text string }

// Wrong is what is wrong with a field, "" for nothing.
func Wrong(of []Problem, field string) string {
	for _, p := range of {
		if p.Field == field {
			return p.Text
		}
	}
	return ""
}

// Link is a word that leads somewhere.
type Link struct{ Label, Href string }

// Choice is an entry of a select or a group of radio buttons.
type Choice struct {
	Value, Label, Hint string
	On                 bool
}

// Step is a knot on the line.
type Step struct {
	Label, Text, Href string
	Done, Now         bool
}

func (s Step) attrs() templ.Attributes {
	switch {
	case s.Now:
		return templ.Attributes{"aria-current": "step"}
	case s.Done:
		return templ.Attributes{"data-s": "safe"}
	}
	return templ.Attributes{"data-s": "idle"}
}

// Part is a run of text, marked or not.
type Part struct {
	Text string
	Hit  bool
}

// Input is a labelled text field.
type Input struct {
	Name, Label, Type, Value, Hint, Err, Auto, Mode, Place, Class string
	Max                                                           int
	Required, Focus                                               bool
}

// ID is the element's id: the field's name.
func (f Input) ID() string { return f.Name }

// InputType is the type, text when none was given.
func (f Input) InputType() string {
	if f.Type == "" {
		return "text"
	}
	return f.Type
}

func itoa(n int) string { return strconv.Itoa(n) }

// short is the last two characters of a Chinese name, the initials of another.
func short(name string) string {
	rs := []rune(strings.TrimSpace(name))
	if len(rs) == 0 {
		return "?"
	}
	var han []rune
	for _, r := range rs {
		if unicode.Is(unicode.Han, r) {
			han = append(han, r)
		}
	}
	if len(han) > 0 {
		return string(han[max(0, len(han)-2):])
	}
	out := ""
	for _, w := range strings.Fields(name) {
		r := []rune(w)[0]
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out += string(unicode.ToUpper(r))
		}
	}
	if rs := []rune(out); len(rs) > 2 {
		out = string(rs[0]) + string(rs[len(rs)-1])
	}
	if out == "" {
		return string(rs[0])
	}
	return out
}

// begin is the first two characters of a group's name.
func begin(name string) string {
	var out []rune
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			if out = append(out, r); len(out) == 2 {
				break
			}
		}
	}
	if len(out) == 0 {
		return "?"
	}
	return string(out)
}

// hue is a colour that stays with a name.
func hue(name string) string {
	h := fnv.New32a()
	h.Write([]byte(name))
	if n := h.Sum32()%5 + 1; n > 1 {
		return "h" + strconv.Itoa(int(n))
	}
	return ""
}

// cut shortens a digest in the middle.
func cut(h string) string {
	if len(h) < 20 {
		return h
	}
	return h[:8] + "…" + h[len(h)-6:]
}
