package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"farol/internal/record"
)

// circlesSetting names the departments of the closed circles.
const circlesSetting = "circles"

// Circles are the departments whose records belong to a closed circle whatever
// their names say. What lies below a department belongs to it too.
type Circles = map[record.Realms][]int64

// circleNames are the circles as they are kept.
var circleNames = map[string]record.Realms{"finance": record.Finance, "personnel": record.Personnel}

// Circles reads them.
func (s *Settings) Circles(ctx context.Context) (Circles, error) {
	kept := map[string][]int64{}
	if _, err := s.GetJSON(ctx, circlesSetting, &kept); err != nil {
		return nil, err
	}
	out := Circles{}
	for name, ids := range kept {
		realm, ok := circleNames[name]
		if !ok { // of a later version: what it closes would stand open
			return nil, fmt.Errorf("read setting %s: there is no closed circle %q", circlesSetting, name)
		}
		out[realm] = ids
	}
	return out, nil
}

// KeepCircles replaces them.
func (s *Settings) KeepCircles(ctx context.Context, c Circles) error {
	kept := map[string][]int64{}
	for name, realm := range circleNames {
		if ids := slices.Clone(c[realm]); len(ids) > 0 {
			slices.Sort(ids)
			kept[name] = slices.Compact(ids)
		}
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return s.Set(ctx, map[string]string{circlesSetting: string(b)})
}
