package backup

import (
	"sync"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// hints gathers what events make worth reading. Many events of one container
// become one reading.
type hints struct {
	mu   sync.Mutex
	todo map[string]*todo
	busy map[string]bool // keys of containers that are being followed
	seen map[string]bool // ids of events and of new items, for duplicates

	later []later // read on when their time has come
	wake  chan struct{}
}

func newHints() *hints {
	return &hints{todo: map[string]*todo{}, busy: map[string]bool{}, seen: map[string]bool{}, wake: make(chan struct{}, 1)}
}

func (t *todo) key() string { return string(t.kind) + "/" + t.hint.Container }

type todo struct {
	kind  record.Kind
	hint  connector.Hint  // Container
	items map[string]bool // captured already, changed since
	fresh map[string]bool // new: reading on finds them too
	whole bool            // read on from the cursor
	born  time.Time
}

func (h *hints) add(kind record.Kind, hint connector.Hint, ev dingtalk.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := string(kind) + "/" + hint.Container
	ids := []string{ev.ID}
	if hint.Fresh && hint.Item != "" { // two members hear of it, each under an id of its own
		ids = append(ids, key+"/"+hint.Item)
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if h.seen[id] {
			return
		}
		if len(h.seen) > 50000 {
			clear(h.seen)
		}
		h.seen[id] = true
	}
	t := h.todo[key]
	if t == nil {
		t = &todo{kind: kind, hint: hint, items: map[string]bool{}, fresh: map[string]bool{}, born: ev.Born}
		h.todo[key] = t
	}
	switch {
	case hint.Item == "":
		t.whole = true
	case hint.Fresh:
		t.whole, t.fresh[hint.Item] = true, true
	default:
		t.items[hint.Item] = true
	}
	h.call()
}

func (h *hints) call() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// take hands out what waits. What is told of a container that is being
// followed waits until that has ended.
func (h *hints) take() []*todo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*todo
	for k, t := range h.todo {
		if !h.busy[k] {
			out = append(out, t)
			delete(h.todo, k)
		}
	}
	return out
}

func (h *hints) begin(t *todo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy[t.key()] = true
}

func (h *hints) end(t *todo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, t.key())
	if h.todo[t.key()] != nil {
		h.call()
	}
}
