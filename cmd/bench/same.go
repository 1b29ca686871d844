package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/keys"
	"farol/internal/record"
)

func openCatalog(ctx context.Context, dir string) (*catalog.Catalog, error) {
	return catalog.Open(ctx, filepath.Join(dir, "catalog.db"), catalog.Keys{Words: root.Derive("search"), Names: root.Derive("names")}, keys.NewBox(root.Derive("catalog")), nil)
}

// fillSame makes an archive and a catalog of N conversations with M messages
// each.
func fillSame(ctx context.Context, j job) (any, error) {
	t, err := loadText(j.Src)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, j, archive.Options{KeepJournal: time.Nanosecond})
	if err != nil {
		return nil, err
	}
	cat, err := openCatalog(ctx, j.Dir)
	if err != nil {
		return nil, err
	}
	into, err := cat.Rebuild(ctx)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(15, 16))
	var b archive.Batch
	commit := func() error {
		c, err := a.Commit(ctx, b)
		if err != nil {
			return err
		}
		rows := make([]catalog.Row, len(c.Records))
		for i := range c.Records {
			r := &c.Records[i]
			rows[i] = catalog.Row{Ref: r.Ref, Ver: record.HashOf(r.Raw), Time: r.Time, Author: catalog.Person{Key: r.Author}, Class: record.Internal, Bytes: int64(len(r.Raw)), Index: i, Loc: c.Locs[i], Dept: 7, Seq: c.Seq}
		}
		if err := into.Add(ctx, rows); err != nil {
			return err
		}
		b = archive.Batch{}
		if a.Status().UnfoldedBytes > 64<<20 {
			_, err = a.Fold(ctx)
		}
		return err
	}
	for c := range j.N {
		name := fmt.Sprintf("cid%06x", c)
		for i := range j.M {
			// the last one is what a look from the cursor on will show again
			r := messageRecord(name, i, t.message(nil, name, uint64(i), rng))
			if i == j.M-1 {
				r.Raw = lastPage(name, i)
			}
			b.Records = append(b.Records, r)
		}
		b.Cursors = setCursor(b.Cursors, "c/chat/"+name, fmt.Sprint(j.M))
		if len(b.Records) >= 10_000 {
			if err := commit(); err != nil {
				return nil, err
			}
		}
	}
	if len(b.Records) > 0 {
		if err := commit(); err != nil {
			return nil, err
		}
	}
	if _, err := a.Fold(ctx); err != nil {
		return nil, err
	}
	return nil, errors.Join(into.Finish(ctx, a.LastSeq(), 0), cat.Close(), a.Close())
}

func setCursor(m map[string]string, k, v string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}

func lastPage(container string, i int) []byte {
	return fmt.Appendf(nil, `{"openConversationId":%q,"openMessageId":"msg%012d","content":{"text":"the last ones of %s"}}`, container, i, container)
}

// nothingChanged opens both, asks for each conversation's cursor and holds what
// upstream lists from there, its newest message once more, against the catalog.
func nothingChanged(ctx context.Context, j job) (any, error) {
	a, err := openArchive(ctx, j, archive.Options{})
	if err != nil {
		return nil, err
	}
	cat, err := openCatalog(ctx, j.Dir)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for c := range j.N {
		name := fmt.Sprintf("cid%06x", c)
		if a.Cursor("c/chat/"+name) == "" {
			return nil, fmt.Errorf("no cursor of %s", name)
		}
		ref := record.Ref{Kind: record.Chat, Container: name, ID: fmt.Sprintf("msg%012d", j.M-1)}
		known, err := cat.Known(ctx, []record.Ref{ref})
		if err != nil {
			return nil, err
		}
		if k, ok := known[ref]; !ok || k.Ver != catalog.Ver(record.HashOf(lastPage(name, j.M-1))) {
			return nil, fmt.Errorf("%s is not known as it is", name)
		}
	}
	return sameResult{time.Since(start)}, errors.Join(cat.Close(), a.Close())
}

// sameResult is the time without opening archive and catalog: the product is a
// daemon and opens them once.
type sameResult struct{ Daemon time.Duration }

// same: nothing changed in many containers, at several archive sizes.
func (b *bench) same(ctx context.Context) error {
	for _, times := range b.times {
		per := 20 * times
		src, dir := filepath.Join(b.dir, fmt.Sprint("same-src-", times)), filepath.Join(b.dir, fmt.Sprint("same-", times))
		if err := b.text.writeContainers(src, b.containers, per); err != nil {
			return err
		}
		if _, err := child(ctx, job{Do: "init", Dir: dir}, nil); err != nil {
			return err
		}
		if _, err := child(ctx, job{Do: "fill", Dir: dir, Src: "../shared/realdata", N: b.containers, M: per}, nil); err != nil {
			return err
		}
		var inside []took
		cs := []contender{{"ours", nil, func(string) (took, error) {
			var r sameResult
			t, err := child(ctx, job{Do: "same", Dir: dir, N: b.containers, M: per}, &r)
			inside = append(inside, took{time: r.Daemon})
			return t, err
		}}}
		if b.restic.path != "" {
			s, err := b.newRestic(ctx, filepath.Join(b.dir, fmt.Sprint("same-restic-store-", times)))
			if err != nil {
				return err
			}
			if _, err := b.resticBackup(ctx, s, src); err != nil {
				return err
			}
			cs = append(cs, contender{"restic", nil, func(string) (took, error) { return b.resticBackup(ctx, s, src) }})
		}
		if b.kopia.path != "" {
			s, err := b.newKopia(ctx, filepath.Join(b.dir, fmt.Sprint("same-kopia-store-", times)))
			if err != nil {
				return err
			}
			if _, err := b.kopiaBackup(ctx, s, src); err != nil {
				return err
			}
			cs = append(cs, contender{"kopia", nil, func(string) (took, error) { return b.kopiaBackup(ctx, s, src) }})
		}
		ts, err := b.interleave(fmt.Sprint("same-run-", times), cs)
		if err != nil {
			return err
		}
		sec := func(ts []took) string {
			if len(ts) == 0 {
				return "–"
			}
			ds := make([]time.Duration, len(ts))
			for i := range ts {
				ds[i] = ts[i].time
			}
			return fmt.Sprintf("%.2f s", quantile(ds, .5).Seconds())
		}
		share := func(p peer, theirs []took) string {
			if p.path == "" {
				return "absent: " + p.why
			}
			_, whole, _ := ratios(ts["ours"], theirs)
			lo, mid, hi := ratios(inside, theirs)
			return fmt.Sprintf("%s; ours takes %.2f (%.2f–%.2f) of it, %.2f with opening", sec(theirs), mid, lo, hi, whole)
		}
		b.row(fmt.Sprintf("nothing changed, %d containers, %d × size (%d messages)", b.containers, times, b.containers*per), fmt.Sprintf("%s in the daemon; %s with opening archive and catalog first", sec(inside), sec(ts["ours"])), share(b.restic, ts["restic"]), share(b.kopia, ts["kopia"]), "≤ 0.3 of restic's time")
		left, err := filepath.Glob(filepath.Join(b.dir, "same-*"))
		if err != nil {
			return err
		}
		for _, l := range left {
			os.RemoveAll(l)
		}
	}
	return nil
}
