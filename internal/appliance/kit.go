package appliance

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/internal/web"
)

// Kit splits the root key into n shares of which k open it. The shares are
// given once; they are kept nowhere.
func (a *Appliance) Kit(ctx context.Context, by string, n, k int) ([]keys.Share, error) {
	a.mu.Lock()
	root := a.root
	a.mu.Unlock()
	return a.split(ctx, by, root, n, k)
}

// split makes shares of a root key and waits for them to be typed back.
func (a *Appliance) split(ctx context.Context, by string, root keys.Root, n, k int) ([]keys.Share, error) {
	if !kit.Possible(n, k) {
		return nil, &i18n.Error{ID: "kit.numbers"}
	}
	shares, err := keys.Split(root, n, k)
	if err != nil {
		return nil, err
	}
	if err := a.shareEntry(ctx, by, "made", map[string]string{"shares": strconv.Itoa(n), "needed": strconv.Itoa(k)}); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.kit, a.kitRoot = shares, root
	a.mu.Unlock()
	return shares, nil
}

func (a *Appliance) shareEntry(ctx context.Context, by, what string, detail map[string]string) error {
	detail["what"] = what
	_, err := a.audit.Append(ctx, audit.Event{Actor: by, Operation: "key.share.issue", Object: "key/root", Outcome: "ok", Detail: detail})
	return err
}

// ConfirmKit checks shares that were typed back from paper: enough of those
// just made must give the root key that was split. If that is a new one, it
// takes the place of the present one now.
func (a *Appliance) ConfirmKit(ctx context.Context, by string, typed []string) error {
	a.kitMu.Lock() // one at a time: a rotation takes a moment
	defer a.kitMu.Unlock()
	a.mu.Lock()
	made, of, now := a.kit, a.kitRoot, a.root
	a.mu.Unlock()
	if made == nil {
		return &i18n.Error{ID: "kit.none"}
	}
	shares, root, err := combine(typed)
	if err != nil {
		return err
	}
	if !root.Equal(of) {
		return &i18n.Error{ID: "kit.other"}
	}
	for i := range shares {
		if n := shares[i].Number; n > len(made) || made[n-1].Mark() != shares[i].Mark() {
			return &i18n.Error{ID: "kit.older"}
		}
	}
	if of.Equal(now) {
		err = a.kits.Replace(ctx, made, of.Check(), by, func() error {
			return a.shareEntry(ctx, by, "proved", map[string]string{"shares": strconv.Itoa(made[0].N), "needed": strconv.Itoa(made[0].K)})
		})
	} else {
		err = a.rotate(ctx, by, of, made)
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.kit, a.kitRoot = nil, keys.Root{}
	a.mu.Unlock()
	return nil
}

// Rehearse puts the key together from typed shares and tries it on the lock of
// this archive and of each copy, as they lie there now.
func (a *Appliance) Rehearse(ctx context.Context, by string, typed []string) (web.Rehearsal, error) {
	shares, root, err := combine(typed)
	a.mu.Lock()
	now := a.root
	a.mu.Unlock()
	if err == nil && !root.Equal(now) {
		err = &i18n.Error{ID: "kit.other"}
	}
	if err != nil {
		_, nerr := a.audit.Append(ctx, audit.Event{Actor: by, Operation: "drill.run", Object: "key/root", Outcome: "failed", Detail: map[string]string{"what": "shares"}})
		return web.Rehearsal{}, errors.Join(err, nerr)
	}
	out := web.Rehearsal{At: time.Now().UTC()}
	try := func(name string, read func(context.Context) ([]byte, error)) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		l := web.Lock{Name: name}
		b, err := read(ctx)
		if err == nil {
			err = archive.Opens(ctx, b, root)
		} else {
			l.Away = true
		}
		if l.Opened = err == nil; !l.Opened {
			a.log.WarnContext(ctx, "a lock did not open in a rehearsal", "name", name, "err", err)
		}
		out.Locks = append(out.Locks, l)
	}
	try("", func(context.Context) ([]byte, error) { return a.archive.Lock() })
	for _, l := range a.copiedLocks(ctx) {
		try(l.name, l.read)
	}
	opened := 0
	for _, l := range out.Locks {
		if l.Opened {
			opened++
		}
	}
	ev := audit.Event{Actor: by, Operation: "drill.run", Object: "key/root", Outcome: "ok", Detail: map[string]string{"what": "shares", "shares": numbers(shares), "opened": strconv.Itoa(opened), "locks": strconv.Itoa(len(out.Locks))}}
	if opened < len(out.Locks) {
		ev.Outcome = "partial"
	}
	err = a.kits.Rehearsed(ctx, shares, func() error {
		_, err := a.audit.Append(ctx, ev)
		return err
	})
	if errors.Is(err, kit.ErrNone) { // shares of a kit that this database never knew
		_, err = a.audit.Append(ctx, ev)
	}
	return out, err
}

func numbers(shares []keys.Share) string {
	var out []string
	for i := range shares {
		out = append(out, strconv.Itoa(shares[i].Number))
	}
	return strings.Join(out, " ")
}

// combine reads typed shares and joins them; the error names the bad one.
func combine(typed []string) ([]keys.Share, keys.Root, error) {
	var shares []keys.Share
	for i, t := range typed {
		if strings.TrimSpace(t) == "" {
			continue
		}
		s, err := keys.ParseShare(t)
		if err != nil {
			return nil, keys.Root{}, &i18n.Error{ID: "kit.share", Args: []any{"n", i + 1}, Err: err}
		}
		shares = append(shares, s)
	}
	root, err := keys.Combine(shares)
	if err != nil {
		return nil, keys.Root{}, &i18n.Error{ID: "kit.combine", Err: err}
	}
	return shares, root, nil
}
