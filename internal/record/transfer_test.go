package record

import (
	"slices"
	"testing"
	"time"
)

func TestNothingLeavesMacauWithoutWhatTheLawAsksFor(t *testing.T) {
	now := time.Date(2026, 11, 29, 17, 0, 0, 0, time.UTC) // the 30th in Macau
	whole := Transfer{Country: "HK", Basis: "authorisation", Filing: "DSPDP-2026-17", Filed: "2026-11-30", Until: "2026-11-30", Reviewer: "lei.wong"}
	mainland := Transfer{Country: "CN", Basis: "contract", City: "zhuhai", Filing: "粵備 2026-3", Filed: "2026-01-05", Until: "2027-01-05", Reviewer: "lei.wong"}
	with := func(t Transfer, fn func(*Transfer)) Transfer { fn(&t); return t }
	for what, k := range map[string]struct {
		t    Transfer
		want []string
	}{
		"Macau":                 {Transfer{Country: "MO"}, nil},
		"said nowhere":          {Transfer{}, nil},
		"Hong Kong":             {whole, nil},
		"mainland":              {mainland, nil},
		"nothing but a country": {Transfer{Country: "PT"}, []string{"basis", "filing", "filed", "until", "reviewer"}},
		"no country":            {with(whole, func(t *Transfer) { t.Country = "hk" }), []string{"country"}},
		"filed tomorrow":        {with(whole, func(t *Transfer) { t.Filed = "2026-12-01" }), []string{"filed"}},
		"lapsed yesterday":      {with(whole, func(t *Transfer) { t.Until = "2026-11-29" }), []string{"until"}},
		"no such day":           {with(whole, func(t *Transfer) { t.Until = "2027-02-30" }), []string{"until"}},
		"mainland by consent":   {with(mainland, func(t *Transfer) { t.Basis = "consent" }), []string{"basis"}},
		"contract for Portugal": {with(mainland, func(t *Transfer) { t.Country = "PT" }), []string{"basis"}},
		"Shanghai":              {with(mainland, func(t *Transfer) { t.City = "shanghai" }), []string{"city"}},
	} {
		if got := k.t.Missing(now); !slices.Equal(got, k.want) {
			t.Errorf("%s: %v is missing, want %v", what, got, k.want)
		}
	}
}
