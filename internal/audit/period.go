package audit

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Period is an ISO 8601 duration in whole years, months, weeks and days, which
// is what rules of retention are written in.
type Period struct{ Years, Months, Days int }

var errPeriod = errors.New("no duration of the form P1Y6M10D")

// ParsePeriod reads a duration such as P5Y, P6M, P2W or P1Y6M. One of nothing
// is refused: it would delete at once.
func ParsePeriod(text string) (Period, error) {
	var p Period
	bad := func() (Period, error) { return Period{}, fmt.Errorf("%q: %w", text, errPeriod) }
	if len(text) < 3 || text[0] != 'P' {
		return bad()
	}
	units, last := "YMWD", -1
	for rest := text[1:]; rest != ""; {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 0 || i > 4 || i == len(rest) {
			return bad()
		}
		n, err := strconv.Atoi(rest[:i])
		if err != nil {
			return bad()
		}
		at := -1
		for j := range units {
			if units[j] == rest[i] {
				at = j
			}
		}
		if at <= last {
			return bad()
		}
		last = at
		switch rest[i] {
		case 'Y':
			p.Years = n
		case 'M':
			p.Months = n
		case 'W':
			p.Days += 7 * n
		case 'D':
			p.Days += n
		}
		rest = rest[i+1:]
	}
	if p == (Period{}) {
		return bad()
	}
	return p, nil
}

// Before is the time that lies p before t.
func (p Period) Before(t time.Time) time.Time { return t.AddDate(-p.Years, -p.Months, -p.Days) }

func (p Period) String() string {
	out := "P"
	for _, part := range []struct {
		n    int
		unit string
	}{{p.Years, "Y"}, {p.Months, "M"}, {p.Days, "D"}} {
		if part.n > 0 {
			out += strconv.Itoa(part.n) + part.unit
		}
	}
	return out
}
