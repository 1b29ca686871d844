package i18n

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Macau is the time zone of the readers.
var Macau = time.FixedZone("Asia/Macau", 8*3600)

// Number groups the digits: 1,204; in Portuguese with a no-break space.
func (l Lang) Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	sep := ","
	if l == PT {
		sep = "\u00a0"
	}
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	s = strings.Join(append([]string{s}, parts...), sep)
	if neg {
		s = "-" + s
	}
	return s
}

// Decimal writes f with so many digits after the point, or the comma.
func (l Lang) Decimal(f float64, digits int) string {
	s := strconv.FormatFloat(f, 'f', digits, 64)
	if l == PT {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// Size writes bytes in decimal units.
func (l Lang) Size(n int64) string {
	if n < 1000 {
		return l.Number(n) + "\u00a0B"
	}
	f := float64(n)
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		f /= 1000
		if f < 1000 || u == "TB" {
			digits := 1
			if f >= 100 {
				digits = 0
			}
			return l.Decimal(f, digits) + "\u00a0" + u
		}
	}
	return ""
}

// Percent writes a share of whole; it never rounds up to 100.
func (l Lang) Percent(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	if part == whole {
		return "100%"
	}
	f := float64(part) / float64(whole) * 100
	return l.Decimal(min(f, 99.99), 2) + "%"
}

// Time is day and minute in Macau.
func (l Lang) Time(t time.Time) string {
	t = t.In(Macau)
	return l.Date(t) + " " + t.Format("15:04")
}

// Clock is the time of day in Macau.
func (l Lang) Clock(t time.Time) string { return t.In(Macau).Format("15:04") }

// Date is the day in Macau.
func (l Lang) Date(t time.Time) string {
	t = t.In(Macau)
	switch l {
	case ZhHant, ZhHans:
		return fmt.Sprintf("%d年%d月%d日", t.Year(), t.Month(), t.Day())
	case PT:
		return t.Format("02/01/2006")
	}
	return t.Format("2 Jan 2006")
}

// Duration writes a length of time in words, two units at most.
func (l Lang) Duration(d time.Duration) string {
	if d < time.Second {
		return l.T("unit.ms", "n", d.Milliseconds())
	}
	type part struct {
		id string
		n  int64
	}
	s := int64(d.Round(time.Second).Seconds())
	parts := []part{{"unit.day", s / 86400}, {"unit.hour", s / 3600 % 24}, {"unit.minute", s / 60 % 60}, {"unit.second", s % 60}}
	var out []string
	for i, p := range parts {
		if p.n == 0 && len(out) == 0 && i < 3 {
			continue
		}
		if p.n > 0 || len(out) == 0 {
			out = append(out, l.T(p.id, "n", p.n))
		}
		if len(out) == 2 || i > 0 && len(out) == 1 && parts[i-1].n > 0 {
			break
		}
	}
	return strings.Join(out, " ")
}
