package record

import "testing"

func TestAPriceIsReadAsPeopleWriteIt(t *testing.T) {
	for in, want := range map[string]Price{
		"": {}, " ": {}, "0": {}, "0.00 USD": {},
		"0.18": {.18, "MOP"}, " 0,18 ": {.18, "MOP"}, "0.023 usd": {.023, "USD"}, "HKD 1.5": {1.5, "HKD"}, "0.2MOP": {.2, "MOP"}, "12": {12, "MOP"},
	} {
		got, err := ParsePrice(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v %v, want %+v", in, got, err, want)
		}
		if again, err := ParsePrice(got.String()); err != nil || again != got {
			t.Errorf("%q written back as %q: %+v %v", in, got.String(), again, err)
		}
	}
	for _, in := range []string{"-1", "free", "MOP", "1.2.3", "1,000.50", "0.1 US", "0.1 EURO", "USD 1 HKD", "1e9", "NaN", "99999999", "$1"} {
		if got, err := ParsePrice(in); err == nil {
			t.Errorf("%q was read as %+v", in, got)
		}
	}
}

func TestAMonthCostsHeldTimesPrice(t *testing.T) {
	p := Price{.18, "MOP"}
	for bytes, want := range map[int64]int64{0: 0, 1e9: 18, 1.1e12: 19800, 27_777_778: 1, 20_000_000: 0} {
		if got := p.Month(bytes); got != want {
			t.Errorf("%d bytes: %d hundredths, want %d", bytes, got, want)
		}
	}
}
