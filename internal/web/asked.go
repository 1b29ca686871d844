package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Words that people search for are often names. They travel in the body of a
// form and stay here; addresses, which browsers, proxies and histories keep,
// hold what stands for them in this session of this process.

const (
	askedLife  = 12 * time.Hour
	manyAsked  = 5000
	longestAsk = 1000 // characters
)

type asked struct {
	text  string
	until time.Time
}

// askedID stands for words in the addresses of one session; the same words give
// the same again, so that going back and pressing reload work.
func (s *Server) askedID(c echo.Context, text string) string {
	v := visitOf(c)
	owner := v.token // a member's
	if v.session != nil {
		owner = v.session.ID
	}
	m := hmac.New(sha256.New, s.askKey)
	m.Write([]byte(owner))
	m.Write([]byte{0})
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// keepWords keeps words until they are asked for by what stands for them.
func (s *Server) keepWords(c echo.Context, text string) (id string) {
	id = s.askedID(c, text)
	now := s.d.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.askedFor) >= manyAsked {
		for k, a := range s.askedFor {
			if now.After(a.until) {
				delete(s.askedFor, k)
			}
		}
	}
	for k := range s.askedFor {
		if len(s.askedFor) < manyAsked {
			break
		}
		delete(s.askedFor, k)
	}
	s.askedFor[id] = asked{text, now.Add(askedLife)}
	return id
}

// keptWords are the words behind an address; ok is false when they are kept no
// longer, or are another session's.
func (s *Server) keptWords(c echo.Context) (id, text string, ok bool) {
	if id = c.QueryParam("s"); id == "" {
		return "", "", true
	}
	s.mu.Lock()
	a, ok := s.askedFor[id]
	s.mu.Unlock()
	if !ok || s.d.Now().After(a.until) || !hmac.Equal([]byte(s.askedID(c, a.text)), []byte(id)) {
		return "", "", false
	}
	return id, a.text, true
}

// askWords takes the form of a search and goes to the page that answers it.
func (s *Server) askWords(c echo.Context, page string, tooLong func() error) error {
	text := strings.TrimSpace(c.FormValue("q"))
	if len([]rune(text)) > longestAsk {
		return tooLong()
	}
	pairs := []string{"as_of", c.FormValue("as_of"), "s", ""}
	if text != "" {
		pairs[3] = s.keepWords(c, text)
	}
	for _, k := range []string{"kind", "dept", "from", "to", "in"} {
		pairs = append(pairs, k, c.FormValue(k))
	}
	return c.Redirect(http.StatusSeeOther, query(page, pairs...))
}
