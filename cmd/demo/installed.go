package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sayHeld prints on one line what an installed Farol holds, so that two moments
// of its life can be compared: items by kind, and how many hits words have.
func (w *world) sayHeld(ctx context.Context) error {
	s, err := w.status(ctx)
	if err != nil {
		return err
	}
	kinds := map[string]int64{}
	for _, c := range s.Counts {
		kinds[c.Kind] += c.Items
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, kinds[k]))
	}
	for _, q := range []string{"order", "報價"} {
		var r struct{ Count int }
		if err := w.farol(ctx, &r, "search", q); err != nil {
			return fmt.Errorf("search: %w", err)
		}
		parts = append(parts, fmt.Sprintf("%s found %d times", q, r.Count))
	}
	fmt.Println("held:", strings.Join(parts, ", "))
	return nil
}
