package replica

import (
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// TestASeedOnADriveSavesTheLineAndNothingFalseIsTaken carries the first copy to
// the node, with one file damaged on the way, and lets the line bring the rest.
func TestASeedOnADriveSavesTheLineAndNothingFalseIsTaken(t *testing.T) {
	p := newPair(t)
	ctx := t.Context()
	p.sender.many = 1 << 20
	p.say("by the line", 1000)
	if _, err := p.a.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	stop := p.run() // the line had begun
	p.until("the beginning", 20*time.Second, caughtUp)
	stop()
	for i := range 6 {
		p.say(string(rune('a'+i)), 3<<20)
	}
	if _, err := p.a.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	drive := t.TempDir()
	if _, err := p.node.TakeSeed(ctx, drive, nil); !errors.Is(err, ErrSeed) {
		t.Fatalf("an empty drive was taken: %v", err)
	}
	var told int64
	h, err := WriteSeed(ctx, drive, p.a, p.signer, time.Now(), func(done, total int64) { told = done })
	if err != nil || h.Files < 3 || h.Bytes < 15<<20 || told != h.Bytes {
		t.Fatalf("%+v, told %d, %v", h, told, err)
	}
	p.say("since", 1<<20) // after the drive has gone
	if _, err := p.a.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(drive, SeedDir, name) }
	bend := func(name string) (back func()) {
		t.Helper()
		b, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(at(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			b[len(b)/2] ^= 1
			if err := os.WriteFile(at(name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{seedHead, seedFiles} {
		back := bend(name)
		if r, err := p.node.TakeSeed(ctx, drive, nil); !errors.Is(err, ErrSeed) && !errors.Is(err, ErrUnknown) || r.Taken > 0 {
			t.Errorf("with another %s %d files were taken, %v", name, r.Taken, err)
		}
		back()
	}
	other, _, err := note.GenerateKey(rand.Reader, "farol.test")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.NewSigner(other)
	if err != nil {
		t.Fatal(err)
	}
	forged := t.TempDir()
	if _, err := WriteSeed(ctx, forged, p.a, stranger, time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := p.node.TakeSeed(ctx, forged, nil); !errors.Is(err, ErrSeed) {
		t.Errorf("a seed of a stranger was taken: %v", err)
	}

	ds, err := os.ReadDir(at("blobs"))
	if err != nil {
		t.Fatal(err)
	}
	worst, size := "", int64(1<<40) // the smallest: what goes over the line is counted
	for _, d := range ds {
		info, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(p.dir, "vaults", p.a.ID(), "blobs", d.Name())); err == nil {
			continue // the line had brought it
		}
		if info.Size() < size && !mutable(d.Name()) {
			worst, size = d.Name(), info.Size()
		}
	}
	bend("blobs/" + worst)
	r, err := p.node.TakeSeed(ctx, drive, nil)
	if err != nil || r.Taken+r.Held != h.Files-1 || r.Taken < 2 || len(r.Bad) != 1 || r.Bad[0] != worst {
		t.Fatalf("%+v %v", r, err)
	}
	if r, err = p.node.TakeSeed(ctx, drive, nil); err != nil || r.Taken != 0 || r.Held != h.Files-1 {
		t.Errorf("taken again: %+v %v", r, err)
	}
	line := &counted{RoundTripper: p.sender.client.http.Transport}
	p.sender.client.http.Transport = line
	p.run()
	p.until("the rest by the line", 30*time.Second, caughtUp)
	var journal int64 // always goes over the line
	for _, f := range p.a.JournalFiles() {
		journal += f.Size
	}
	if sent := line.sent.Load(); sent > journal+size+4<<20 || sent < journal {
		t.Errorf("the line brought %d bytes; the journal has %d, the damaged file %d, the drive had %d", sent, journal, size, h.Bytes)
	}
	p.sameBytes()
}

// counted counts the bytes that requests carry.
type counted struct {
	http.RoundTripper
	sent atomic.Int64
}

func (c *counted) RoundTrip(rq *http.Request) (*http.Response, error) {
	c.sent.Add(max(rq.ContentLength, 0))
	return c.RoundTripper.RoundTrip(rq)
}
