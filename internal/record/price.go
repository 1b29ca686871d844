package record

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Price is what a GB costs a month where a copy lies. The zero value says that
// nobody gave one.
type Price struct {
	PerGB    float64 `json:"per_gb,omitempty"`
	Currency string  `json:"currency,omitempty"` // three letters
}

// ErrPrice is a price that cannot be read.
var ErrPrice = errors.New("a price is a number, and a currency of three letters unless it is MOP")

var priceWords = regexp.MustCompile(`^(?:([A-Za-z]{3}) ?)?([0-9]{1,7}(?:[.,][0-9]{1,6})?)(?: ?([A-Za-z]{3}))?$`)

// ParsePrice reads "0.18", "0,18", "0.023 USD" or "USD 0.023"; without a
// currency it is MOP. Nothing, or nought, is no price.
func ParsePrice(s string) (Price, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Price{}, nil
	}
	m := priceWords.FindStringSubmatch(s)
	if m == nil || m[1] != "" && m[3] != "" {
		return Price{}, ErrPrice
	}
	f, err := strconv.ParseFloat(strings.Replace(m[2], ",", ".", 1), 64)
	if err != nil {
		return Price{}, ErrPrice
	}
	if f == 0 {
		return Price{}, nil
	}
	currency := strings.ToUpper(m[1] + m[3])
	if currency == "" {
		currency = "MOP"
	}
	return Price{f, currency}, nil
}

// String is the price as ParsePrice reads it.
func (p Price) String() string {
	if p.PerGB == 0 {
		return ""
	}
	return strconv.FormatFloat(p.PerGB, 'f', -1, 64) + " " + p.Currency
}

// Month is what bytes cost a month, in hundredths of the currency. A GB is 10⁹
// bytes, as on every page.
func (p Price) Month(bytes int64) int64 {
	return int64(math.Round(p.PerGB * float64(bytes) / 1e9 * 100))
}
