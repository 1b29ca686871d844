package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"farol/internal/connector"
)

// PullNamed reads messages by name, over all conversations of a reader at once.
func (Chat) PullNamed(ctx context.Context, env *connector.Env, reader string, want []connector.Named) (connector.Page, error) {
	all := connector.Page{Asked: env.Now()}
	for part := range slices.Chunk(want, connector.NamesPerCall) {
		items, err := named(ctx, env, reader, part)
		if err != nil {
			return all, err
		}
		all.Items = append(all.Items, items...)
	}
	return all, nil
}

func named(ctx context.Context, env *connector.Env, person string, part []connector.Named) (items []connector.Item, err error) {
	ids := make([]string, len(part))
	by := make(map[string]connector.Source, len(part))
	for i, w := range part {
		ids[i] = w.ID
		by[w.ID] = w.Source
	}
	raws, err := env.Client.MessagesByID(ctx, person, ids)
	if err != nil {
		return nil, fmt.Errorf("read messages by name: %w", err)
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
		items = append(items, it)
	}
	return items, nil
}
