package appliance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"farol/internal/audit"
	"farol/internal/auth"
)

// ctlUnlock forgets the tries of an account, or of all: whoever is at the
// machine itself is never kept out by guesses from elsewhere.
func (a *Appliance) ctlUnlock(r *http.Request) (any, error) {
	var in struct {
		Name string
		All  bool
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	if in.Name = strings.TrimSpace(in.Name); (in.Name == "") != in.All {
		return nil, errors.New("name one account, or all")
	}
	ev := audit.Event{Actor: "root@machine", Role: "machine", Source: "control socket", Operation: "login.unlock", Object: "account", Outcome: "ok"}
	if !in.All { // by hash, as the console names accounts of tries
		h := sha256.Sum256([]byte(in.Name))
		ev.Object += "/" + hex.EncodeToString(h[:6])
	}
	n, err := a.accounts.Unlock(r.Context(), in.Name, func() error {
		_, err := a.audit.Append(r.Context(), ev)
		return err
	})
	if errors.Is(err, auth.ErrUnknown) {
		return nil, auth.ErrUnknown
	} else if err != nil {
		return nil, err
	}
	return map[string]int64{"forgotten": n}, nil
}
