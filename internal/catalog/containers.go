package catalog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// ContainerInfo is a container with its counts.
type ContainerInfo struct {
	record.Container
	CatalogID int64
	Gone      bool
	Items     int64
	Bytes     int64
	Last      time.Time
	Deleted   int64
	Then      *Hit // its description at the commit asked for, when another one has replaced it
}

// Containers lists the containers of a scope as of a commit with what each
// holds, newest activity first.
func (c *Catalog) Containers(ctx context.Context, s record.Scope, seq uint64) ([]ContainerInfo, error) {
	cond, args := c.scope(s)
	t, targs := asOf(seq)
	var out []ContainerInfo
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT r.container, sum((r.state & 4)=0), sum(r.bytes), max(CASE WHEN (r.state & 4)=0 THEN r.ms ELSE 0 END), sum((r.state & 1)<>0 AND (r.state & 4)=0)
			FROM rec r WHERE `+cond+" AND "+t+" GROUP BY r.container ORDER BY 4 DESC", append(args, targs...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i ContainerInfo
			var last int64
			if err := rows.Scan(&i.CatalogID, &i.Items, &i.Bytes, &last, &i.Deleted); err != nil {
				return err
			}
			if last > 0 {
				i.Last = time.UnixMilli(last).UTC()
			}
			out = append(out, i)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		was, err := c.described(ctx, tx, s, seq, 0)
		if err != nil {
			return err
		}
		for n := range out {
			if err := c.fillContainer(ctx, tx, &out[n], was); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return out, nil
}

// Holders lists every container that holds anything, without counting what: a
// start must not read ten million rows for their names.
func (c *Catalog) Holders(ctx context.Context) (out []ContainerInfo, err error) {
	err = c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id FROM container c WHERE EXISTS(SELECT 1 FROM rec r WHERE r.container=c.id) ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i ContainerInfo
			if err := rows.Scan(&i.CatalogID); err != nil {
				return err
			}
			out = append(out, i)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for n := range out {
			if err := c.fillContainer(ctx, tx, &out[n], nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the known containers: %w", err)
	}
	return out, nil
}

// described finds the descriptions of containers that held at a commit and
// have been replaced since: the table of containers knows only the last.
func (c *Catalog) described(ctx context.Context, tx *db.Tx, s record.Scope, seq uint64, container int64) (map[int64]Hit, error) {
	if seq == 0 {
		return nil, nil
	}
	cond, args := c.scope(s)
	q := "SELECT " + hitColumns + " FROM rec r WHERE (r.state & 4)<>0 AND r.seq<=? AND r.until>? AND r.kind IN (?,?,?) AND " + cond
	args = append([]any{int64(seq), int64(seq), kindNumber[record.Chat], kindNumber[record.Files], kindNumber[record.Approvals]}, args...)
	if container != 0 {
		q += " AND r.container=?"
		args = append(args, container)
	}
	rows, err := tx.QueryContext(ctx, q+" ORDER BY r.seq, r.ms, r.idx", args...)
	if err != nil {
		return nil, err
	}
	hs, err := c.scanHits(ctx, tx, rows)
	out := make(map[int64]Hit, len(hs))
	for _, h := range settle(hs, seq) {
		out[h.Container] = h
	}
	return out, err
}

func (c *Catalog) fillContainer(ctx context.Context, tx *db.Tx, i *ContainerInfo, was map[int64]Hit) error {
	var sealed []byte
	if err := tx.QueryRowContext(ctx, "SELECT gone, sealed FROM container WHERE id=?", i.CatalogID).Scan(&i.Gone, &sealed); err != nil {
		return err
	}
	if h, ok := was[i.CatalogID]; ok {
		i.Then, i.Gone = &h, h.State&Tombstone != 0
	}
	return c.openJSON(sealed, &i.Container, "container", containerKey(i.CatalogID))
}

// containerKey is what the sealed name of a container is bound to.
func containerKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// ContainerDept is the department that owns a container today, whoever asks:
// it is for the log.
func (c *Catalog) ContainerDept(ctx context.Context, id int64) (dept int64, err error) {
	err = c.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT dept FROM container WHERE id=?", id).Scan(&dept)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return dept, err
}

// Container returns one container when the scope held anything of it at a
// commit (0 = now).
func (c *Catalog) Container(ctx context.Context, s record.Scope, id int64, seq uint64) (ContainerInfo, error) {
	cond, args := c.scope(s)
	t, targs := asOf(seq)
	args = append(args, targs...)
	i := ContainerInfo{CatalogID: id}
	err := c.db.View(ctx, func(tx *db.Tx) error {
		var last sql.NullInt64
		var bytes sql.NullInt64
		var items, deleted sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT sum((r.state & 4)=0), sum(r.bytes), max(r.ms), sum((r.state & 1)<>0) FROM rec r WHERE r.container=? AND `+cond+" AND "+t, append([]any{id}, args...)...).
			Scan(&items, &bytes, &last, &deleted)
		if err != nil {
			return err
		}
		if !last.Valid {
			return ErrNotFound
		}
		i.Items, i.Bytes, i.Deleted, i.Last = items.Int64, bytes.Int64, deleted.Int64, time.UnixMilli(last.Int64).UTC()
		was, err := c.described(ctx, tx, s, seq, id)
		if err != nil {
			return err
		}
		return c.fillContainer(ctx, tx, &i, was)
	})
	return i, err
}
