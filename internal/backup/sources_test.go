package backup

import (
	"testing"
	"time"

	"farol/internal/record"
)

// openStreams waits until the app's stream and every listener's are open.
func (b *bench) openStreams(t *testing.T, within time.Duration) {
	t.Helper()
	want := 1 + len(b.listeners())
	if want < 2 {
		t.Fatal("nobody is listened to")
	}
	for end := time.Now().Add(within); b.open1() < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d streams are open after %s", b.open1(), want, within)
		}
	}
}

func TestAfterARestartAnEventIsHeldBeforeTheListingEnds(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	b.close(t)
	b.control(t, "/_sim/faults", `{"match":"list_all_conversations","kind":"timeout"}`) // the listing hangs
	b.open(t)
	b.openStreams(t, 10*time.Second)
	if _, err := b.Start(t.Context(), Incremental, "test"); err != nil && err != ErrBusy {
		t.Fatal(err)
	}
	before := b.Lag().Events
	sent := time.Now()
	b.control(t, "/_sim/send", `{"text":"sent while the listing hangs"}`)
	for b.Lag().Events == before {
		if time.Since(sent) > 10*time.Second {
			t.Fatal("the message was not committed")
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("held after %s", time.Since(sent).Round(time.Millisecond))
	if p := b.Progress(); !p.Running {
		t.Error("the listing had ended: nothing is proved")
	}
}

func TestAfterARestartNobodyIsReadThroughAMemberWhoseConsentLapsed(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	gone := b.listeners()[0]
	if err := b.d.Settings.Lapsed(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	b.close(t)
	b.control(t, "/_sim/faults", `{"match":"list_all_conversations","kind":"timeout"}`)
	b.open(t)
	others := 0
	for _, s := range b.conversations() {
		for _, p := range s.Via {
			if p == gone {
				t.Fatal("a conversation is still read through the member")
			}
			others++
		}
	}
	if others == 0 {
		t.Fatal("nobody is listened to")
	}
}

func TestWhatAWholeListingDoesNotFindIsListenedToNoMore(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	all := b.conversations()
	if len(all) < 3 {
		t.Fatal(len(all))
	}
	b.listed(t.Context(), record.Chat, all[1:], true)
	if s, ok := b.source(record.Chat, all[0].ID); !ok || len(s.Via) != 0 {
		t.Errorf("still read through %d members", len(s.Via))
	}
	b.listed(t.Context(), record.Chat, all[2:3], false)
	if s, _ := b.source(record.Chat, all[1].ID); len(s.Via) == 0 {
		t.Error("a listing that was not whole took a conversation away")
	}
}
