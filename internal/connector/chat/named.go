package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"farol/internal/connector"
)

// perCall is how many messages one call may name.
const perCall = 50

// PullNamed reads messages by name, over all conversations of a reader at
// once, through as few readers as can see them.
func (Chat) PullNamed(ctx context.Context, env *connector.Env, want []connector.Named, emit func(connector.Page) error) error {
	for len(want) > 0 {
		person := widest(want)
		if person == "" {
			return nil // nobody can read what is left
		}
		var mine []connector.Named
		want = slices.DeleteFunc(want, func(w connector.Named) bool {
			if slices.Contains(w.Source.Via, person) {
				mine = append(mine, w)
				return true
			}
			return false
		})
		for part := range slices.Chunk(mine, perCall) {
			p, err := named(ctx, env, person, part)
			if err != nil {
				return err
			}
			if err := emit(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// widest is the reader who can see most of want.
func widest(want []connector.Named) (best string) {
	n := map[string]int{}
	for _, w := range want {
		for _, p := range w.Source.Via {
			n[p]++
		}
	}
	for p, c := range n {
		if best == "" || c > n[best] || c == n[best] && p < best {
			best = p
		}
	}
	return best
}

func named(ctx context.Context, env *connector.Env, person string, part []connector.Named) (p connector.Page, err error) {
	ids := make([]string, len(part))
	by := make(map[string]connector.Source, len(part))
	for i, w := range part {
		ids[i] = w.ID
		by[w.ID] = w.Source
	}
	p.Asked = env.Now()
	raws, err := env.Client.MessagesByID(ctx, person, ids)
	if err != nil {
		return p, fmt.Errorf("read messages by name: %w", err)
	}
	for _, raw := range raws {
		var m message
		if json.Unmarshal(raw, &m) != nil {
			continue
		}
		src, ok := by[m.ID]
		if !ok {
			continue
		}
		it, err := item(env, src, person, raw)
		if err != nil {
			continue // reading on meets it again and names it
		}
		p.Items = append(p.Items, it)
	}
	return p, nil
}
