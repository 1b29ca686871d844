package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"farol/internal/record"
)

// OffsiteLimit is how fast data may be sent to the off-site node, and when.
// The zero value is no limit.
type OffsiteLimit struct {
	Kbit int64          `json:"kbit"` // thousands of bits a second; 0 = none
	Days []time.Weekday `json:"days"` // on which it counts
	From int            `json:"from"` // minute of the day in Macau
	To   int            `json:"to"`   // minute of the day; the same as From: all day, before it: the next day
}

// LeastKbit and MostKbit bound a limit.
const (
	LeastKbit = 100
	MostKbit  = 10_000_000
)

// OffsiteLimit reads the limit.
func (s *Settings) OffsiteLimit(ctx context.Context) (l OffsiteLimit, err error) {
	_, err = s.GetJSON(ctx, OffsiteLimited, &l)
	return l, err
}

// SetOffsiteLimit keeps it. Whoever sends has to be told.
func (s *Settings) SetOffsiteLimit(ctx context.Context, l OffsiteLimit) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write the limit: %w", err)
	}
	return s.Set(ctx, map[string]string{OffsiteLimited: string(b)})
}

// OffsiteTransfer reads where the node lies and what lets the bytes leave for it.
func (s *Settings) OffsiteTransfer(ctx context.Context) (t record.Transfer, err error) {
	_, err = s.GetJSON(ctx, OffsiteTransfer, &t)
	return t, err
}

// WitnessTransfer reads the same of the second witness.
func (s *Settings) WitnessTransfer(ctx context.Context) (t record.Transfer, err error) {
	_, err = s.GetJSON(ctx, WitnessTransfer, &t)
	return t, err
}

// SetOffsiteTransfer keeps it. Whoever sends has to be told.
func (s *Settings) SetOffsiteTransfer(ctx context.Context, t record.Transfer) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write where the node lies: %w", err)
	}
	return s.Set(ctx, map[string]string{OffsiteTransfer: string(b)})
}
