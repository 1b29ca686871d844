package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// lateZip sends the headers with the first byte, so that a refusal before it
// is still a page.
type lateZip struct {
	c     echo.Context
	name  string
	begun bool
	w     http.ResponseWriter
}

func (z *lateZip) Write(b []byte) (int, error) {
	if !z.begun {
		z.begun = true
		z.w = moving(z.c)
		attach(z.w, z.name, "application/zip")
		z.w.WriteHeader(http.StatusOK)
	}
	return z.w.Write(b)
}

// moving extends the time of an answer for as long as its bytes are taken.
func moving(c echo.Context) http.ResponseWriter {
	return &movingWriter{c.Response(), http.NewResponseController(c.Response()), time.Time{}}
}

type movingWriter struct {
	http.ResponseWriter
	rc   *http.ResponseController
	last time.Time
}

func (m *movingWriter) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(m.last) > time.Second {
		m.last = now
		if err := m.rc.SetWriteDeadline(now.Add(writeTime)); err != nil && !isUnsupported(err) {
			return 0, err
		}
	}
	return m.ResponseWriter.Write(b)
}
