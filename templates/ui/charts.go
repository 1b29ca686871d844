package ui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// Charts are inline SVG without viewBox: x in percent, y in pixels, so text
// never scales and no script measures. Colour comes by class; every mark has a
// title and the whole says its finding in aria-label.

type drawing struct{ strings.Builder }

func (d *drawing) f(format string, args ...any) { fmt.Fprintf(&d.Builder, format, args...) }

// pct writes a position without needless digits, so that output is stable.
func pct(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

func esc(s string) string { return templ.EscapeString(s) }

func (d *drawing) titled(title, body string) {
	d.f(`<g><title>%s</title>%s</g>`, esc(title), body)
}

// TideDay is one day of a tide strip. Part is 0 to 1 of what was listed.
type TideDay struct {
	Title  string
	Part   float64
	None   bool // nothing was planned or nothing is known
	Failed bool
}

// Tide draws one column a day: the water is what is safe, the gap above it is
// what is missing, a cross is a failed day, dashes are a day without a run.
func Tide(days []TideDay, label string) templ.Component {
	var d drawing
	d.f(`<svg class="tide" role="img" aria-label="%s">`, esc(label))
	n := float64(len(days))
	for i, day := range days {
		x, w := float64(i)*100/n, 78/n
		switch {
		case day.Failed:
			d.titled(day.Title, fmt.Sprintf(`<rect class="bad" x="%s" y="1" width="%s" height="30" rx="1.5"/><line class="x" x1="%s" x2="%s" y1="11" y2="21"/><line class="x" x1="%s" x2="%s" y1="11" y2="21"/>`,
				pct(x), pct(w), pct(x+w*.2), pct(x+w*.8), pct(x+w*.8), pct(x+w*.2)))
		case day.None:
			d.titled(day.Title, fmt.Sprintf(`<rect class="none" x="%s" y="1" width="%s" height="30" rx="1.5"/>`, pct(x), pct(w)))
		default:
			gap, air := 0, 0
			if day.Part < 0.9995 {
				gap, air = max(5, int((1-day.Part)*32+.5)), 2 // a small gap is still seen
			}
			class := "full"
			if i == len(days)-1 {
				class = "now"
			}
			body := fmt.Sprintf(`<rect class="%s" x="%s" y="%d" width="%s" height="%d" rx="1.5"/>`, class, pct(x), min(gap+air, 32), pct(w), max(32-gap-air, 0))
			if gap > 0 {
				body += fmt.Sprintf(`<rect class="gap" x="%s" y="0" width="%s" height="%d" rx="1.5"/>`, pct(x), pct(w), gap)
			}
			d.titled(day.Title, body)
		}
	}
	d.f(`</svg>`)
	return templ.Raw(d.String())
}

// RulerMark is a finished run on the scale bar; At is 0 to 1 of the day.
type RulerMark struct {
	At    float64
	Tall  bool // a full run
	Late  bool // after a gap
	Title string
}

// RulerHour is a labelled hour; At is where it begins.
type RulerHour struct {
	At    float64
	Label string // "" for an unlabelled one
	Dark  bool
}

// RulerGap is a stretch without a backup.
type RulerGap struct {
	From, To    float64
	Title, Text string
	Bad         bool // still going on
}

// Ruler draws the last 24 hours as the scale bar of a sea chart.
func Ruler(hours []RulerHour, marks []RulerMark, gaps []RulerGap, now, label string) templ.Component {
	var d drawing
	d.f(`<svg role="img" aria-label="%s">`, esc(label))
	for i, h := range hours {
		end := 1.0
		if i+1 < len(hours) {
			end = hours[i+1].At
		}
		class := "sc0"
		if h.Dark {
			class = "sc1"
		}
		d.f(`<rect class="%s" x="%s" y="38" width="%s" height="5"/>`, class, pct(h.At*100), pct((end-h.At)*100))
		if h.Label != "" && h.At > .02 && h.At < .9 {
			opt := ""
			if i%6 != 0 {
				opt = ` class="opt"`
			}
			d.f(`<text%s x="%s" y="59" text-anchor="middle">%s</text>`, opt, pct(h.At*100), esc(h.Label))
		}
	}
	for _, g := range gaps {
		class := "hatch"
		if g.Bad {
			class += " bad"
		}
		d.titled(g.Title, fmt.Sprintf(`<rect class="%s" x="%s" y="2" width="%s" height="36"/>`, class, pct(g.From*100), pct((g.To-g.From)*100)))
		if g.Text != "" {
			anchor, dx := "start", 6
			if g.From > .5 {
				anchor, dx = "end", -6
			}
			d.f(`<text class="opt" x="%s" dx="%d" y="14" text-anchor="%s">%s</text>`, pct(g.From*100), dx, anchor, esc(g.Text))
		}
	}
	for _, m := range marks {
		class, y, h := "run", 22, 16
		if m.Late {
			class = "late"
		}
		if m.Tall {
			y, h = 8, 30
		}
		d.titled(m.Title, fmt.Sprintf(`<rect class="%s" x="%s" y="%d" width="2.5" height="%d" rx="1"/>`, class, pct(m.At*99.8), y, h))
	}
	d.f(`<rect class="now" x="100%%" y="0" width="2" height="43"/><text x="100%%" y="59" text-anchor="end">%s</text></svg>`, esc(now))
	return templ.Raw(d.String())
}

// BarPart is one part of a stacked bar.
type BarPart struct {
	Value float64
	Title string
}

// StackBar draws what fills a whole.
func StackBar(parts []BarPart, total float64, label string) templ.Component {
	var d drawing
	d.f(`<svg class="chart" height="18" role="img" aria-label="%s">`, esc(label))
	x := 0.0
	if total <= 0 {
		total = 1
	}
	for i, p := range parts {
		w := p.Value / total * 100
		d.titled(p.Title, fmt.Sprintf(`<rect class="f%d" x="%s" y="0" width="%s" height="18"/>`, i%5+1, pct(x), pct(max(w-.35, .3))))
		x += w
	}
	d.f(`<rect class="fw" x="%s" y="0" width="%s" height="18"/></svg>`, pct(min(x, 100)), pct(max(100-x, 0)))
	return templ.Raw(d.String())
}

// Swatch is the legend's square of series i; 0 is what is free.
func Swatch(i int) templ.Component {
	class := "fw"
	if i > 0 {
		class = "f" + strconv.Itoa((i-1)%5+1)
	}
	return templ.Raw(`<svg viewBox="0 0 12 12" aria-hidden="true"><rect class="` + class + `" width="12" height="12" rx="2.5"/></svg>`)
}

// Key is the legend's square of the tide strip.
func Key(kind string) templ.Component {
	body := `<rect class="` + kind + `" x=".5" y=".5" width="11" height="11" rx="2"/>`
	switch kind {
	case "gap":
		body = `<rect class="fs" width="12" height="12" rx="2"/>`
	case "bad":
		body += `<line class="x" x1="3.5" x2="8.5" y1="3.5" y2="8.5"/><line class="x" x1="8.5" x2="3.5" y1="3.5" y2="8.5"/>`
	}
	return templ.Raw(`<svg class="key" viewBox="0 0 12 12" aria-hidden="true">` + body + `</svg>`)
}

// Column is one bar of a histogram.
type Column struct {
	Label, Title string
	Value        int
}

// Histogram draws when it happened: one column a day, the highest is named.
func Histogram(cols []Column, label string) templ.Component {
	var d drawing
	d.f(`<svg class="chart" height="68" role="img" aria-label="%s"><line class="ax" x1="0" x2="100%%" y1="50.5" y2="50.5"/>`, esc(label))
	top, best := 1, 0
	for i, c := range cols {
		if c.Value > top {
			top, best = c.Value, i
		}
	}
	n := float64(max(len(cols), 1))
	for i, c := range cols {
		if c.Value == 0 {
			continue
		}
		h := max(2, c.Value*46/top)
		class := "ft"
		if c.Value*4 >= top {
			class = "f1"
		}
		d.titled(c.Title, fmt.Sprintf(`<rect class="%s" x="%s" y="%d" width="%s" height="%d" rx="1"/>`, class, pct(float64(i)*100/n), 50-h, pct(72/n), h))
		if i == 0 || i == len(cols)-1 || i == best {
			anchor, x := "middle", (float64(i)+.36)*100/n
			if i == 0 {
				anchor, x = "start", 0
			} else if i == len(cols)-1 {
				anchor, x = "end", 100
			}
			if i == best || best < len(cols)*4/5 && best > len(cols)/5 {
				d.f(`<text x="%s" y="65" text-anchor="%s">%s</text>`, pct(x), anchor, esc(c.Label))
			}
		}
	}
	d.f(`</svg>`)
	return templ.Raw(d.String())
}

// Shares draws k of n shares opening one lock.
func Shares(n, k int, names []string, any, alone, label string) templ.Component {
	var d drawing
	d.f(`<svg class="chart chain shares" viewBox="0 0 400 150" role="img" aria-label="%s">`, esc(label))
	step := 400.0 / float64(n)
	for i := range n {
		x := step*float64(i) + step/2
		line, box := "k", "kn"
		if i >= k {
			line, box = "open", "open"
		}
		w := min(step-8, 92)
		d.f(`<path class="%s" d="M%.0f 52 C %.0f 84, 200 70, 200 98" fill="none"/><rect class="%s" x="%.0f" y="14" width="%.0f" height="38" rx="8"/><text class="han" x="%.0f" y="38" text-anchor="middle">%s</text>`,
			line, x, x, box, x-w/2, w, x, esc(names[i]))
	}
	d.f(`<circle class="kn" cx="200" cy="118" r="20"/><path class="k" d="M193 116v-5a7 7 0 0 1 14 0v5M190 116h20v12h-20z" fill="none"/><text class="lbl" x="232" y="115">%s</text><text class="han" x="232" y="132">%s</text></svg>`, esc(any), esc(alone))
	return templ.Raw(d.String())
}

// Chain draws the anchor chain: entry, root, witness.
func Chain(links []string, open bool, label string) templ.Component {
	var d drawing
	d.f(`<svg class="chart chain" height="58" role="img" aria-label="%s">`, esc(label))
	n := len(links)
	for i := range n - 1 {
		class := "k"
		if open && i == n-2 {
			class = "open"
		}
		x0, x1 := (float64(i)+.5)*100/float64(n), (float64(i)+1.5)*100/float64(n)
		d.f(`<line class="%s" x1="%s" x2="%s" y1="18" y2="18"/>`, class, pct(x0), pct(x1))
	}
	for i, l := range links {
		x := (float64(i) + .5) * 100 / float64(n)
		class := "kn"
		if open && i == n-1 {
			class = "kn open"
		}
		d.f(`<circle class="%s" cx="%s" cy="18" r="9"/><text class="han" x="%s" y="46" text-anchor="middle">%s</text>`, class, pct(x), pct(x), esc(l))
	}
	d.f(`</svg>`)
	return templ.Raw(d.String())
}

// Ticks draws the points in time under the slider.
func Ticks(n int, first, last string) templ.Component {
	var d drawing
	d.f(`<svg aria-hidden="true">`)
	step := max(1, n/120)
	for i := 0; i < n; i += step {
		x := .8 + 98.4*float64(i)/float64(max(n-1, 1))
		class, y := "tk", 6
		if i == 0 || i >= n-step {
			class, y = "tk big", 9
		}
		d.f(`<line class="%s" x1="%s" x2="%s" y1="1" y2="%d"/>`, class, pct(x), pct(x), y)
	}
	d.f(`<text x="0%%" y="20">%s</text><text x="100%%" y="20" text-anchor="end">%s</text></svg>`, esc(first), esc(last))
	return templ.Raw(d.String())
}

func depthBars(class int) templ.Component {
	var d drawing
	d.f(`<svg viewBox="0 0 18 15" aria-hidden="true">`)
	for i := range 4 {
		on := ""
		if i <= class {
			on = ` class="on"`
		}
		d.f(`<rect x="%s" y="%d" width="3.2" height="%d"%s/>`, strconv.FormatFloat(float64(i)*4.4+.5, 'f', 1, 64), 11-3*i, 3*i+3, on)
	}
	d.f(`</svg>`)
	return templ.Raw(d.String())
}
