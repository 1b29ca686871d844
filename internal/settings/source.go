package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"farol/internal/db"
	"farol/internal/record"
)

// Source is a container that a listing found, with the members it can be read
// through. Who can read a conversation is who takes part in it, so Via is
// sealed; the ids of containers stand beside completeness and gaps already.
//
// Sources are kept here and not read from the archive, which knows who takes
// part but neither through whom a listing saw it nor whose consent stands.
type Source struct {
	Kind    record.Kind
	ID      string
	Dept    int64
	Private bool
	Via     []string
}

// KeepSources keeps what a listing of a kind found. A whole listing replaces
// what was kept; another one adds to it. Rows that are as before are not
// written again.
func (s *Settings) KeepSources(ctx context.Context, kind record.Kind, found []Source, whole bool) error {
	old, err := s.sources(ctx)
	if err != nil {
		return err
	}
	gone := map[string]Source{}
	for _, o := range old {
		if o.Kind == kind {
			gone[o.ID] = o
		}
	}
	err = s.db.Update(ctx, func(tx *db.Tx) error {
		for _, f := range found {
			f.Kind = kind
			o, known := gone[f.ID]
			delete(gone, f.ID)
			if known && o.Dept == f.Dept && o.Private == f.Private && slices.Equal(o.Via, f.Via) {
				continue
			}
			via, err := json.Marshal(f.Via)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO source(kind,container,dept,private,via) VALUES(?,?,?,?,?)",
				string(kind), f.ID, f.Dept, f.Private, s.box.Seal(via, f.aad())); err != nil {
				return err
			}
		}
		if !whole {
			return nil
		}
		for id := range gone {
			if _, err := tx.ExecContext(ctx, "DELETE FROM source WHERE kind=? AND container=?", string(kind), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep what a listing found: %w", err)
	}
	return nil
}

// Sources lists what is kept. Members whose consent does not stand any more
// are left out, and so is what could be read only through them.
func (s *Settings) Sources(ctx context.Context) ([]Source, error) {
	kept, err := s.sources(ctx)
	if err != nil {
		return nil, err
	}
	consents, err := s.Consents(ctx)
	if err != nil {
		return nil, err
	}
	stands := map[string]bool{}
	for _, c := range consents {
		if c.State == Active {
			stands[c.Person], stands[c.UnionID] = true, true
		}
	}
	for i := range kept {
		kept[i].Via = slices.DeleteFunc(kept[i].Via, func(p string) bool { return !stands[p] })
	}
	return slices.DeleteFunc(kept, func(k Source) bool { return len(k.Via) == 0 }), nil
}

func (s *Settings) sources(ctx context.Context) ([]Source, error) {
	var out []Source
	err := s.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT kind, container, dept, private, via FROM source")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var o Source
			var sealed []byte
			if err := rows.Scan(&o.Kind, &o.ID, &o.Dept, &o.Private, &sealed); err != nil {
				return err
			}
			via, err := s.box.Open(sealed, o.aad())
			if err != nil {
				return err
			}
			if err := json.Unmarshal(via, &o.Via); err != nil {
				return err
			}
			out = append(out, o)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read what the listings found: %w", err)
	}
	return out, nil
}

func (o Source) aad() []byte { return []byte("farol source " + string(o.Kind) + "/" + o.ID) }
