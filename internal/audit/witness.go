package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witness is who signs the log's checkpoints besides us. Each signs at its own
// time and size: what it signed last is kept apart, and neither writes over the
// other's.
type Witness string

// The witnesses that there may be.
const (
	NodeWitness   Witness = "node"    // the off-site node
	SecondWitness Witness = "witness" // a node of somebody else's, which gets the log alone
)

// Witnesses are all of them.
var Witnesses = []Witness{NodeWitness, SecondWitness}

// tail is what sets the second one's files apart; the first had its before there
// were two.
func (w Witness) tail() string {
	if w == SecondWitness {
		return ".2"
	}
	return ""
}

// File is the name, in the log's folder, of the checkpoint that it signed last.
func (w Witness) File() string { return "checkpoint.cosigned" + w.tail() }

// proofFile and keyFile stand beside it in a package; the key lies in the log's
// folder too.
func (w Witness) proofFile() string { return "consistency.cosigned" + w.tail() + ".json" }
func (w Witness) keyFile() string   { return "witness-key" + w.tail() + ".txt" }

// Cosigned keeps a checkpoint that a witness signed too, by its verifier key,
// beside our own.
func (l *Log) Cosigned(w Witness, key string, checkpoint []byte) error {
	if _, err := OpenCheckpoint(checkpoint, l.verify); err != nil {
		return fmt.Errorf("keep a cosigned checkpoint: %w", err)
	}
	if !signedBy(checkpoint, key) {
		return fmt.Errorf("keep a cosigned checkpoint: it is not signed by the key of the %s", w)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	path := filepath.Join(l.dir, w.keyFile())
	if was, err := os.ReadFile(path); err != nil || string(was) != key+"\n" {
		if err := writeFile(path, []byte(key+"\n")); err != nil {
			return fmt.Errorf("keep a witness's key: %w", err)
		}
	}
	return writeFile(filepath.Join(l.dir, w.File()), checkpoint)
}

func signedBy(checkpoint []byte, key string) bool {
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return false
	}
	_, err = note.Open(checkpoint, note.VerifierList(v))
	return err == nil
}

// CosignedTree is the tree that a witness signed last, the zero tree without one
// or when it is not of the log that verify is the key of.
func CosignedTree(dir string, w Witness, verify note.Verifier) (tlog.Tree, error) {
	_, t, err := cosigned(dir, w, verify)
	return t, err
}

func cosigned(dir string, w Witness, verify note.Verifier) ([]byte, tlog.Tree, error) {
	b, err := os.ReadFile(filepath.Join(dir, w.File()))
	if errors.Is(err, os.ErrNotExist) {
		return nil, tlog.Tree{}, nil
	} else if err != nil {
		return nil, tlog.Tree{}, fmt.Errorf("read the cosigned checkpoint: %w", err)
	}
	t, err := OpenCheckpoint(b, verify)
	if err != nil {
		return nil, tlog.Tree{}, nil // not ours: it says nothing
	}
	return b, t, nil
}

// packCosigned packs what the witnesses signed last, where it is of this tree,
// with their keys.
func (l *Log) packCosigned(z *packer, tree tlog.Tree) error {
	for _, w := range Witnesses {
		b, was, err := cosigned(l.dir, w, l.verify)
		if err != nil {
			return err
		}
		if was.N == 0 || was.N > tree.N {
			continue // newer than what is packed, or of no use: the package is whole without
		}
		if err := l.grewFrom(z, tree, was.N, b, w.File(), w.proofFile()); err != nil {
			return err
		}
		// One kept before keys were, or beside the key of the node before, goes without.
		if key, err := os.ReadFile(filepath.Join(l.dir, w.keyFile())); err == nil && signedBy(b, string(key)) {
			if err := z.text(w.keyFile(), key); err != nil {
				return err
			}
		}
	}
	return nil
}
