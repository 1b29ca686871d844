package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// figures answers a monitor that sits on this machine, or has the token. To
// everybody else there is no such page.
func (s *Server) figures(c echo.Context) error {
	r := c.Request()
	given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case s.d.Figures == nil:
		return echo.NewHTTPError(http.StatusNotFound)
	case bearer && s.d.FiguresToken != "" && sameSecret(given, s.d.FiguresToken):
	case bearer:
		return errors.Join(s.refused(c, "metrics"), echo.NewHTTPError(http.StatusUnauthorized))
	case !onThisMachine(r):
		return echo.NewHTTPError(http.StatusNotFound)
	}
	s.d.Figures.ServeHTTP(c.Response(), r)
	return nil
}

// sameSecret compares without telling how far two texts agree, or how long the
// right one is.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// onThisMachine reports a request of a program on this machine itself. One that
// a proxy hands on comes from somebody else, wherever the proxy runs.
func onThisMachine(r *http.Request) bool {
	for name := range r.Header {
		switch {
		case strings.HasPrefix(name, "X-Forwarded"), name == "Forwarded", name == "X-Real-Ip", name == "Via":
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// measured tells of each answer. Streams last as long as somebody looks, and
// say nothing about how fast the console is.
func (s *Server) measured(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if strings.HasPrefix(c.Request().URL.Path, "/events/") {
			return next(c)
		}
		began := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err) // its answer is what is counted; fail says nothing twice
		}
		if c.Response().Committed { // else nobody waited for it
			s.d.Answered(c.Response().Status, time.Since(began))
		}
		return nil
	}
}
