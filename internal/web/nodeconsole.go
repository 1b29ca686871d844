package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"farol/internal/i18n"
	"farol/static"
	"farol/templates"
	"farol/templates/ui"
)

// NodeArchive is how one archive stands on an off-site node.
type NodeArchive struct {
	ID          string
	Heard       time.Time // zero: never
	Silent      bool
	Refused     int64 // checkpoints that did not extend the log
	LastRefused time.Time
	Used, Quota int64 // bytes; no quota: 0
	Witnessed   int64 // entries of the log that are cosigned

	Conflicts int64 // other bytes for what is held, refused
	Replaced  bool  // the archive's lock came anew in the last day
	Full      bool  // something found no room in the last day

	Verified      time.Time // when everything was last read back; zero: not yet
	VerifiedFiles int64
	Damaged       int64 // files that are not as they came, or gone
}

// NodeFacts are what the page of an off-site node shows: no content, and no name
// of anybody's.
type NodeFacts struct {
	Archives    []NodeArchive
	Free, Total int64 // bytes of the disk
	Fingerprint string
}

// NodeConsole is the page of an off-site node. Facts and Code are asked at each
// request; Code is the SHA-256 of what opens the page, nil before one was made.
type NodeConsole struct {
	Facts   func() (NodeFacts, error)
	Ready   func() string // one word why it takes nothing now, "" when it does
	Code    func() ([]byte, error)
	Version string
	Log     *slog.Logger
	Now     func() time.Time
}

const (
	nodeCookie = "__Host-farol-node"
	nodeLife   = 12 * time.Hour
	nodeTries  = 10 // wrong codes in an hour, from wherever they come
)

// nodeDoor is who may see the page. It is lost with the process.
type nodeDoor struct {
	NodeConsole
	*Server // the frame's parts: headers, look, words

	mu    sync.Mutex           // guards below
	open  map[string]time.Time // token → end
	wrong []time.Time
}

// Handler answers browsers.
func (n NodeConsole) Handler() http.Handler {
	d := &nodeDoor{NodeConsole: n, Server: &Server{d: Deps{Log: n.Log, Now: n.Now}}, open: map[string]time.Time{}}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = d.refuse
	cross := http.NewCrossOriginProtection()
	e.Use(d.headers, middleware.Recover(), d.arrived, func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if cross.Check(c.Request()) != nil {
				return echo.NewHTTPError(http.StatusForbidden)
			}
			return next(c)
		}
	}, middleware.BodyLimit("16K"))
	e.GET(static.Prefix+"*", echo.WrapHandler(static.Handler()))
	e.GET("/healthz", d.healthz)
	e.GET("/readyz", func(c echo.Context) error { return sayReady(c, d.NodeConsole.Ready()) })
	e.POST("/look", d.look)
	e.GET("/", d.show)
	e.POST("/", d.enter)
	e.POST("/leave", d.leave)
	return e
}

func (d *nodeDoor) arrived(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		v := &visit{number: shortNumber(), next: "/"}
		c.Set("visit", v)
		lang, theme, _ := strings.Cut(cookie(c, lookCookie), ".")
		v.theme = cleanTheme(theme)
		var chosen bool
		if v.lang, chosen = i18n.Parse(lang); !chosen {
			v.lang = i18n.Match(r.Header.Get("Accept-Language"))
		}
		c.SetRequest(r.WithContext(i18n.With(r.Context(), v.lang)))
		return next(c)
	}
}

// refuse says an error in a line: the node has nothing to add to it.
func (d *nodeDoor) refuse(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	code := http.StatusInternalServerError
	if he, ok := err.(*echo.HTTPError); ok { //nolint:errorlint // echo's own, as it made it
		code = he.Code
	} else {
		d.NodeConsole.Log.ErrorContext(c.Request().Context(), "the node's page", "number", visitOf(c).number, "err", err)
	}
	if err := c.String(code, http.StatusText(code)+" "+visitOf(c).number+"\n"); err != nil {
		d.NodeConsole.Log.DebugContext(c.Request().Context(), "the node's page", "err", err)
	}
}

// in reports whether the browser gave the code.
func (d *nodeDoor) in(c echo.Context) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.open[cookie(c, nodeCookie)]
	return ok && d.Now().Before(until)
}

func (d *nodeDoor) ask(c echo.Context, status int, problem string) error {
	w := d.words(c)
	sum, err := d.Code()
	if err != nil {
		return err
	}
	p := templates.NodeDoor{Bare: d.bare(c, w.t("node.title")), Unmade: sum == nil, Problem: problem}
	p.Bare.Line = w.t("node.line")
	return render(c, status, p)
}

func (d *nodeDoor) enter(c echo.Context) error {
	w, now := d.words(c), d.Now()
	sum, err := d.Code()
	if err != nil {
		return err
	}
	d.mu.Lock()
	for len(d.wrong) > 0 && now.Sub(d.wrong[0]) > time.Hour {
		d.wrong = d.wrong[1:]
	}
	late := len(d.wrong) >= nodeTries
	d.mu.Unlock()
	if late {
		return d.ask(c, http.StatusTooManyRequests, w.t("node.slow"))
	}
	typed := sha256.Sum256([]byte(strings.ToUpper(strings.Join(strings.FieldsFunc(c.FormValue("code"), func(r rune) bool { return r == '-' || r == ' ' }), ""))))
	if sum == nil || subtle.ConstantTimeCompare(typed[:], sum) != 1 {
		d.mu.Lock()
		d.wrong = append(d.wrong, now)
		d.mu.Unlock()
		d.NodeConsole.Log.WarnContext(c.Request().Context(), "a wrong code at the node's page", "from", c.RealIP())
		return d.ask(c, http.StatusUnprocessableEntity, w.t("node.wrong"))
	}
	token := rand.Text()
	d.mu.Lock()
	for k, until := range d.open {
		if now.After(until) {
			delete(d.open, k)
		}
	}
	d.open[token] = now.Add(nodeLife)
	d.mu.Unlock()
	setCookie(c, nodeCookie, token, int(nodeLife.Seconds()), http.SameSiteStrictMode)
	return c.Redirect(http.StatusSeeOther, "/")
}

func (d *nodeDoor) leave(c echo.Context) error {
	d.mu.Lock()
	delete(d.open, cookie(c, nodeCookie))
	d.mu.Unlock()
	setCookie(c, nodeCookie, "", -1, http.SameSiteStrictMode)
	return c.Redirect(http.StatusSeeOther, "/")
}

func (d *nodeDoor) show(c echo.Context) error {
	if !d.in(c) {
		return d.ask(c, http.StatusOK, "")
	}
	f, err := d.NodeConsole.Facts()
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, d.words(c).nodePage(d.bare(c, d.words(c).t("node.title")), f, d.Version))
}

func (w words) nodePage(b templates.Bare, f NodeFacts, version string) templates.NodeStatus {
	b.Line = w.t("node.line")
	p := templates.NodeStatus{Bare: b, State: ui.Safe, Heading: w.t("node.good", "n", len(f.Archives)),
		Facts: []templates.Pair{{Label: w.t("node.room"), Value: w.t("setup.storage.place", "free", w.l.Size(f.Free), "total", w.l.Size(f.Total))},
			{Label: w.t("node.fingerprint"), Value: f.Fingerprint}, {Label: w.t("node.version"), Value: version}}}
	wrong := 0
	for _, a := range f.Archives {
		row := templates.NodeRow{ID: a.ID, State: ui.Safe, Word: w.t("node.state.good"), Heard: w.moment(a.Heard), Used: w.l.Size(a.Used), Log: w.t("node.witnessed", "n", w.n(a.Witnessed))}
		if a.Quota > 0 {
			row.Used, row.Percent, row.Bound = w.t("node.used", "used", w.l.Size(a.Used), "quota", w.l.Size(a.Quota)), percent(a.Used, a.Quota), true
		}
		row.Read = w.t("node.verified.never")
		if !a.Verified.IsZero() {
			row.Read = w.t("node.verified.at", "when", w.moment(a.Verified).Text, "n", w.n(a.VerifiedFiles))
		}
		switch {
		case a.Refused > 0:
			row.State, row.Word = ui.Danger, w.t("node.state.refused", "n", w.n(a.Refused), "when", w.moment(a.LastRefused).Text)
			row.Then = w.t("node.refused.then")
		case a.Conflicts > 0:
			row.State, row.Word, row.Then = ui.Danger, w.t("node.state.conflict", "n", w.n(a.Conflicts)), w.t("node.refused.then")
		case a.Damaged > 0:
			row.State, row.Word, row.Then = ui.Danger, w.t("node.state.damaged", "n", w.n(a.Damaged)), w.t("node.damaged.then")
		case a.Silent:
			row.State, row.Word, row.Then = ui.Danger, w.t("node.state.silent"), w.t("node.silent.then")
		case a.Heard.IsZero():
			row.State, row.Word = ui.Idle, w.t("node.state.never")
		case a.Full:
			row.State, row.Word, row.Then = ui.Danger, w.t("node.state.noroom"), w.t("node.noroom.then")
		case a.Replaced:
			row.State, row.Word, row.Then = ui.Signal, w.t("node.state.replaced"), w.t("node.replaced.then")
		case a.Quota > 0 && a.Used >= a.Quota/10*9:
			row.State, row.Word, row.Then = ui.Signal, w.t("node.state.full"), w.t("node.full.then")
		}
		if row.State == ui.Danger || row.State == ui.Signal {
			wrong++
		}
		p.Rows = append(p.Rows, row)
	}
	if wrong > 0 {
		p.State, p.Heading = ui.Danger, w.t("node.bad", "n", wrong)
	}
	return p
}
