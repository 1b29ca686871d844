package backup

import (
	"maps"
	"slices"
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

	later []later // to be read on when their time has come
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
	born  time.Time       // of the oldest event in it
	tries int             // how often reading it by name failed
	after time.Time       // not read by name before
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

// take hands out what waits and is wanted, and marks it busy. What is told of a
// container that is busy waits until that has ended.
func (h *hints) take(wanted func(*todo) bool) []*todo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*todo
	for k, t := range h.todo {
		if !h.busy[k] && wanted(t) {
			out = append(out, t)
			h.busy[k] = true
			delete(h.todo, k)
		}
	}
	return out
}

// part is what one call reads by name.
type part struct {
	reader string
	want   []connector.Named
	todos  []*todo
}

// pick takes what one call should read next, and marks it busy: what has waited
// longest, through that of its readers who sees most of the others, and of
// those as many as fit. source tells what can be read by name.
func (h *hints) pick(now time.Time, source func(*todo) (connector.Source, bool)) (p part) {
	h.mu.Lock()
	defer h.mu.Unlock()
	type waiting struct {
		*todo
		src connector.Source
	}
	var ws []waiting
	for k, t := range h.todo {
		if h.busy[k] || now.Before(t.after) {
			continue
		}
		if src, ok := source(t); ok {
			ws = append(ws, waiting{t, src})
		}
	}
	if len(ws) == 0 {
		return p
	}
	slices.SortFunc(ws, func(a, b waiting) int { return a.born.Compare(b.born) })
	ws = slices.DeleteFunc(ws, func(w waiting) bool { return w.kind != ws[0].kind })
	most := 0
	for _, reader := range ws[0].src.Via {
		n := 0
		for _, w := range ws {
			if slices.Contains(w.src.Via, reader) {
				n += len(w.fresh) + len(w.items)
			}
		}
		if n > most {
			p.reader, most = reader, n
		}
	}
	for _, w := range ws {
		n := len(w.fresh) + len(w.items)
		if !slices.Contains(w.src.Via, p.reader) || len(p.want) > 0 && len(p.want)+n > connector.NamesPerCall {
			continue
		}
		for _, names := range []map[string]bool{w.fresh, w.items} {
			for id := range names {
				p.want = append(p.want, connector.Named{Source: w.src, ID: id})
			}
		}
		p.todos = append(p.todos, w.todo)
		h.busy[w.key()] = true
		delete(h.todo, w.key())
	}
	return p
}

// giveBack lets a todo that came to nothing wait again, a moment longer each time.
func (h *hints) giveBack(t *todo, now time.Time) {
	h.mu.Lock()
	delete(h.busy, t.key())
	h.mu.Unlock()
	h.again(t, now)
}

// again is giveBack for a todo whose container is not kept busy for it.
func (h *hints) again(t *todo, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := time.Duration(t.tries) * time.Second
	t.after = now.Add(wait)
	if n := h.todo[t.key()]; n != nil { // told of meanwhile
		maps.Copy(t.items, n.items)
		maps.Copy(t.fresh, n.fresh)
		t.whole = t.whole || n.whole
	}
	h.todo[t.key()] = t
	time.AfterFunc(wait, h.call)
}

func (h *hints) end(t *todo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, t.key())
	if h.todo[t.key()] != nil {
		h.call()
	}
}
