package web

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"farol/internal/auth"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/templates"
	"farol/templates/ui"
)

// shell is the frame of a page for the signed-in reader. here is the path of
// the page in the rail.
func (s *Server) shell(c echo.Context, title, here string) templates.Shell {
	v, w := visitOf(c), s.words(c)
	f := s.standing(c.Request().Context())
	sub := v.subject()
	sh := templates.Shell{Title: title, Firm: f.firm, Version: s.d.Machine.Version(), Path: v.next, Theme: v.theme, User: v.session.User.Shown, Role: w.role(v.session.User.Role),
		Say: f.say(w), Todo: len(s.todos(c, &f)), Idle: int(auth.Idle.Seconds()), Nav: s.nav(w, sub, here)}
	if !policy.May(sub, policy.Operate, w.now) { // the action would answer 403
		sh.Say.Action = ""
	}
	if sh.Then = s.then(c); sh.Then != nil {
		keepThen(sh.Nav, sh.Then.Seq)
	}
	if id := c.QueryParam("done"); id != "" {
		sh.Toast = toast(w, id)
	}
	return sh
}

// toast speaks of an act after a redirect. The address carries only the name of
// one of our messages, so that nobody can put words into the page.
func toast(w words, id string) *templates.Toast {
	if id = "done." + id; !i18n.Has(id) {
		return nil
	}
	return &templates.Toast{State: ui.Safe, Text: w.t(id)}
}

func (s *Server) nav(w words, sub policy.Subject, here string) []templates.NavItem {
	can := func(a policy.Action) bool { return policy.May(sub, a, w.now) }
	var out []templates.NavItem
	add := func(ok bool, label, icon, href string, subs ...templates.NavItem) {
		if !ok {
			return
		}
		n := templates.NavItem{Label: w.t(label), Icon: icon, Href: href, Here: href == here, Open: href == here, Sub: subs}
		for i := range n.Sub {
			if n.Sub[i].Here = n.Sub[i].Href == here; n.Sub[i].Here {
				n.Open, n.Here = true, false
			}
		}
		out = append(out, n)
	}
	item := func(label, href string) templates.NavItem { return templates.NavItem{Label: w.t(label), Href: href} }
	add(true, "nav.home", "lighthouse", "/")
	backups := []templates.NavItem{item("nav.runs", "/backup"), item("nav.points", "/points"), item("nav.storage", "/storage")}
	if can(policy.Configure) {
		backups = append(backups, item("nav.scope", "/scope"), item("nav.consents", "/consents"))
	}
	add(can(policy.Operate), "nav.backup", "database-backup", "/backup", backups...)
	var kinds []templates.NavItem
	for _, k := range record.Kinds {
		kinds = append(kinds, item("kind."+string(k), "/archive/"+string(k)))
	}
	add(can(policy.Read), "nav.archive", "archive", "/archive", kinds...)
	add(can(policy.Search), "nav.search", "file-search", "/search")
	add(can(policy.Restore), "nav.restore", "life-buoy", "/restore")
	add(can(policy.Approve) || can(policy.Export) || can(policy.Restore), "nav.inbox", "inbox", "/inbox")
	add(can(policy.Operate), "nav.assurance", "anchor", "/assurance", item("nav.integrity", "/assurance"), item("nav.alarms", "/alarms"))
	add(can(policy.Audit), "nav.compliance", "scale", "/audit", item("nav.audit", "/audit"), item("nav.matters", "/matters"))
	var own []templates.NavItem
	if can(policy.Accounts) {
		own = append(own, item("nav.own", "/settings"), item("accounts.title", "/accounts"), item("nav.access", "/access"))
	}
	add(true, "nav.settings", "settings", "/settings", own...)
	return out
}

// bare is the frame of a page without a session.
func (s *Server) bare(c echo.Context, title string) templates.Bare {
	v := visitOf(c)
	return templates.Bare{Title: title, Theme: v.theme, Path: v.next, Help: true}
}

// band answers the band's poll.
func (s *Server) band(c echo.Context) error {
	sh := s.shell(c, "", "")
	return part(c, templates.Band(sh.Say))
}

// healthz says that the process answers, readyz whether it does its work. Both
// are asked by programs that have no account.
func (s *Server) healthz(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

func (s *Server) readyz(c echo.Context) error {
	return sayReady(c, s.d.Machine.Ready(c.Request().Context()))
}

func sayReady(c echo.Context, why string) error {
	if why != "" {
		return c.String(http.StatusServiceUnavailable, why+"\n")
	}
	return c.String(http.StatusOK, "ready\n")
}

// archivePath is where a kind's containers are listed.
func archivePath(k record.Kind) string { return "/archive/" + string(k) }
