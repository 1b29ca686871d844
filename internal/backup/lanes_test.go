package backup

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"farol/internal/record"
)

func TestFewCoresReadFewContainersAtOnce(t *testing.T) {
	for cores, want := range map[int]int{1: 2, 2: 4, 4: 8, 64: 16} {
		if got := lanesFor(cores); got != want {
			t.Errorf("%d cores: %d lanes, want %d", cores, got, want)
		}
	}
}

// TestWhatIsBeingListedDoesNotHoldUpEvents: walking a container takes minutes
// when it is large. Neither its own events nor those of others wait for that.
func TestWhatIsBeingListedDoesNotHoldUpEvents(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	b.openStreams(t, 10*time.Second)
	b.idle(t)
	var walked, other string
	for _, s := range b.conversations() {
		switch {
		case len(s.Via) < 2:
		case walked == "":
			walked = s.ID
		default:
			other = s.ID
		}
	}
	unlock := b.lock(record.Chat, walked) // as a listing holds it
	b.mu.Lock()
	sources := maps.Clone(b.sources)
	b.mu.Unlock()
	for _, s := range sources {
		if s.Kind == record.Approvals {
			defer b.lock(s.Kind, s.ID)()
		}
	}
	count := func(k record.Kind) (n int64) {
		counts, err := b.d.Catalog.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counts {
			if c.Kind == k {
				n += c.Items
			}
		}
		return n
	}
	chats, approvals := count(record.Chat), count(record.Approvals)
	await := func(what string, k record.Kind, want int64) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); count(k) < want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s waited for the listing: %d of %d are held", what, count(k), want)
			}
		}
	}
	b.control(t, "/_sim/send", fmt.Sprintf(`{"conversationId":%q,"senderUserId":%q,"text":"in the conversation that is walked"}`, walked, sources[string(record.Chat)+"/"+walked].Via[0]))
	await("a message of the conversation that is walked", record.Chat, chats+1)
	b.control(t, "/_sim/approval", fmt.Sprintf(`{"userId":%q}`, b.sim.AdminUserID()))
	await("an approval", record.Approvals, approvals+1)
	b.control(t, "/_sim/send", fmt.Sprintf(`{"conversationId":%q,"senderUserId":%q,"text":"in another"}`, other, sources[string(record.Chat)+"/"+other].Via[0]))
	await("a message of another conversation", record.Chat, chats+2)
	unlock()
	b.compare(t)
}
