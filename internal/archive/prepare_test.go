package archive

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"farol/internal/record"
)

// TestTheQuickEnvelopeReaderAgrees holds the reader made by hand against the
// JSON package, on what is written and on what is damaged.
func TestTheQuickEnvelopeReaderAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"", "c", "客戶群", "a\"b", "a\\b", "tab\t", "base64:x", "\xff\xfe", "é<&>", "x\u2028y", `","id":"`, "nul\x00"}
	pick := func() string {
		if rng.IntN(4) > 0 {
			return "plain 客戶"
		}
		return names[rng.IntN(len(names))]
	}
	quick := 0
	for i := range 20_000 {
		r := record.Record{Ref: record.Ref{Kind: record.Chat, Container: pick(), ID: pick()}, Author: pick(), Dept: rng.Int64() - 1<<62, Deleted: rng.IntN(4) == 0,
			Time: time.UnixMilli(rng.Int64N(4e12) - 1e12).UTC(), Raw: []byte(`{"raw":1}`)}
		if rng.IntN(3) == 0 {
			r.Blobs = []record.Blob{{Name: pick(), Size: 7, SHA256: record.HashOf([]byte("x")), Object: "o", MIME: "m"}}
		}
		line := appendLine(nil, &r, r.Hash(), rng.Uint64()>>1, i)
		if rng.IntN(3) == 0 { // damage
			line[rng.IntN(len(line)-20)] = byte(rng.IntN(256))
		}
		head, _, _, err := splitLine(line)
		if err != nil {
			continue
		}
		got, ok := quickHead(head)
		if !ok {
			continue
		}
		quick++
		var v envelope
		if err := json.Unmarshal(append(head[:len(head):len(head)], '}'), &v); err != nil {
			t.Fatalf("the quick reader took what JSON refuses: %q", head)
		}
		want := entry{rec: record.Record{Ref: record.Ref{Kind: v.Kind, Container: v.Container, ID: v.ID}, Time: v.Time.UTC(), Author: v.Author, Dept: v.Dept, Deleted: v.Deleted},
			hash: v.SHA256, commit: v.Commit, index: v.Index}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); d != "" {
			t.Fatalf("%q: %s", head, d)
		}
	}
	if quick < 1000 {
		t.Fatalf("only %d lines took the quick way", quick)
	}
}

// TestLargeCommitsInARaceKeepTheirNumbers commits large batches from several
// goroutines, so that most are prepared for a number that another one took.
func TestLargeCommitsInARaceKeepTheirNumbers(t *testing.T) {
	a, dir := newArchive(t, Options{})
	var g errgroup.Group
	for i := range 4 {
		g.Go(func() error {
			for k := range 5 {
				c, err := a.Commit(context.Background(), Batch{Records: messages("c", (i*5+k)*1500, 1500)})
				if err != nil {
					return err
				}
				for n := range c.Records {
					if n%500 != 0 {
						continue
					}
					r, err := a.Read(context.Background(), c.Locs[n])
					if err != nil {
						return err
					}
					if r.ID != c.Records[n].ID {
						t.Errorf("commit %d holds %s in place of %s", c.Seq, r.ID, c.Records[n].ID)
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = open(t, dir, Options{})
	rep, err := a.Check(t.Context(), true, nil)
	if err != nil || !rep.OK() || rep.Records != 30_000 || rep.Commits != 20 {
		t.Fatalf("%+v %v", rep, err)
	}
}
