package catalog

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"farol/internal/db"
	"farol/internal/record"
)

// says is everything the file says but the numbers of rows and segments.
func (c *Catalog) says(t *testing.T) (lines []string) {
	t.Helper()
	words := map[int64][]string{}
	each := func(tx *db.Tx, q string, fn func(*sql.Rows) error) {
		rows, err := tx.Query(q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		defer rows.Close()
		for rows.Next() {
			if err := fn(rows); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	err := c.db.Update(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, fts, instance)"); err != nil {
			return err
		}
		each(tx, "SELECT doc, term FROM temp.words", func(r *sql.Rows) error {
			var id int64
			var term string
			err := r.Scan(&id, &term)
			words[id] = append(words[id], term)
			return err
		})
		each(tx, "SELECT r.id, format('rec %d/%d container %d dept %d class %d author %d ms %d item %d ver %d state %d until %d seg %s off %d', seq, idx, container, dept, class, author, ms, item, ver, state, until, s.name, off) FROM rec r LEFT JOIN seg s ON s.id=r.seg", func(r *sql.Rows) error {
			var id int64
			var s string
			err := r.Scan(&id, &s)
			slices.Sort(words[id])
			lines = append(lines, fmt.Sprint(s, words[id]))
			return err
		})
		for table, q := range map[string]string{
			"container": "SELECT format('container %d kind %d dept %d private %d gone %d', id, kind, dept, private, gone), key, sealed FROM container",
			"person":    "SELECT format('person %d', id), key, sealed FROM person",
			"dept":      "SELECT format('dept %d parent %d', id, parent), CAST(id AS TEXT), sealed FROM dept",
			"meta":      "SELECT format('meta %s=%s', name, value), '', '' FROM meta",
		} {
			each(tx, q, func(r *sql.Rows) error {
				var s string
				var key, sealed []byte
				err := r.Scan(&s, &key, &sealed)
				b, oerr := c.box.Open(sealed, append([]byte(table+"\x00"), key...))
				lines = append(lines, fmt.Sprintf("%s %s", s, b))
				if oerr != nil {
					return oerr
				}
				return err
			})
		}
		_, err := tx.Exec("DROP TABLE temp.words")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// TestManyCommitsAtOnceComeOutAsOneByOne plays random histories, in which items
// change within a commit and across commits, conversations change hands and
// people their names, commit by commit and many at a time.
func TestManyCommitsAtOnceComeOutAsOneByOne(t *testing.T) {
	words := []string{"報價單", "倉庫", "invoice", "合約", ""}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		one, many := open(t, filepath.Join(t.TempDir(), "one.db")), open(t, filepath.Join(t.TempDir(), "many.db"))
		var wait []Row
		const commits = 30
		for seq := uint64(1); seq <= commits; seq++ {
			var rows []Row
			for i := range rng.IntN(8) { // a commit may hold only cursors
				box := fmt.Sprint("box", rng.IntN(4))
				r := Row{Ref: record.Ref{Kind: record.Chat, Container: box, ID: fmt.Sprint("item", rng.IntN(6))}, Ver: record.HashOf(fmt.Append(nil, seq, i)), Time: time.UnixMilli(1.7e12 + int64(rng.IntN(20))*500).UTC(),
					Author: Person{fmt.Sprint("p", rng.IntN(3)), []string{"", "李偉強", "陳大文"}[rng.IntN(3)]}, Class: record.Class(rng.IntN(4)), Index: i, Loc: record.Loc{Seg: fmt.Sprint("j", seq/4), Off: int64(seq)*100 + int64(i), Len: 1}, Dept: int64(1 + rng.IntN(3)), Text: words[rng.IntN(len(words))], Seq: seq}
				switch rng.IntN(6) {
				case 0:
					r.Ref.ID, r.State, r.Text = "@", Describes, ""
					r.Container, r.Gone = &record.Container{Kind: record.Chat, ID: box, Dept: r.Dept, Title: fmt.Sprint("title", seq, i)}, rng.IntN(5) == 0
				case 1:
					r.Ref = record.Ref{Kind: record.Contacts, Container: "org", ID: fmt.Sprint("dept", r.Dept)}
					r.OfDept = &record.Dept{ID: r.Dept, Parent: 1, Name: fmt.Sprint("name", seq)}
				}
				rows = append(rows, r)
			}
			if err := one.Apply(t.Context(), seq, slices.Clone(rows)); err != nil {
				t.Fatal(err)
			}
			wait = append(wait, rows...)
			if seq < commits && rng.IntN(7) > 0 {
				continue
			}
			if err := many.ApplyAll(t.Context(), seq, slices.Clone(wait)); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(2) == 0 { // what was applied is left out when it comes once more
				wait = nil
			}
		}
		if d := cmp.Diff(one.says(t), many.says(t)); d != "" {
			t.Fatalf("seed %d:\n%.4000s", seed, d)
		}
	}
}
