package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"farol/internal/record"
)

// said is the node's word about its only archive.
func (l *lookedBack) said() Held {
	l.t.Helper()
	hs, err := NodeStatus(l.dir, 0, l.now)
	if err != nil || len(hs) != 1 {
		l.t.Fatalf("%+v %v", hs, err)
	}
	return hs[0]
}

// TestTheNodeSaysWhatAWellApplianceDoesNotDo for each thing that only somebody who
// has taken the appliance over would, and until a person has looked.
func TestTheNodeSaysWhatAWellApplianceDoesNotDo(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(l *lookedBack) error
		want error
		said func(Held) bool
	}{
		"other bytes for a blob": {func(l *lookedBack) error { return l.blob("p01", "noise")(l.t.Context()) }, ErrConflict, func(h Held) bool { return h.Conflicts == 1 }},
		"other bytes in the journal": {func(l *lookedBack) error { return l.c.journal(l.t.Context(), "1-1.fj", 0, []byte("HELLO")) }, ErrConflict,
			func(h Held) bool { return h.Conflicts == 1 }},
		"other entries for those held": {func(l *lookedBack) error {
			return l.c.entries(l.t.Context(), 0, [][]byte{[]byte("ONE"), []byte("two"), []byte("three")})
		}, ErrConflict, func(h Held) bool { return h.Conflicts == 1 }},
		"noise for the lock": {func(l *lookedBack) error {
			if err := l.blob(lockFile, `{"uniqueID":"QUJD"}`)(l.t.Context()); err != nil {
				return err
			}
			return l.blob(lockFile, "noise")(l.t.Context())
		}, ErrConflict, func(h Held) bool { return h.Conflicts == 1 && !h.Replaced }},
		"another lock of the same archive": {func(l *lookedBack) error {
			if err := l.blob(lockFile, `{"uniqueID":"QUJD"}`)(l.t.Context()); err != nil {
				return err
			}
			return l.blob(lockFile, `{"uniqueID":"QUJD","x":1}`)(l.t.Context())
		}, nil, func(h Held) bool { return h.Replaced && h.Conflicts == 0 }},
		"settings anew all the time": {func(l *lookedBack) error {
			for i := range often + 2 {
				if err := l.blob("kopia.maintenance.f", fmt.Sprint(i))(l.t.Context()); err != nil {
					return err
				}
			}
			return nil
		}, nil, func(h Held) bool { return h.Replaced }},
		"a flood": {func(l *lookedBack) error {
			l.node.Bound(1<<10, 0)
			return l.blob("p09", string(make([]byte, 2<<10)))(l.t.Context())
		}, ErrQuota, func(h Held) bool { return h.Full }},
		"an epoch of nobody": {func(l *lookedBack) error { return l.c.putPos(l.t.Context(), 1<<31, 1) }, ErrConflict, func(h Held) bool { return h.Conflicts == 1 }},
		"a put of nobody's epoch": {func(l *lookedBack) error {
			return l.c.blob(l.t.Context(), "kopia.maintenance.f", record.HashOf([]byte("x")), []byte("x"), putAt{1 << 31, 1}, nil)
		}, ErrConflict, func(h Held) bool { return h.Conflicts == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLookedBack(t)
			v := l.node.vaults["a1"]
			v.mu.Lock()
			for print, c := range v.about.Clients {
				c.Epoch = 3
				v.about.Clients[print] = c
			}
			v.mu.Unlock()
			l.day()
			if h := l.said(); h.Alarm() {
				t.Fatalf("a day like any other is an alarm: %+v", h)
			}
			if err := c.act(l); !errors.Is(err, c.want) {
				t.Fatalf("answered with %v", err)
			}
			h := l.said()
			if !h.Alarm() || !c.said(h) {
				t.Errorf("the node says %+v", h)
			}
			again, err := OpenNode(l.dir, nil, func() time.Time { return l.now }) // and remembers it
			if err != nil {
				t.Fatal(err)
			}
			if err := again.vaults["a1"].saveContact(); err != nil {
				t.Fatal(err)
			}
			if h := l.said(); !c.said(h) {
				t.Errorf("after a restart it says %+v", h)
			}
			_, vk := newLog(t, t.TempDir())
			rq := enrolRequest{Archive: "a1", LogKey: vk, Epoch: 3}
			if _, err := again.admit(rq, "another certificate"); err != nil {
				t.Fatal(err)
			}
			if h := l.said(); h.Alarm() {
				t.Errorf("after a person has looked it says %+v", h)
			}
		})
	}
}

func TestNineTenthsOfAQuotaAreSaid(t *testing.T) {
	h := Held{Quota: 100, Used: 90, Nearly: true}
	if !h.Alarm() {
		t.Error("it is no alarm")
	}
	l := newLookedBack(t)
	v := l.node.vaults["a1"]
	v.about.Quota = 1000
	if err := v.save(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		n    int
		want bool
	}{{800, false}, {120, true}} {
		l.at(1, l.blob(fmt.Sprintf("p%d", c.n), string(bytes.Repeat([]byte("x"), c.n))))
		if h := l.said(); h.Nearly != c.want || h.Alarm() != c.want {
			t.Errorf("with %d of 1000 bytes: %+v", h.Used, h)
		}
	}
}

// journalFile is what the node reads of a journal file: its head and the tag of its
// last frame.
func journalFile(epoch uint32, number uint64, prev, last string) []byte {
	b := make([]byte, journalHead)
	copy(b, journalMagic)
	binary.BigEndian.PutUint32(b[24:], epoch)
	binary.BigEndian.PutUint64(b[28:], number)
	copy(b[52:], prev)
	return append(b, last...)
}

// TestAJournalFileThatDoesNotFollowTheLastIsRefused: it is of an appliance that was
// set back, and a recovery would end inside the file before.
func TestAJournalFileThatDoesNotFollowTheLastIsRefused(t *testing.T) {
	const a, b = "the tag at an en", "the tag of anoth"
	l := newLookedBack(t)
	send := func(name string, body []byte) error { return l.c.journal(t.Context(), name, 0, body) }
	for _, s := range []struct {
		name string
		body []byte
		want error
	}{
		{"000001-0000000004.fj", journalFile(1, 4, b, a), nil}, // the files before it are folded
		{"000001-0000000005.fj", journalFile(1, 5, b, a), ErrConflict},
		{"000001-0000000005.fj", journalFile(1, 5, a, b), nil},
		{"000001-0000000007.fj", journalFile(1, 7, a, b), ErrConflict},
		{"000001-0000000007.fj", journalFile(1, 7, b, a), nil},
		{"000002-0000000001.fj", journalFile(2, 1, b, a), nil}, // recovered as of an earlier time
	} {
		if err := send(s.name, s.body); !errors.Is(err, s.want) {
			t.Errorf("%s: %v, want %v", s.name, err, s.want)
		}
	}
}
