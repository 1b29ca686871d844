package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"farol/internal/db"
	"farol/internal/record"
)

// Chosen is what is to be backed up: a decision per department and kind.
// A department without its own decision follows its parent; the root without
// one is included. New departments are therefore included by themselves.
type Chosen struct {
	rules   map[rule]bool
	parents map[int64]int64
}

type rule struct {
	dept int64
	kind record.Kind
}

// Chosen loads the scope over the departments as they are now.
func (s *Settings) Chosen(ctx context.Context, depts []record.Dept) (*Chosen, error) {
	c := &Chosen{rules: map[rule]bool{}, parents: map[int64]int64{}}
	for _, d := range depts {
		c.parents[d.ID] = d.Parent
	}
	err := s.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT dept, kind, included FROM scope_dept")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r rule
			var in bool
			if err := rows.Scan(&r.dept, &r.kind, &in); err != nil {
				return err
			}
			c.rules[r] = in
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read backup scope: %w", err)
	}
	return c, nil
}

// Includes reports whether records of a kind in a department are captured.
func (c *Chosen) Includes(dept int64, kind record.Kind) bool {
	for range 64 { // a cycle in a damaged tree must end
		if in, ok := c.rules[rule{dept, kind}]; ok {
			return in
		}
		parent, ok := c.parents[dept]
		if !ok || dept <= 1 {
			break
		}
		dept = parent
	}
	if in, ok := c.rules[rule{1, kind}]; ok {
		return in
	}
	return true
}

// Own reports a department's own decision, and whether it has one.
func (c *Chosen) Own(dept int64, kind record.Kind) (in, ok bool) {
	in, ok = c.rules[rule{dept, kind}]
	return in, ok
}

// Mark names the scope: two that include the same by the same decisions have
// the same mark.
func (c *Chosen) Mark() string {
	var lines []string
	for r, in := range c.rules {
		lines = append(lines, fmt.Sprintf("%d %s %t\n", r.dept, r.kind, in))
	}
	slices.Sort(lines)
	return record.HashOf([]byte(strings.Join(lines, ""))).String()
}

// Decision is one row of the scope.
type Decision struct {
	Dept     int64
	Kind     record.Kind
	Included bool
}

// Choose replaces the whole scope in one transaction.
func (s *Settings) Choose(ctx context.Context, ds []Decision) error {
	err := s.db.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM scope_dept"); err != nil {
			return err
		}
		for _, d := range ds {
			if _, err := tx.ExecContext(ctx, "INSERT INTO scope_dept VALUES(?,?,?)", d.Dept, string(d.Kind), d.Included); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write backup scope: %w", err)
	}
	return nil
}
