package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/templates"
	"farol/templates/ui"
)

// claimed is a browser that typed the set-up code, until it made the account.
type claimed struct {
	until  time.Time
	secret string // of the authenticator, as the page shows it
}

const claimLife = 30 * time.Minute

// blind names a thing in the log without naming it.
func blind(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:6])
}

func (s *Server) claimOf(c echo.Context) (claimed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.claims[blind(cookie(c, claimCookie))]
	return k, ok && s.d.Now().Before(k.until)
}

func (s *Server) claimPage(c echo.Context) templates.SetupClaim {
	return templates.SetupClaim{Setup: s.wizard(c, 1), Fingerprint: s.d.Machine.Fingerprint()}
}

func (s *Server) claimForm(c echo.Context) error { return render(c, http.StatusOK, s.claimPage(c)) }

func (s *Server) claim(c echo.Context) error {
	w, typed := s.words(c), c.FormValue("code")
	if err := s.d.Machine.Claim().Check(typed); err != nil {
		p := s.claimPage(c)
		p.Code = typed
		id := "setup.claim.wrong"
		if errors.Is(err, auth.ErrNoTries) {
			id = "setup.claim.notries"
		}
		p.Problems = []ui.Problem{{Field: "code", Text: w.t(id)}}
		if nerr := s.note(c, audit.Event{Operation: "setup.claim", Object: "appliance", Outcome: "denied"}); nerr != nil {
			return nerr
		}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	secret, err := auth.NewSecret("admin")
	if err != nil {
		return err
	}
	token := rand.Text() + rand.Text()
	s.mu.Lock()
	s.claims[blind(token)] = claimed{s.d.Now().Add(claimLife), secret.Text}
	s.mu.Unlock()
	setCookie(c, claimCookie, token, int(claimLife.Seconds()), http.SameSiteStrictMode)
	return seeOther(c, "/setup/admin")
}
