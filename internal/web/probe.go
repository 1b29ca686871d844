package web

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"golang.org/x/time/rate"

	"farol/internal/audit"
	"farol/internal/auth"
)

// sparse lets one of a kind through in a minute: whoever tries things without
// an account must not fill the log.
type sparse struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// manySources bounds what is remembered.
const manySources = 2000

func (p *sparse) first(now time.Time, kind string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := p.last[kind]; ok && now.Sub(t) < time.Minute && !now.Before(t) {
		return false
	}
	if p.last == nil || len(p.last) >= manySources {
		p.last = map[string]time.Time{}
	}
	p.last[kind] = now
	return true
}

// refused writes that something was tried which no page of ours does. why is a
// word of a fixed list; a source gets one entry a minute for each.
func (s *Server) refused(c echo.Context, why string) error {
	if !s.probes.first(s.d.Now(), why+" "+c.RealIP()) {
		return nil
	}
	return s.note(c, audit.Event{Operation: "access.denied", Object: "page" + c.Path(), Outcome: "denied", Detail: map[string]string{"why": why}})
}

// inbound looks at what arrives before any handler does. A body that is too
// large or never ends and an address that climbs are refused, and that is an
// entry. The values of a form come from its body alone: an address must not
// fill in what a person should have typed.
func (s *Server) inbound() echo.MiddlewareFunc {
	limit := middleware.BodyLimit("256K")
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		taken := limit(func(c echo.Context) error {
			r := c.Request()
			if climbs(r.URL.Path) {
				return errors.Join(s.refused(c, "path"), echo.NewHTTPError(http.StatusNotFound))
			}
			err := r.ParseForm()
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return errors.Join(s.refused(c, "slow"), echo.NewHTTPError(http.StatusBadRequest))
				} else if err != nil {
					return err
				}
				r.Form = r.PostForm
			}
			if to := r.Form.Get("next"); to != "" && local(to) != to {
				if err := s.refused(c, "next"); err != nil {
					return err
				}
			}
			return next(c)
		})
		return func(c echo.Context) error {
			err := taken(c)
			if errors.Is(err, echo.ErrStatusRequestEntityTooLarge) {
				return errors.Join(s.refused(c, "size"), err)
			}
			return err
		}
	}
}

// climbs reports an address that none of ours looks like.
func climbs(path string) bool {
	return strings.Contains(path, "..") || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f })
}

// How fast one account may open content: a person reads on without noticing,
// pictures included; a program that copies everything does not.
const (
	readPace  = rate.Limit(5) // a second
	readBurst = 3000
)

// paced takes one of the account's openings of content, or says how long to
// wait.
func (s *Server) paced(c echo.Context, account string) error {
	s.mu.Lock()
	l := s.paces[account]
	if l == nil {
		l = rate.NewLimiter(readPace, s.burst)
		s.paces[account] = l
	}
	s.mu.Unlock()
	if l.Allow() {
		return nil
	}
	return errors.Join(s.refused(c, "pace"), &auth.Slow{Wait: time.Minute})
}
