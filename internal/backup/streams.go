package backup

import (
	"context"
	"slices"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/settings"
)

// keepStreams opens the app's stream, and personal streams for so many members
// that every known conversation is heard; it looks again when a run has
// ended, because members and conversations may have changed.
func (e *Engine) keepStreams(ctx context.Context, h *hints) error {
	open := map[string]context.CancelFunc{}
	defer func() {
		for _, cancel := range open {
			cancel()
		}
	}()
	for {
		if client := e.d.Client(); client != nil && !e.paused(ctx) {
			want := map[string]bool{"": true}
			for _, p := range e.listeners() {
				want[p] = true
			}
			for p := range want {
				if open[p] == nil {
					sctx, cancel := context.WithCancel(ctx)
					open[p] = cancel
					go e.listen(sctx, client, p, h) // ends with ctx
				}
			}
			for p, cancel := range open {
				if !want[p] {
					cancel()
					delete(open, p)
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.wake:
		case <-time.After(time.Minute):
		}
	}
}

// poke makes the stream keeper look again now.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Poke tells the engine that the tenant's binding or a consent changed.
func (e *Engine) Poke() { e.poke() }

func (e *Engine) listen(ctx context.Context, client *dingtalk.Client, person string, h *hints) {
	handle := func(ev dingtalk.Event) error {
		for kind, c := range e.kinds {
			if ec, ok := c.(connector.Eventer); ok {
				if hint, ok := ec.Hint(ev); ok {
					h.add(kind, hint, ev)
				}
			}
		}
		return nil
	}
	connected := func(up bool) {
		e.mu.Lock()
		if up {
			e.streams++
			e.missed = true // nothing is replayed: what happened unheard must be listed
		} else {
			e.streams--
		}
		e.mu.Unlock()
	}
	var err error
	if person == "" {
		e.subscribe(ctx, client)
		err = client.Stream(ctx, handle, connected)
	} else {
		err = client.PersonalStream(ctx, person, handle, connected)
	}
	if err != nil && ctx.Err() == nil {
		e.d.Log.WarnContext(ctx, "an event stream is closed until a person acts", "err", err)
	}
}

// subscribe asks for storage events, which do not come unasked.
func (e *Engine) subscribe(ctx context.Context, client *dingtalk.Client) {
	operator := e.setting(ctx, settings.Operator, "")
	corp := e.setting(ctx, settings.CorpID, "")
	if operator == "" || corp == "" {
		return
	}
	if err := client.SubscribeStorage(ctx, operator, corp); err != nil {
		e.d.Log.WarnContext(ctx, "no storage events: changes of files are found by the nightly listing", "err", err)
	}
}

// listeners chooses members so that each conversation is heard by two where two
// can read it: a member's own messages never come over his own stream.
func (e *Engine) listeners() []string {
	left := map[string][]string{} // conversation → its readers who are not chosen
	need := map[string]int{}
	for _, s := range e.conversations() {
		if len(s.Via) > 0 {
			left[s.ID], need[s.ID] = slices.Clone(s.Via), min(2, len(s.Via))
		}
	}
	var out []string
	for len(left) > 0 {
		count := map[string]int{}
		for _, via := range left {
			for _, p := range via {
				count[p]++
			}
		}
		best := ""
		for p, n := range count {
			if best == "" || n > count[best] || n == count[best] && p < best {
				best = p
			}
		}
		out = append(out, best)
		for id, via := range left {
			i := slices.Index(via, best)
			if i < 0 {
				continue
			}
			left[id] = slices.Delete(via, i, i+1)
			if need[id]--; need[id] == 0 {
				delete(left, id)
			}
		}
	}
	return out
}
