package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"farol/templates"
)

type templComponent = templ.Component

// A stream sends at most so often, and something at least so often.
const (
	streamGap  = 300 * time.Millisecond
	streamIdle = 15 * time.Second
)

// stream sends fragments for as long as draw says that there is more. changed
// is asked before each drawing, so that no change between two is missed. The
// session is looked at again with each keep-alive: a stream must not outlive
// it.
func (s *Server) stream(c echo.Context, changed func() <-chan struct{}, draw func() (templ.Component, bool)) error {
	ctx, w := c.Request().Context(), c.Response()
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	send := func(event, data string) error {
		if err := rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !isUnsupported(err) {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "event: %s\n", event)
		for line := range strings.Lines(data) {
			fmt.Fprintf(&b, "data: %s\n", strings.TrimRight(line, "\r\n"))
		}
		if data == "" {
			b.WriteString("data:\n")
		}
		b.WriteString("\n")
		if _, err := w.Write([]byte(b.String())); err != nil {
			return err
		}
		return rc.Flush()
	}
	last := ""
	for {
		next := changed()
		p, more := draw()
		body, err := text(ctx, p)
		if err != nil {
			return fmt.Errorf("draw for a stream: %w", err)
		}
		if body != last {
			if err := send("fragment", body); err != nil {
				return nil // the reader has gone
			}
			last = body
		}
		if !more {
			_ = send("end", "") // the reader may have gone; either way it is over
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		case <-time.After(streamIdle):
			if _, err := s.d.Accounts.Peek(ctx, visitOf(c).token); err != nil {
				return nil
			}
			if err := send("idle", ""); err != nil {
				return nil
			}
		}
		if !pause(ctx, streamGap) {
			return nil
		}
	}
}

func isUnsupported(err error) bool { return errors.Is(err, http.ErrNotSupported) }

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *Server) backupEvents(c echo.Context) error {
	return s.backupStream(c, func(p templates.Progress) templ.Component { return p.Panel() })
}

func (s *Server) backupEventsShort(c echo.Context) error {
	return s.backupStream(c, func(p templates.Progress) templ.Component { return p.Short() })
}

func (s *Server) backupStream(c echo.Context, shape func(templates.Progress) templ.Component) error {
	l := visitOf(c).lang
	return s.stream(c, s.d.Engine.Watch, func() (templ.Component, bool) {
		f := facts{progress: s.d.Engine.Progress()}
		if !f.progress.Running {
			runs, err := s.d.Engine.Runs(c.Request().Context(), 1)
			if err != nil {
				s.d.Log.WarnContext(c.Request().Context(), "list runs", "err", err)
			}
			f.runs = runs
			s.stale()
		}
		p, ended := s.progressNow(words{l, s.d.Now()}, f)
		return shape(p), !ended
	})
}
