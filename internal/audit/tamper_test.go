package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/keys"
)

func treeOf(t *testing.T, l *Log, v note.Verifier) tlog.Tree {
	t.Helper()
	tree, err := OpenCheckpoint(l.Checkpoint(), v)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTheCrownHasTheRootOfEverySize(t *testing.T) {
	s, v, _ := testKeys(t)
	l := fill(t, t.TempDir(), s, v, 70)
	defer l.Close()
	var c crown
	for n := range int64(71) {
		want, err := tlog.TreeHash(n, l)
		if err != nil || c.root() != want {
			t.Fatalf("size %d: %v", n, err)
		}
		if n < 70 {
			p, err := l.Inclusion(n)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha(append(bytes.Clone(p.Salt), p.Entry...))
			c.add(sum)
		}
	}
}

// TestEveryWayOfChangingTheFilesIsFoundAndSaysWhere changes a log of 40 entries
// that was known at 20 and 40, and looks at it as a start does.
func TestEveryWayOfChangingTheFilesIsFoundAndSaysWhere(t *testing.T) {
	box := keys.NewBox(bytes.Repeat([]byte{5}, 32))
	s, v, _ := testKeys(t)
	open := func(dir string) *Log {
		l, err := Open(dir, Options{Box: box, Signer: s, Verify: v, LookupKey: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	add := func(l *Log, n int, who string) {
		for range n {
			if _, err := l.Append(t.Context(), Event{Actor: who, Operation: "view", Object: fmt.Sprint("record/", l.Size()), Outcome: "ok"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole, at20 := t.TempDir(), t.TempDir()
	l := open(whole)
	add(l, 20, "ana")
	l.Close()
	if err := os.CopyFS(at20, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	l = open(whole)
	heads := []tlog.Tree{treeOf(t, l, v)}
	add(l, 20, "ana")
	heads = append(heads, treeOf(t, l, v))
	var starts []int64
	for i := range l.Size() {
		off, err := l.offsets.at(i, l.end)
		if err != nil {
			t.Fatal(err)
		}
		starts = append(starts, off)
	}
	l.Close()

	edit := func(name string, fn func([]byte) []byte) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, fn(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(n int, base string) func(string) {
		return func(dir string) {
			if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(base))); err != nil {
				t.Fatal(err)
			}
			l := open(dir)
			add(l, n, "somebody else")
			l.Close()
		}
	}
	for name, c := range map[string]struct {
		hurt     func(dir string)
		from, to int64
		why      string
		early    bool // noticed by the hashes alone, before anything is opened
	}{
		"an entry in the middle":   {edit("entries.log", func(b []byte) []byte { b[starts[13]+40] ^= 1; return b }), 13, 13, Edited, false},
		"a length in the middle":   {edit("entries.log", func(b []byte) []byte { binary.BigEndian.PutUint32(b[starts[13]:], 1<<30); return b }), 13, 13, Edited, false},
		"two entries swapped":      {edit("entries.log", swap(starts, 22, 23)), 22, 22, Edited, false},
		"one entry taken out":      {edit("entries.log", func(b []byte) []byte { return append(b[:starts[30]:starts[30]], b[starts[31]:]...) }), 30, 30, Edited, false},
		"the tail cut":             {edit("entries.log", func(b []byte) []byte { return b[:starts[33]] }), 33, 33, Cut, false},
		"the tail cut in an entry": {edit("entries.log", func(b []byte) []byte { return b[:starts[33]+9] }), 33, 33, Cut, false},
		"entries.log removed":      {func(dir string) { os.Remove(filepath.Join(dir, "entries.log")) }, 0, 0, Gone, true},
		"everything removed":       {func(dir string) { os.RemoveAll(dir) }, 0, 0, Gone, true},
		"an older state":           {replace(0, at20), 20, 20, RolledBack, true},
		"an older state, grown on": {replace(30, at20), 20, 39, Forked, true},
		"another log, same key":    {replace(60, t.TempDir()), 0, 19, Forked, true},
		"another, shorter log":     {replace(25, t.TempDir()), 0, 19, Forked, true},
		"the checkpoint removed":   {func(dir string) { os.Remove(filepath.Join(dir, "checkpoint")) }, 40, 40, Edited, true},
		"the checkpoint is noise":  {edit("checkpoint", func(b []byte) []byte { b[len(b)-9] ^= 1; return b }), 40, 40, Edited, true},
		"hashes changed":           {edit("hashes.log", func(b []byte) []byte { b[50] ^= 1; return b }), 0, 0, "", false},
	} {
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		c.hurt(dir)
		if err := CheckHeads(dir, v, heads...); (err != nil) != c.early || err != nil && !errors.Is(err, ErrTampered) {
			t.Errorf("%s: before opening: %v", name, err)
		}
		n, err := Inspect(dir, box, v, heads...)
		if c.why == "" { // the entries are whole: the hashes are derived and made anew
			if err != nil || n != 40 {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			continue
		}
		var tampering *Tampering
		if !errors.As(err, &tampering) || !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tampering.From != c.from || tampering.To != c.to || tampering.Why != c.why {
			t.Errorf("%s: entries %d to %d, %s; want %d to %d, %s", name, tampering.From, tampering.To, tampering.Why, c.from, c.to, c.why)
		}
	}
	if n, err := Inspect(whole, box, v, heads...); n != 40 || err != nil {
		t.Errorf("untouched: %d, %v", n, err)
	}
	if err := CheckHeads(whole, v, heads...); err != nil {
		t.Errorf("untouched: %v", err)
	}
	// Hashes that were changed are told from entries that were.
	{
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		edit("hashes.log", func(b []byte) []byte { b[50] ^= 1; return b })(dir)
		l := open(dir)
		if n, err := l.Verify(); !errors.Is(err, ErrHashes) || n != 40 {
			t.Errorf("changed hashes: %d, %v", n, err)
		}
		l.Close()
		if err := os.Remove(filepath.Join(dir, "hashes.log")); err != nil {
			t.Fatal(err)
		}
		l = open(dir)
		if n, err := l.Verify(); err != nil || n != 40 {
			t.Errorf("hashes made anew: %d, %v", n, err)
		}
		l.Close()
	}
	// And an open log notices what is done to its files while it runs.
	for name, hurt := range map[string]func(dir string){
		"removed": func(dir string) { os.Remove(filepath.Join(dir, "entries.log")) },
		"replaced": func(dir string) {
			os.Rename(filepath.Join(dir, "entries.log"), filepath.Join(dir, "x"))
			edit("x", func(b []byte) []byte { return b })(dir)
			os.WriteFile(filepath.Join(dir, "entries.log"), nil, 0o600)
		},
		"cut": func(dir string) { os.Truncate(filepath.Join(dir, "entries.log"), 100) },
		"the checkpoint back": func(dir string) {
			edit("checkpoint", func([]byte) []byte { b, _ := os.ReadFile(filepath.Join(at20, "checkpoint")); return b })(dir)
		},
		"the hashes": edit("hashes.log", func(b []byte) []byte { clear(b); return b }),
	} {
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		l := open(dir)
		if err := l.Check(heads...); err != nil {
			t.Errorf("%s: before: %v", name, err)
		}
		hurt(dir)
		if err := l.Check(heads...); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
		l.Close()
	}
}

func swap(starts []int64, a, b int) func([]byte) []byte {
	return func(text []byte) []byte {
		x, y := bytes.Clone(text[starts[a]:starts[a+1]]), bytes.Clone(text[starts[b]:starts[b+1]])
		copy(text[starts[a]:], append(y, x...))
		return text
	}
}
