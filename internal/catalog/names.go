package catalog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"farol/internal/db"
	"farol/internal/record"
)

// Depts lists every department with its name.
func (c *Catalog) Depts(ctx context.Context) ([]record.Dept, error) {
	var out []record.Dept
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, parent, sealed FROM dept ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d record.Dept
			var sealed []byte
			if err := rows.Scan(&d.ID, &d.Parent, &sealed); err != nil {
				return err
			}
			if err := c.openJSON(sealed, &d.Name, "dept", strconv.AppendInt(nil, d.ID, 10)); err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list departments: %w", err)
	}
	return out, nil
}

// PersonName opens the name of a person by catalog id, "" when unknown.
func (c *Catalog) PersonName(ctx context.Context, id int64) (string, error) {
	c.mu.Lock()
	name, ok := c.names[id]
	c.mu.Unlock()
	if ok || id == 0 {
		return name, nil
	}
	var p Person
	err := c.db.View(ctx, func(tx *db.Tx) error {
		var sealed []byte
		err := tx.QueryRowContext(ctx, "SELECT sealed FROM person WHERE id=?", id).Scan(&sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		return c.openJSON(sealed, &p, "person", binary.BigEndian.AppendUint64(nil, uint64(id)))
	})
	if err != nil {
		return "", fmt.Errorf("open a person's name: %w", err)
	}
	c.mu.Lock()
	if len(c.names) > 50000 {
		clear(c.names)
	}
	c.names[id] = p.Name
	c.mu.Unlock()
	return p.Name, nil
}
