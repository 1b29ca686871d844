// Command farol-check checks proofs of a Farol audit log. It is written for
// people who do not trust Farol: it uses Go's standard library and
// golang.org/x/mod/sumdb, nothing of Farol's own, and needs no network.
//
//	farol-check -key KEY entry PROOF.json...
//	farol-check -key KEY extends OLD-CHECKPOINT NEW-CHECKPOINT PROOF.json
//	farol-check -key KEY package FOLDER
//
// KEY is the log's public key or a file that holds it. Get it from the company
// by another way than the proofs: a proof that brings its own key proves only
// that it agrees with itself. -witness KEY asks for a witness's signature too, and
// may be given for each witness: of a package each has to have signed one of the
// checkpoints, elsewhere all of them that one.
//
// The leaf of an entry is SHA-256(salt ‖ entry); tree hashes are those of
// RFC 6962; checkpoints are signed notes (c2sp.org/tlog-checkpoint). Exit code
// 0: everything holds. 1: something does not, and it is said what.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	key := flag.String("key", "", "the log's public key, or a file with it")
	var witnesses []string
	flag.Func("witness", "a witness's public key, or a file with it: its signature is asked for too; may be given more than once", func(s string) error {
		witnesses = append(witnesses, s)
		return nil
	})
	flag.Parse()
	if err := run(*key, witnesses, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "REFUSED:", err)
		os.Exit(1)
	}
}

func run(key string, witnesses, args []string, out io.Writer) error {
	c, err := newChecker(key, witnesses)
	if err != nil {
		return err
	}
	switch {
	case len(args) >= 2 && args[0] == "entry":
		for _, name := range args[1:] {
			if err := c.entryFile(name, out); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	case len(args) == 4 && args[0] == "extends":
		return c.extends(args[1], args[2], args[3], out)
	case len(args) == 2 && args[0] == "package":
		return c.folder(args[1], out)
	}
	return errors.New("usage: farol-check -key KEY entry PROOF.json... | extends OLD NEW PROOF.json | package FOLDER")
}

// checker knows the keys that are trusted.
type checker struct {
	log       note.Verifier
	witnesses []note.Verifier // none: not asked for
}

func newChecker(key string, witnesses []string) (*checker, error) {
	if key == "" {
		return nil, errors.New("-key is needed: the log's public key")
	}
	var c checker
	var err error
	if c.log, err = verifier(key); err != nil {
		return nil, err
	}
	for _, text := range witnesses {
		w, err := verifier(text)
		if err != nil {
			return nil, err
		}
		c.witnesses = append(c.witnesses, w)
	}
	return &c, nil
}

func verifier(key string) (note.Verifier, error) {
	if b, err := os.ReadFile(key); err == nil {
		key = string(b)
	}
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	return v, nil
}

// checkpoint checks the signatures, of the witnesses too where they are asked for,
// and returns the tree that was signed. Lines after the root are extensions and are
// passed over.
func (c *checker) checkpoint(signed []byte, needWitness bool) (tlog.Tree, error) {
	t, by, err := c.open(signed)
	for _, w := range c.witnesses {
		if err == nil && needWitness && !by[w] {
			err = fmt.Errorf("the checkpoint is not signed by the witness %s", w.Name())
		}
	}
	return t, err
}

// open returns the tree that the log signed, and who else did.
func (c *checker) open(signed []byte) (t tlog.Tree, by map[note.Verifier]bool, err error) {
	known := append([]note.Verifier{c.log}, c.witnesses...)
	n, err := note.Open(signed, note.VerifierList(known...))
	if err != nil {
		return t, nil, fmt.Errorf("the checkpoint is not signed by the key: %w", err)
	}
	by = map[note.Verifier]bool{}
	for _, s := range n.Sigs {
		for _, v := range known {
			if v.Name() == s.Name && v.KeyHash() == s.Hash {
				by[v] = true
			}
		}
	}
	if !by[c.log] {
		return t, nil, errors.New("the checkpoint is not signed by the log's key")
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != c.log.Name() {
		return t, nil, errors.New("the checkpoint is of another log")
	}
	if t.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || t.N < 0 || strconv.FormatInt(t.N, 10) != lines[1] {
		return t, nil, errors.New("the checkpoint has no size")
	}
	if t.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		return t, nil, errors.New("the checkpoint has no root")
	}
	return t, by, nil
}

// proof is one entry with its way to the root. Of an entry whose time of
// storage has ended, the leaf alone is left.
type proof struct {
	Seq        int64    `json:"seq"`
	Salt       []byte   `json:"salt"`
	Entry      []byte   `json:"entry"`
	Leaf       []byte   `json:"leaf"`
	Path       []string `json:"path"`
	Checkpoint string   `json:"checkpoint"`
}

// entry is what of an entry this program looks at or prints.
type entry struct {
	Seq       int64     `json:"seq"`
	Time      time.Time `json:"time_utc"`
	Actor     string    `json:"actor"`
	Operation string    `json:"operation"`
	Object    string    `json:"object_ref"`
	Outcome   string    `json:"outcome"`
}

// check compares one entry with a tree. It returns nil for an expired one.
func (p *proof) check(t tlog.Tree) (*entry, error) {
	leaf := p.Leaf
	var e *entry
	if len(p.Entry) > 0 {
		sum := sha256.Sum256(append(bytes.Clone(p.Salt), p.Entry...))
		leaf = sum[:]
		e = &entry{}
		if err := json.Unmarshal(p.Entry, e); err != nil {
			return nil, fmt.Errorf("entry %d cannot be read", p.Seq)
		}
		if e.Seq != p.Seq {
			return nil, fmt.Errorf("entry %d stands in the place of entry %d", e.Seq, p.Seq)
		}
	}
	if len(leaf) != sha256.Size {
		return nil, fmt.Errorf("entry %d has no leaf", p.Seq)
	}
	path, err := hashes(p.Path)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", p.Seq, err)
	}
	if err := tlog.CheckRecord(path, t.N, t.Hash, p.Seq, tlog.RecordHash(leaf)); err != nil {
		return nil, fmt.Errorf("entry %d is not in the signed log", p.Seq)
	}
	return e, nil
}

func hashes(texts []string) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(texts))
	for i, s := range texts {
		h, err := tlog.ParseHash(s)
		if err != nil {
			return nil, errors.New("the proof holds something that is no hash")
		}
		out[i] = h
	}
	return out, nil
}

func (c *checker) entryFile(name string, out io.Writer) error {
	var p proof
	if err := readJSON(name, &p); err != nil {
		return err
	}
	t, err := c.checkpoint([]byte(p.Checkpoint), true)
	if err != nil {
		return err
	}
	e, err := p.check(t)
	if err != nil {
		return err
	}
	if e == nil {
		fmt.Fprintf(out, "OK: entry %d of %d was in the log; its content has expired\n", p.Seq, t.N)
		return nil
	}
	fmt.Fprintf(out, "OK: entry %d of %d: %s %q %s %q %s\n", p.Seq, t.N, e.Time.Format(time.RFC3339), e.Actor, e.Operation, e.Object, e.Outcome)
	return nil
}

// extends shows that the newer log holds the older one unchanged.
func (c *checker) extends(oldName, newName, proofName string, out io.Writer) error {
	var texts []string
	if err := readJSON(proofName, &texts); err != nil {
		return err
	}
	was, err := c.checkpointFile(oldName, false)
	if err != nil {
		return fmt.Errorf("%s: %w", oldName, err)
	}
	now, err := c.checkpointFile(newName, true)
	if err != nil {
		return fmt.Errorf("%s: %w", newName, err)
	}
	if err := consistent(was, now, texts); err != nil {
		return err
	}
	fmt.Fprintf(out, "OK: the log of %d entries holds the log of %d unchanged\n", now.N, was.N)
	return nil
}

func (c *checker) checkpointFile(name string, needWitness bool) (tlog.Tree, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return tlog.Tree{}, err
	}
	return c.checkpoint(b, needWitness)
}

func consistent(was, now tlog.Tree, texts []string) error {
	if was.N > now.N {
		return fmt.Errorf("the checkpoint of %d entries is older than that of %d", now.N, was.N)
	}
	if was.N == 0 {
		return nil
	}
	path, err := hashes(texts)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(path, now.N, now.Hash, was.N, was.Hash); err != nil {
		return fmt.Errorf("the log of %d entries does not hold the log of %d unchanged", now.N, was.N)
	}
	return nil
}

// manifest is manifest.json of a package.
type manifest struct {
	Format string            `json:"format"`
	First  int64             `json:"first"` // number of the first entry
	End    int64             `json:"end"`   // number after the last one
	Files  map[string]string `json:"files"` // SHA-256, hexadecimal
}

// folder checks an unpacked package: every file, every entry, none left out,
// and that the log grew without a change from its first checkpoint on.
func (c *checker) folder(dir string, out io.Writer) error {
	var m manifest
	if err := readJSON(filepath.Join(dir, "manifest.json"), &m); err != nil {
		return err
	}
	if m.Format != "farol-audit-package/1" {
		return errors.New("manifest.json is of an unknown format")
	}
	for _, name := range []string{"entries.ndjson", "checkpoint", "checkpoint.first", "consistency.json"} {
		if m.Files[name] == "" {
			return fmt.Errorf("the manifest does not name %s", name)
		}
	}
	for name, want := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("the manifest names a file outside the folder: %q", name)
		}
		got, err := sumOf(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s does not have the hash of the manifest", name)
		}
	}
	now, err := c.checkpointFile(filepath.Join(dir, "checkpoint"), false)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if _, err := c.grown(dir, "checkpoint.first", "consistency.json", now); err != nil {
		return err
	}
	seen := map[note.Verifier]bool{}
	for name, proofName := range map[string]string{"checkpoint.cosigned": "consistency.cosigned.json", "checkpoint.cosigned.2": "consistency.cosigned.2.json"} {
		if m.Files[name] == "" {
			continue
		}
		by, err := c.grown(dir, name, proofName, now)
		if err != nil {
			return err
		}
		for v := range by {
			seen[v] = true
		}
	}
	for _, w := range c.witnesses {
		if !seen[w] {
			return fmt.Errorf("the package holds no checkpoint that the witness of the key %08x signed", w.KeyHash())
		}
	}
	n, gone, err := entries(filepath.Join(dir, "entries.ndjson"), m, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "OK: %d entries, numbers %d to %d, none left out, %d of them expired, all in the signed log of %d\n", n, m.First, m.End-1, gone, now.N)
	return nil
}

// grown shows that the log extends an earlier checkpoint, and returns who signed
// that.
func (c *checker) grown(dir, name, proofName string, now tlog.Tree) (map[note.Verifier]bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	was, by, err := c.open(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var texts []string
	if err := readJSON(filepath.Join(dir, proofName), &texts); err != nil {
		return nil, err
	}
	if err := consistent(was, now, texts); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return by, nil
}

// entries reads one proof a line, in order and without a gap.
func entries(name string, m manifest, t tlog.Tree) (n, gone int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	next := m.First
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var p proof
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return n, gone, fmt.Errorf("the line of entry %d cannot be read", next)
		}
		if p.Seq != next {
			return n, gone, fmt.Errorf("entry %d stands where entry %d is expected: one is missing or the order was changed", p.Seq, next)
		}
		e, err := p.check(t)
		if err != nil {
			return n, gone, err
		}
		if e == nil {
			gone++
		}
		next++
		n++
	}
	if err := lines.Err(); err != nil {
		return n, gone, err
	}
	if next != m.End {
		return n, gone, fmt.Errorf("the entries end at %d, the manifest says %d", next, m.End)
	}
	return n, gone, nil
}

func readJSON(name string, v any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s cannot be read: %w", filepath.Base(name), err)
	}
	return nil
}

func sumOf(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
