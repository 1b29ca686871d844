// Package web is the console: its routes with the permission each needs, its
// forms, and the making of pages out of what the other packages answer.
//
// It promises that nothing but sign-in, set-up, a member's consent and the
// assets is served without a session, that a member's session opens no page of
// the console and none of the console a member's, that content is opened only through the
// restore package, and that every page works without script.
package web

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/kit"
	"farol/internal/matter"
	"farol/internal/member"
	"farol/internal/restore"
	"farol/internal/settings"
	"farol/internal/watch"
)

// Deps is what the console works with.
type Deps struct {
	Accounts *auth.Accounts
	Door     *restore.Door
	Engine   *backup.Engine
	Settings *settings.Settings
	Audit    *audit.Log
	Catalog  *catalog.Catalog
	Watch    *watch.Watch
	Machine  Machine

	Access    *access.Book
	Approvals *approval.Book
	Matters   *matter.Register
	Kit       *kit.Book
	Members   *member.Members

	// Figures answers GET /metrics, nil where there are none. FiguresToken opens
	// it from elsewhere than this machine, "" when nothing does. Answered hears
	// of each answer and Noted of each entry that a request leaves; nil is nobody.
	Figures      http.Handler
	FiguresToken string
	Answered     func(status int, took time.Duration)
	Noted        func(operation string)

	Log *slog.Logger
	Now func() time.Time
}

// Server is the console.
type Server struct {
	d Deps
	e *echo.Echo

	readTime time.Duration // bounds the arrival of a request
	burst    int           // of content that one account opens at once
	probes   sparse

	claimed atomic.Bool // there is an account; never goes back
	done    atomic.Bool // set-up is finished; never goes back

	mu        sync.Mutex               // guards below
	claims    map[string]claimed       // browsers that typed the set-up code
	enrolling map[int64]claimed        // accounts about to change their authenticator
	pending   map[string]pending       // consents under way, by DingTalk's state
	paces     map[string]*rate.Limiter // accounts that opened content
	unasked   map[string]unasked       // deeds that want a reason, by ticket
	askedFor  map[string]asked         // words of searches, by what stands for them
	askKey    []byte                   // of this process, for that
	checked   checkedLog               // the last check of the audit log
	facts     facts                    // at most two seconds old
}

// New returns a console. It starts nothing.
func New(d Deps) (*Server, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Answered == nil {
		d.Answered = func(int, time.Duration) {}
	}
	if d.Noted == nil {
		d.Noted = func(string) {}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{d: d, readTime: time.Minute, burst: readBurst, paces: map[string]*rate.Limiter{}, claims: map[string]claimed{}, enrolling: map[int64]claimed{}, pending: map[string]pending{}, unasked: map[string]unasked{}, askedFor: map[string]asked{}, askKey: []byte(rand.Text() + rand.Text())}
	s.e = s.router()
	return s, nil
}

// Handler is the console as a handler, for tests.
func (s *Server) Handler() http.Handler { return s.e }

// writeTime bounds an answer; streams and exports extend it while they move.
const writeTime = time.Minute

// Serve answers on ln until ctx ends. Streams end with ctx, other requests are
// given ten seconds.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.e,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       s.readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.d.Log.Handler(), slog.LevelDebug),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return errors.Join(srv.Shutdown(end), ctx.Err())
	})
	return g.Wait()
}
