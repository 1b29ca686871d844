package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"farol/internal/db"
	"farol/internal/record"
)

// Known tells the engine what the catalog already holds of an item.
type Known struct {
	Ver   int64
	State int
	Ref   record.Ref
	Loc   record.Loc
	ID    int64
}

// Ver is the short version name under which [Known.Ver] compares.
func Ver(h record.Hash) int64 { return ver64(h) }

// Known looks up the current versions of items; absent ones are missing from
// the answer. It is for the engine, which has no reader and needs no scope.
func (c *Catalog) Known(ctx context.Context, refs []record.Ref) (map[record.Ref]Known, error) {
	out := make(map[record.Ref]Known, len(refs))
	var err error
	switch len(refs) {
	case 0:
	case 1: // what most listings show when nothing happened
		err = c.knownOne(ctx, refs[0], out)
	default:
		err = c.knownMany(ctx, refs, out)
	}
	if err != nil {
		return nil, fmt.Errorf("look up known items: %w", err)
	}
	return out, nil
}

func (c *Catalog) knownOne(ctx context.Context, ref record.Ref, out map[record.Ref]Known) error {
	k := Known{Ref: ref}
	// A lookup takes microseconds; watching whether ctx ends meanwhile takes two
	// goroutines, a tenth of them.
	if err := ctx.Err(); err != nil {
		return err
	}
	err := c.one.QueryRowContext(context.WithoutCancel(ctx), c.blind.name("item", string(ref.Kind), ref.Container, ref.ID)).Scan(&k.ID, &k.Ver, &k.State)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		out[ref] = k
	}
	return err
}

func (c *Catalog) knownMany(ctx context.Context, refs []record.Ref, out map[record.Ref]Known) error {
	by := make(map[int64]record.Ref, len(refs))
	list := []byte{'['}
	for _, ref := range refs {
		item := c.blind.name("item", string(ref.Kind), ref.Container, ref.ID)
		by[item] = ref
		list = append(strconv.AppendInt(list, item, 10), ',')
	}
	list[len(list)-1] = ']'
	return c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT item, id, ver, state FROM rec WHERE item IN (SELECT value FROM json_each(?)) AND until=0", string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var item int64
			var k Known
			if err := rows.Scan(&item, &k.ID, &k.Ver, &k.State); err != nil {
				return err
			}
			k.Ref = by[item]
			out[k.Ref] = k
		}
		return rows.Err()
	})
}
