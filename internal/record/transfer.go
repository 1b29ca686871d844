package record

import (
	"regexp"
	"slices"
	"time"
)

// Transfer says where a copy lies and, outside Macau, what lets the bytes leave:
// Law 8/2005, articles 19 and 20, and for the mainland the standard contract for
// the Greater Bay Area. The zero value is Macau.
type Transfer struct {
	Country  string `json:"country"`            // ISO 3166-1, two letters
	Basis    string `json:"basis,omitempty"`    // of TransferBases
	City     string `json:"city,omitempty"`     // of BayCities, where the basis is the contract
	Filing   string `json:"filing,omitempty"`   // number of the notification, authorisation or contract
	Filed    string `json:"filed,omitempty"`    // day in Macau, 2026-11-29
	Until    string `json:"until,omitempty"`    // last day on which it holds
	Reviewer string `json:"reviewer,omitempty"` // who looked at it
}

// TransferBases are what lets bytes leave Macau; for the mainland it is the
// contract, which serves for nowhere else.
var TransferBases = []string{"consent", "authorisation", "contract"}

// BayCities are the mainland cities that the standard contract is for.
var BayCities = []string{"guangzhou", "shenzhen", "zhuhai", "foshan", "huizhou", "dongguan", "zhongshan", "jiangmen", "zhaoqing"}

var twoLetters = regexp.MustCompile(`^[A-Z]{2}$`)

// Abroad reports a copy outside Macau.
func (t Transfer) Abroad() bool { return t.Country != "" && t.Country != "MO" }

// Missing are the fields, by their JSON names, without which nothing may leave
// now. Inside Macau there are none.
func (t Transfer) Missing(now time.Time) []string {
	if !t.Abroad() {
		return nil
	}
	today := now.In(Macau).Format(time.DateOnly)
	var out []string
	need := func(field string, ok bool) {
		if !ok {
			out = append(out, field)
		}
	}
	need("country", twoLetters.MatchString(t.Country))
	need("basis", slices.Contains(TransferBases, t.Basis) && (t.Basis == "contract") == (t.Country == "CN"))
	need("city", t.Country != "CN" || slices.Contains(BayCities, t.City))
	need("filing", t.Filing != "")
	need("filed", day(t.Filed) && t.Filed <= today)
	need("until", day(t.Until) && t.Until >= today)
	need("reviewer", t.Reviewer != "")
	return out
}

func day(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// MostLockDays is the longest object lock of a copy, ten years: a strict one
// cannot be taken back.
const MostLockDays = 3650
