package backup

import (
	"fmt"
	"testing"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// TestWhatWaitedLongestIsReadNextWithAllThatItsWidestReaderSees: the pool is
// read in the order of its oldest events, many a call, none twice.
func TestWhatWaitedLongestIsReadNextWithAllThatItsWidestReaderSees(t *testing.T) {
	h := newHints()
	via := map[string][]string{"a": {"p", "q"}, "b": {"q"}, "c": {"q"}, "d": {"r"}, "big": {"q"}}
	source := func(t *todo) (connector.Source, bool) {
		v := via[t.hint.Container]
		return connector.Source{Container: record.Container{ID: t.hint.Container}, Via: v}, len(v) > 0
	}
	began := time.Now()
	add := func(after int, container, item string) {
		h.add(record.Chat, connector.Hint{Container: container, Item: item, Fresh: true}, dingtalk.Event{ID: container + item, Born: began.Add(time.Duration(after) * time.Second)})
	}
	add(5, "b", "1")
	add(1, "a", "1")
	add(6, "b", "2")
	add(4, "d", "1")
	add(7, "hidden", "1")
	for i := range connector.NamesPerCall - 1 {
		add(8, "big", fmt.Sprint(i))
	}
	expect := func(reader string, names int, containers ...string) {
		t.Helper()
		p := h.pick(began, source)
		got := ""
		for _, t := range p.todos {
			got += t.hint.Container + " "
		}
		want := ""
		for _, c := range containers {
			want += c + " "
		}
		if p.reader != reader || len(p.want) != names || got != want {
			t.Errorf("%q reads %d of %s, want %q, %d of %s", p.reader, len(p.want), got, reader, names, want)
		}
	}
	expect("q", 3, "a", "b") // "big" does not fit any more
	add(0, "a", "2")         // its container is busy
	expect("r", 1, "d")
	expect("q", connector.NamesPerCall-1, "big")
	expect("", 0)
	h.end(&todo{kind: record.Chat, hint: connector.Hint{Container: "a"}})
	expect("p", 1, "a")
	if ts := h.take(func(t *todo) bool { _, ok := source(t); return !ok }); len(ts) != 1 {
		t.Errorf("%d cannot be read by name, want the one that no reader sees", len(ts))
	}
}

// TestWhatCouldNotBeReadByNameWaitsAgainWithAllThatItIsToldMeanwhile keeps a
// failed call from losing a name.
func TestWhatCouldNotBeReadByNameWaitsAgainWithAllThatItIsToldMeanwhile(t *testing.T) {
	h := newHints()
	now := time.Now()
	source := func(*todo) (connector.Source, bool) { return connector.Source{Via: []string{"p"}}, true }
	h.add(record.Chat, connector.Hint{Container: "c", Item: "1", Fresh: true}, dingtalk.Event{ID: "e1", Born: now})
	p := h.pick(now, source)
	h.add(record.Chat, connector.Hint{Container: "c", Item: "2"}, dingtalk.Event{ID: "e2", Born: now.Add(time.Second)})
	p.todos[0].tries = 1
	h.giveBack(p.todos[0], now)
	if p := h.pick(now, source); len(p.want) != 0 {
		t.Error("it was tried again at once")
	}
	p = h.pick(now.Add(time.Second), source)
	if len(p.want) != 2 || !p.todos[0].whole || !p.todos[0].born.Equal(now) {
		t.Errorf("%d names of 2, whole %v, born %v", len(p.want), p.todos[0].whole, p.todos[0].born)
	}
}

// TestACallThatHangsKeepsOnlyWhatItNamedWaiting: DingTalk does not answer one
// reading by name; other conversations and other kinds are held within
// seconds, and what hung is held in the end.
func TestACallThatHangsKeepsOnlyWhatItNamedWaiting(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	b.openStreams(t, 10*time.Second)
	b.mu.Lock()
	b.missed, b.caught = false, time.Now() // no listing may find them instead
	b.mu.Unlock()
	b.idle(t)
	var convs []connector.Source
	for _, s := range b.conversations() {
		if len(s.Via) > 1 {
			convs = append(convs, s)
		}
	}
	before := b.chats(t)
	send := func(s connector.Source, n int) {
		b.control(t, "/_sim/send", fmt.Sprintf(`{"conversationId":%q,"senderUserId":%q,"text":"number %d"}`, s.ID, s.Via[0], n))
	}
	b.control(t, "/_sim/faults", `{"match":"list_messages_by_ids","kind":"timeout","count":1}`)
	send(convs[0], 0)
	time.Sleep(time.Second)
	for i := range 5 {
		send(convs[1], i+1)
	}
	await := func(want int64, within time.Duration) {
		t.Helper()
		for end := time.Now().Add(within); b.chats(t)-before < want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d are held after %v", b.chats(t)-before, want, within)
			}
		}
	}
	await(5, 5*time.Second)
	if n := b.chats(t) - before; n != 5 {
		t.Fatalf("%d are held: no call hung", n)
	}
	await(6, 30*time.Second)
	b.compare(t)
}

// TestAReaderWhomDingTalkRefusesIsLeftOutForAWhile: one member's consent has
// gone; his conversations are read through others at once, and nobody knocks at
// the same door with every event.
func TestAReaderWhomDingTalkRefusesIsLeftOutForAWhile(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	b.openStreams(t, 10*time.Second)
	b.mu.Lock()
	b.missed, b.caught = false, time.Now()
	b.mu.Unlock()
	b.idle(t)
	f := b.newFollower(nil, newHints())
	f.shut["p"] = time.Now().Add(time.Hour)
	f.shut["q"] = time.Now().Add(-time.Second)
	if got := f.notRefused([]string{"p", "q", "r"}); len(got) != 2 || got[0] != "q" {
		t.Errorf("%v may read, want q and r", got)
	}
	before := b.chats(t)
	var conv connector.Source
	for _, s := range b.conversations() {
		if len(s.Via) > 1 {
			conv = s
			break
		}
	}
	b.control(t, "/_sim/faults", `{"match":"list_messages_by_ids","kind":"ipblock","count":1}`)
	for i := range 10 {
		b.control(t, "/_sim/send", fmt.Sprintf(`{"conversationId":%q,"senderUserId":%q,"text":"number %d"}`, conv.ID, conv.Via[0], i))
		time.Sleep(100 * time.Millisecond)
	}
	for end := time.Now().Add(8 * time.Second); b.chats(t)-before < 10; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of 10 are held", b.chats(t)-before)
		}
	}
}
