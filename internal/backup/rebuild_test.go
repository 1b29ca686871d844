package backup

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/connector/all"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/dingtalk/simulator"
	"farol/internal/keys"
	"farol/internal/record"
)

// dump is everything a catalog file says, in an order of its own: row and
// segment numbers are replaced by what they stand for, names are opened.
func dump(t *testing.T, path string, box *keys.Box) (lines []string) {
	t.Helper()
	d, err := db.Open(t.Context(), path, db.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	open := func(table string, key, sealed []byte) string {
		b, err := box.Open(sealed, append([]byte(table+"\x00"), key...))
		if err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		return string(b)
	}
	err = d.Update(t.Context(), func(tx *db.Tx) error {
		each := func(q string, fn func(*sql.Rows) error) {
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
		if _, err := tx.Exec("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, fts, instance)"); err != nil {
			return err
		}
		words := map[int64][]string{}
		each("SELECT doc, term FROM temp.words", func(r *sql.Rows) error {
			var id int64
			var term string
			err := r.Scan(&id, &term)
			words[id] = append(words[id], term)
			return err
		})
		each("SELECT r.id, format('rec %d/%d container %d dept %d kind %d class %d author %d ms %d item %d ver %d state %d until %d bytes %d seg %s off %d len %d', seq, idx, container, dept, kind, class, author, ms, item, ver, state, until, bytes, s.name, off, len) FROM rec r LEFT JOIN seg s ON s.id=r.seg", func(r *sql.Rows) error {
			var id int64
			var s string
			err := r.Scan(&id, &s)
			ws := words[id]
			slices.Sort(ws)
			lines = append(lines, fmt.Sprint(s, " words ", ws))
			return err
		})
		if _, err := tx.Exec("DROP TABLE temp.words"); err != nil {
			return err
		}
		each("SELECT format('seg %s', name) FROM seg", func(r *sql.Rows) error {
			var s string
			err := r.Scan(&s)
			lines = append(lines, s)
			return err
		})
		each("SELECT format('meta %s=%s', name, value) FROM meta", func(r *sql.Rows) error {
			var s string
			err := r.Scan(&s)
			lines = append(lines, s)
			return err
		})
		each("SELECT format('index %s %s', name, sql) FROM sqlite_master WHERE sql IS NOT NULL", func(r *sql.Rows) error {
			var s string
			err := r.Scan(&s)
			lines = append(lines, s)
			return err
		})
		for table, q := range map[string]string{
			"container": "SELECT format('container %d kind %d dept %d private %d gone %d n %d last %d', id, kind, dept, private, gone, n, last), key, sealed FROM container",
			"person":    "SELECT format('person %d', id), key, sealed FROM person",
			"dept":      "SELECT format('dept %d parent %d', id, parent), CAST(id AS TEXT), sealed FROM dept",
		} {
			each(q, func(r *sql.Rows) error {
				var s string
				var key, sealed []byte
				err := r.Scan(&s, &key, &sealed)
				lines = append(lines, s+" "+open(table, key, sealed))
				return err
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// lose closes the appliance, dumps its catalog, deletes it and has it made
// anew from the archive; it returns both dumps, how many records it took and
// the time.
func (b *bench) lose(t *testing.T) (was, is []string, n int64, took time.Duration) {
	t.Helper()
	b.close(t)
	box := keys.NewBox(b.root.Derive("control"))
	path := filepath.Join(b.dir, "catalog.db")
	was = dump(t, path, box)
	for _, ext := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + ext); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	arch, err := archive.Open(ctx, filepath.Join(b.dir, "archive"), b.root, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(ctx, path, catalog.Keys{Words: b.root.Derive("search"), Names: b.root.Derive("names")}, box, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := New(Deps{Archive: arch, Catalog: cat, Connectors: all.Connectors(), Client: func() *dingtalk.Client { return nil }})
	start := time.Now()
	if err := e.Rebuild(ctx, func(done int64) { n = done }); err != nil {
		t.Fatal(err)
	}
	took = time.Since(start)
	if err := cat.Close(); err != nil {
		t.Fatal(err)
	}
	if err := arch.Close(); err != nil {
		t.Fatal(err)
	}
	is = dump(t, path, box)
	b.open(t)
	return was, is, n, took
}

func differ(t *testing.T, was, is []string) {
	t.Helper()
	if d := cmp.Diff(was, is); d != "" {
		t.Fatalf("the rebuilt catalog differs from the one lost (%d and %d lines):\n%.4000s", len(was), len(is), d)
	}
}

// TestARebuiltCatalogEqualsTheOneLost goes through full and incremental runs,
// live traffic with edits and recalls, staff who leave, a disaster upstream,
// and folds in between.
func TestARebuiltCatalogEqualsTheOneLost(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 7, People: 24, Messages: 900})
	b.run(t, Full)
	was, is, n, _ := b.lose(t)
	differ(t, was, is) // nothing folded
	if n < 900 {
		t.Fatalf("only %d records", n)
	}
	for round := range 3 {
		if _, err := b.d.Archive.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		b.sim.Traffic(ctx, 40)
		cancel()
		b.run(t, []Mode{Incremental, Full, Incremental}[round])
		was, is, _, _ = b.lose(t)
		differ(t, was, is)
	}
	b.run(t, Full)
	b.compare(t)
}

// idle waits for a run that the engine began by itself.
func (b *bench) idle(t testing.TB) {
	t.Helper()
	if err := b.Wait(t.Context()); err != nil && !errors.Is(err, ErrIdle) {
		t.Fatal(err)
	}
}

// realRecords reads real conversations, or makes some up.
func realRecords(t *testing.T, max int) (recs []record.Record) {
	t.Helper()
	names, _ := filepath.Glob("../../../shared/realdata/*.ndjson.gz")
	type line struct{ Conversation, Sender, Text string }
	add := func(l line) {
		n := len(recs)
		raw, err := json.Marshal(map[string]any{"openMessageId": fmt.Sprintf("msg%09d==", n), "sender": map[string]string{"name": l.Sender, "openDingTalkId": l.Sender},
			"msgType": "text", "createTime": "2026-03-02 09:00:00", "content": l.Text})
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, record.Record{Ref: record.Ref{Kind: record.Chat, Container: l.Conversation, ID: fmt.Sprintf("msg%09d==", n)}, Author: l.Sender, Dept: 7,
			Time: time.UnixMilli(1.7e12 + int64(n)*1700).UTC(), Raw: raw})
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for dec := json.NewDecoder(z); len(recs) < max; {
			var l line
			if dec.Decode(&l) != nil {
				break
			}
			add(l)
		}
	}
	for len(recs) < min(max, 20_000) {
		add(line{fmt.Sprint("group ", len(recs)%40), fmt.Sprint("user", len(recs)%37), strings.Repeat(fmt.Sprint("made up words ", len(recs)%977, " 報價單 "), 3)})
	}
	return recs
}

// TestRebuildTakesRealConversationsFast prints the rate; what it must reach is
// far below what it does, because a test machine is shared.
func TestRebuildTakesRealConversationsFast(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 7, People: 12, Messages: 50})
	recs := realRecords(t, 230_000)
	for i := 0; i < len(recs); i += 4000 {
		w := &work{recs: recs[i:min(i+4000, len(recs))]}
		w.missing = make([]bool, len(w.recs))
		if err := b.submit(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.d.Archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	was, is, n, took := b.lose(t)
	rate := float64(n) / took.Seconds()
	t.Logf("%d records in %.2f s: %.0f a second", n, took.Seconds(), rate)
	if len(was) != len(is) {
		t.Errorf("%d lines, were %d", len(is), len(was))
	}
	for i := range was {
		if was[i] != is[i] {
			t.Fatalf("rebuilt %s\nwas     %s", is[i], was[i])
		}
	}
	if rate < 10_000 {
		t.Errorf("%.0f records a second", rate)
	}
}
