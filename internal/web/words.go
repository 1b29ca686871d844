package web

import (
	"mime"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/templates/ui"
)

// words says values in the reader's language; now is one moment for the page.
type words struct {
	l   i18n.Lang
	now time.Time
}

func (s *Server) words(c echo.Context) words { return words{visitOf(c).lang, s.d.Now()} }

func (w words) t(id string, args ...any) string { return w.l.T(id, args...) }

// moment is a time as the page shows it: the clock today, else the day too.
func (w words) moment(t time.Time) ui.Moment {
	if t.IsZero() || t.Unix() <= 0 {
		return ui.Moment{Text: w.t("time.unknown")}
	}
	m := w.full(t)
	a, b := t.In(i18n.Macau), w.now.In(i18n.Macau)
	switch {
	case a.YearDay() == b.YearDay() && a.Year() == b.Year():
		m.Text = w.l.Clock(t)
	case a.Year() == b.Year():
		m.Text = w.day(t) + " " + w.l.Clock(t)
	}
	return m
}

// full is a time with its date and year.
func (w words) full(t time.Time) ui.Moment {
	if t.IsZero() || t.Unix() <= 0 {
		return ui.Moment{Text: w.t("time.unknown")}
	}
	return ui.Moment{ISO: t.In(i18n.Macau).Format(time.RFC3339), UTC: t.UTC().Format(time.DateTime), Text: w.l.Time(t)}
}

// date is a moment of which only the day matters.
func (w words) date(t time.Time) ui.Moment {
	m := w.full(t)
	if m.ISO != "" {
		m.Text = w.l.Date(t)
	}
	return m
}

// day is a date without its year.
func (w words) day(t time.Time) string {
	t = t.In(i18n.Macau)
	switch w.l {
	case i18n.ZhHant, i18n.ZhHans:
		return t.Format("1月2日")
	case i18n.PT:
		return t.Format("02/01")
	}
	return t.Format("2 Jan")
}

// weekday heads a day of a conversation.
func (w words) weekday(t time.Time) string {
	t = t.In(i18n.Macau)
	return w.t("time.day", "date", w.l.Date(t), "weekday", w.t("weekday."+[]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}[t.Weekday()]))
}

// age says how long ago t was.
func (w words) age(t time.Time) string { return w.l.Duration(w.now.Sub(t).Round(time.Second)) }

// lag is how far something is behind; below a second no figure is honest.
func (w words) lag(d time.Duration) string {
	if d < time.Second {
		return w.t("lag.none")
	}
	return w.l.Duration(d)
}

// by is who did something; the appliance itself has a word of its own.
func (w words) by(account string) string {
	if account == "system" {
		return w.t("by.system")
	}
	return account
}

func (w words) n(n int64) string { return w.l.Number(n) }

var kindIcons = map[record.Kind]string{record.Chat: "messages-square", record.Files: "folder", record.Approvals: "stamp", record.Contacts: "contact-round"}

// hitIcons are for one item of a kind.
var hitIcons = map[record.Kind]string{record.Chat: "message-square-text", record.Files: "file-text", record.Approvals: "stamp", record.Contacts: "contact-round"}

func (w words) kind(k record.Kind) string { return w.t("kind." + string(k)) }

func (w words) class(c record.Class) string {
	return w.t("class." + []string{"open", "internal", "confidential", "secret"}[min(max(int(c), 0), 3)])
}

func (w words) role(r string) string { return w.t("role." + r) }

func (w words) purpose(p string) string {
	if p == "" {
		return ""
	}
	return w.t("purpose." + p)
}

func (w words) purposes(allowed func(policy.Purpose) bool, on string) []ui.Choice {
	var out []ui.Choice
	for _, p := range policy.Purposes {
		if allowed(p) {
			out = append(out, ui.Choice{Value: string(p), Label: w.purpose(string(p)), Hint: w.t("purpose." + string(p) + ".hint"), On: string(p) == on})
		}
	}
	return out
}

// disposition names a download in any script.
func disposition(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 32 || strings.ContainsRune(`/\":*?<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment; filename*=UTF-8''" + url.PathEscape(name)
}

// query builds an address with the parameters that are set.
func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
