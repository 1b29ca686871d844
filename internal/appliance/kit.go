package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/settings"
)

// pendingKit is a recovery kit that was shown and not yet typed back.
type pendingKit struct {
	n, k   int
	shares []keys.Share
}

// kitInfo is what is remembered of a kit: no share.
type kitInfo struct {
	N    int       `json:"n"`
	K    int       `json:"k"`
	Made time.Time `json:"made"`
}

// Kit splits the root key into n shares of which k open it. The shares are
// given once; they are kept nowhere.
func (a *Appliance) Kit(ctx context.Context, n, k int) ([]string, error) {
	if k < 1 || k > n || n > 10 {
		return nil, &i18n.Error{ID: "kit.numbers"}
	}
	shares, err := keys.Split(a.root, n, k)
	if err != nil {
		return nil, err
	}
	if _, err := a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "key.share.issue", Object: "root", Outcome: "ok"}); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.kit = &pendingKit{n, k, shares}
	a.mu.Unlock()
	out := make([]string, len(shares))
	for i, s := range shares {
		out[i] = s.Text()
	}
	return out, nil
}

// ConfirmKit checks shares that were typed back from paper: enough of them
// must give this appliance's root key.
func (a *Appliance) ConfirmKit(ctx context.Context, typed []string) error {
	a.mu.Lock()
	kit := a.kit
	a.mu.Unlock()
	if kit == nil {
		return &i18n.Error{ID: "kit.none"}
	}
	root, err := combine(typed)
	if err != nil {
		return err
	}
	if !root.Equal(a.root) {
		return &i18n.Error{ID: "kit.other"}
	}
	b, err := json.Marshal(kitInfo{kit.n, kit.k, time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := a.settings.Set(ctx, map[string]string{settings.KitShares: string(b), settings.KitConfirmed: time.Now().UTC().Format(time.RFC3339)}); err != nil {
		return err
	}
	a.mu.Lock()
	a.kit = nil
	a.mu.Unlock()
	return nil
}

// combine reads typed shares and joins them; the error names the bad one.
func combine(typed []string) (keys.Root, error) {
	var shares []keys.Share
	for i, t := range typed {
		if t == "" {
			continue
		}
		s, err := keys.ParseShare(t)
		if err != nil {
			return keys.Root{}, &i18n.Error{ID: "kit.share", Args: []any{"n", i + 1}, Err: err}
		}
		shares = append(shares, s)
	}
	root, err := keys.Combine(shares)
	if err != nil {
		return keys.Root{}, &i18n.Error{ID: "kit.combine", Err: errors.Join(err)}
	}
	return root, nil
}
