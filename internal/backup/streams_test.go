package backup

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

func TestWhatAListenerSaysHimselfIsHeardByAnother(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	chosen := b.listeners()
	var convs []string
	for _, s := range b.conversations() {
		heard := 0
		for _, p := range chosen {
			if slices.Contains(s.Via, p) {
				heard++
			}
		}
		if heard < min(2, len(s.Via)) {
			t.Fatalf("a conversation that %d can read is heard by %d", len(s.Via), heard)
		}
		if len(s.Via) > 1 && slices.Contains(s.Via, chosen[0]) && len(convs) < 6 {
			convs = append(convs, s.ID)
		}
	}
	if len(convs) < 3 {
		t.Fatalf("%d conversations to try", len(convs))
	}
	b.openStreams(t, 10*time.Second)
	b.idle(t)
	before := b.chats(t)
	for i, id := range convs {
		b.control(t, "/_sim/send", fmt.Sprintf(`{"conversationId":%q,"senderUserId":%q,"text":"said by a listener %d"}`, id, chosen[0], i))
	}
	for end := time.Now().Add(10 * time.Second); b.chats(t)-before < int64(len(convs)); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d are held", b.chats(t)-before, len(convs))
		}
	}
}

func (b *bench) chats(t *testing.T) (n int64) {
	t.Helper()
	counts, err := b.d.Catalog.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		if c.Kind == record.Chat {
			n += c.Items
		}
	}
	return n
}

func TestANewItemHeardTwiceIsReadOnce(t *testing.T) {
	h := newHints()
	taken := func() int {
		ts := h.take(func(*todo) bool { return true })
		for _, t := range ts {
			h.end(t)
		}
		return len(ts)
	}
	fresh := connector.Hint{Container: "c", Item: "m1", Fresh: true}
	h.add(record.Chat, fresh, dingtalk.Event{ID: "first"})
	if n := taken(); n != 1 {
		t.Fatal(n)
	}
	h.add(record.Chat, fresh, dingtalk.Event{ID: "second"})
	if taken() != 0 {
		t.Error("it is read again")
	}
	h.add(record.Chat, connector.Hint{Container: "c", Item: "m1"}, dingtalk.Event{ID: "third"})
	if taken() != 1 {
		t.Error("a later change of it was not read")
	}
}
