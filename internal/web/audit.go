package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

const auditPage = 50

// checkedLog is the last check of the whole audit log, asked for here.
type checkedLog struct {
	running bool
	at      time.Time
	took    time.Duration
	n       int64
	err     error
}

var auditStates = map[string]ui.State{"ok": ui.Safe, "denied": ui.Danger, "failed": ui.Danger, "partial": ui.Signal, "cancelled": ui.Idle}

// operation is the name of an operation; the table has no Simplified Chinese.
func (w words) operation(id string) string {
	op, ok := audit.Operations[id]
	if !ok {
		return id
	}
	for _, l := range []string{string(w.l), "zh-Hant", "en"} {
		if (w.l == i18n.PT || w.l == i18n.EN) && l == "zh-Hant" {
			continue
		}
		if t := op.Title[l]; t != "" {
			return t
		}
	}
	return id
}

func (w words) entry(e audit.Entry) templates.AuditRow {
	n := strconv.FormatInt(e.Seq, 10)
	row := templates.AuditRow{Seq: n, Href: "/audit/" + n, Proof: "/audit/" + n + "/proof.json", When: w.moment(e.Time), UTC: e.Time.UTC().Format("2006-01-02T15:04:05Z"), Actor: "–", Purpose: "–", State: ui.Idle}
	if e.Expired != nil {
		row.Expired = w.t("audit.expired", "class", e.LogClass, "when", w.l.Time(e.Expired.At))
		return row
	}
	row.Actor, row.What, row.Object, row.Laws = e.Actor, w.operation(e.Operation), e.Object, w.lawList(e.Laws)
	row.Outcome = w.t("audit.outcome." + or(e.Outcome, "ok"))
	row.Purpose = or(w.purpose(e.Purpose), "–")
	if st, ok := auditStates[e.Outcome]; ok {
		row.State = st
	}
	row.Severity, row.Grave = w.t("audit.severity."+or(e.Severity, "info")), severities[e.Severity]
	if e.Role != "" {
		row.Role = w.role(e.Role)
	}
	if e.Actor == "system" || e.Actor == "dingtalk" || e.Actor == "unknown" {
		row.Actor = w.t("by." + e.Actor)
	}
	return row
}

// severities are how grave an entry is; the everyday ones are not marked.
var severities = map[string]ui.State{"info": "", "notice": "", "warn": ui.Signal, "critical": ui.Danger}

// lawList names the articles that may be shown: confirmed, or at least their
// place is.
func (w words) lawList(ids []string) string {
	var out []string
	for _, id := range ids {
		if law, ok := audit.Laws[id]; ok && law.Shown() {
			out = append(out, w.law(law))
		}
	}
	return strings.Join(out, " · ")
}

func (w words) law(l audit.Law) string {
	if l.Article == "" {
		return l.Law
	}
	return w.t("audit.law", "law", l.Law, "article", l.Article)
}

// abouts are what an entry can be about beside its object.
var abouts = []string{"record", "container", "dept", "person", "session", "matter"}

// auditAsk takes the question about the log. It names people, so it stays here
// like the words of a search, and the address holds what stands for it.
func (s *Server) auditAsk(c echo.Context) error {
	q := url.Values{}
	for _, k := range []string{"actor", "about", "object", "op", "outcome", "purpose", "from", "to"} {
		v := strings.TrimSpace(c.FormValue(k))
		if len([]rune(v)) > longestAsk {
			return s.auditFor(c, "", q, s.words(c).t("search.long", "n", longestAsk))
		}
		if v != "" {
			q.Set(k, v)
		}
	}
	if len(q) == 0 {
		return c.Redirect(http.StatusSeeOther, "/audit")
	}
	return c.Redirect(http.StatusSeeOther, query("/audit", "s", s.keepWords(c, q.Encode())))
}

// auditList answers what was asked, or what a matter's page asks by its number.
func (s *Server) auditList(c echo.Context) error {
	id, text, ok := s.keptWords(c)
	if !ok {
		return s.auditFor(c, "", nil, s.words(c).t("audit.lapsed"))
	}
	q, err := url.ParseQuery(text)
	if err != nil {
		return fmt.Errorf("read a question that was kept: %w", err)
	}
	if m := c.QueryParam("matter"); m != "" && id == "" {
		q = url.Values{"about": {"matter"}, "object": {m}}
	}
	return s.auditFor(c, id, q, "")
}

// auditFilter reads the question.
func (s *Server) auditFilter(c echo.Context, q url.Values, p *templates.AuditList) (f audit.Filter, ok bool) {
	w := s.words(c)
	p.Actor, p.Object, p.From, p.To = q.Get("actor"), q.Get("object"), q.Get("from"), q.Get("to")
	f = audit.Filter{Actor: p.Actor, Object: p.Object, Operation: q.Get("op"), Outcome: q.Get("outcome"), Purpose: q.Get("purpose")}
	about := q.Get("about")
	if about == "person" && f.Object != "" && !strings.HasPrefix(f.Object, "person/") {
		f.Object = "person/" + s.d.Door.Person(f.Object) // an id of DingTalk's: the log has it blind
	} else if slices.Contains(abouts, about) && f.Object != "" && !strings.HasPrefix(f.Object, about+"/") {
		f.Object = about + "/" + f.Object
	}
	p.Abouts = []ui.Choice{{Label: w.t("audit.about.any"), On: about == ""}}
	for _, a := range abouts {
		p.Abouts = append(p.Abouts, ui.Choice{Value: a, Label: w.t("audit.about." + a), On: a == about})
	}
	p.Ops = w.opChoices(f.Operation)
	p.Outcomes = []ui.Choice{{Label: w.t("audit.outcome.all"), On: f.Outcome == ""}}
	for _, o := range []string{"ok", "denied", "failed", "partial"} {
		p.Outcomes = append(p.Outcomes, ui.Choice{Value: o, Label: w.t("audit.outcome." + o), On: o == f.Outcome})
	}
	p.Purposes = []ui.Choice{{Label: w.t("audit.outcome.all"), On: f.Purpose == ""}}
	for _, u := range policy.Purposes {
		p.Purposes = append(p.Purposes, ui.Choice{Value: string(u), Label: w.purpose(string(u)), On: string(u) == f.Purpose})
	}
	f.From, f.To, ok = dates(p.From, p.To)
	return f, ok
}

// auditFor shows the rows that answer a question, or a problem of it.
func (s *Server) auditFor(c echo.Context, askedID string, q url.Values, problem string) error {
	w := s.words(c)
	p := templates.AuditList{Shell: s.shell(c, w.t("audit.title"), "/audit")}
	f, ok := s.auditFilter(c, q, &p)
	p.Seal = s.seal(c)
	p.Pack.From, p.Pack.To = p.From, p.To
	if problem != "" {
		p.Problems = []ui.Problem{{Field: "object", Text: problem}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if !ok {
		p.DatesErr = w.t("filter.baddates")
		p.Problems = []ui.Problem{{Field: "from", Text: p.DatesErr}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	rows, next, err := s.d.Audit.List(f, number(c, "before"), auditPage)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "audit.view", Object: "audit", Outcome: "ok", Detail: map[string]string{"rows": strconv.Itoa(len(rows))}}); err != nil {
		return err
	}
	for _, e := range rows {
		p.Rows = append(p.Rows, w.entry(e))
	}
	p.Heading = w.t("audit.shown", "n", len(rows))
	if next > 0 {
		p.Next = query("/audit", "s", askedID, "matter", c.QueryParam("matter"), "before", strconv.FormatInt(next, 10))
		if len(rows) < auditPage {
			p.Partial = w.t("audit.partial", "n", w.n(next))
		}
	}
	return render(c, http.StatusOK, p)
}

func (w words) opChoices(on string) []ui.Choice {
	var ids []string
	for id := range audit.Operations {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := []ui.Choice{{Label: w.t("audit.op.all"), On: on == ""}}
	for _, id := range ids {
		out = append(out, ui.Choice{Value: id, Label: w.operation(id), On: id == on})
	}
	return out
}

// seal is the state of the log as a whole.
func (s *Server) seal(c echo.Context) templates.Seal {
	w := s.words(c)
	s.mu.Lock()
	k := s.checked
	s.mu.Unlock()
	size := s.d.Audit.Size()
	p := templates.Seal{State: ui.Idle, Heading: w.t("seal.unchecked", "n", w.n(size)), Text: w.t("seal.unchecked.text")}
	switch {
	case k.running:
		p.State, p.Heading, p.Text = ui.Run, w.t("seal.running", "n", w.n(size)), w.t("seal.running.text")
	case k.err != nil:
		p.State, p.Heading, p.Text = ui.Danger, w.t("seal.broken", "n", w.n(k.n)), w.t("seal.broken.text")
	case !k.at.IsZero():
		p.State, p.Heading = ui.Safe, w.t("seal.good", "n", w.n(k.n))
		p.Text = w.t("seal.good.text", "when", w.moment(k.at).Text, "took", w.l.Duration(k.took))
	}
	lines := strings.Split(string(s.d.Audit.Checkpoint()), "\n")
	p.Signed, p.Root = w.t("seal.none"), ""
	if len(lines) >= 3 {
		p.Signed, p.Root = lines[0]+" · "+lines[1], lines[2]
	}
	p.Witness = w.t("seal.nowitness")
	if o := s.d.Machine.Offsite(c.Request().Context()); o.Set {
		p.Witness = w.t("seal.witness", "address", o.Address, "n", w.n(o.CheckpointSize), "when", w.moment(o.LastAck).Text)
	}
	return p
}

// auditVerify reads the whole log again, beside the request: it may take
// longer than a browser waits.
func (s *Server) auditVerify(c echo.Context) error {
	s.mu.Lock()
	busy := s.checked.running
	s.checked.running = true
	s.mu.Unlock()
	if !busy {
		ev := audit.Event{Operation: "audit.verify", Object: "audit"}
		v := visitOf(c)
		ev.Actor, ev.Role, ev.Session, ev.Source = v.session.User.Name, v.session.User.Role, v.session.ID, c.RealIP()
		ctx := context.WithoutCancel(c.Request().Context())
		finished := make(chan struct{})
		go func() { // ends by itself
			defer close(finished)
			s.verifyLog(ctx, ev)
		}()
		select { // a small log is done before the page is drawn
		case <-finished:
		case <-time.After(2 * time.Second):
		}
	}
	return seeOther(c, "/audit?done=logcheck")
}

func (s *Server) verifyLog(ctx context.Context, ev audit.Event) {
	began := s.d.Now()
	n, err := s.d.Audit.Verify()
	ev.Outcome, ev.Detail = "ok", map[string]string{"entries": strconv.FormatInt(n, 10)}
	if err != nil {
		ev.Outcome = "failed"
		s.d.Log.ErrorContext(ctx, "audit log check", "err", err)
	}
	if _, aerr := s.d.Audit.Append(ctx, ev); aerr != nil {
		s.d.Log.ErrorContext(ctx, "note the check of the audit log", "err", aerr)
	}
	s.mu.Lock()
	s.checked = checkedLog{at: s.d.Now(), took: s.d.Now().Sub(began), n: n, err: err}
	s.mu.Unlock()
}

func auditSeq(c echo.Context) (int64, error) {
	n, err := strconv.ParseInt(c.Param("seq"), 10, 64)
	if err != nil || n < 0 {
		return 0, audit.ErrNotFound
	}
	return n, nil
}

func (s *Server) auditEntry(c echo.Context) error {
	w := s.words(c)
	n, err := auditSeq(c)
	if err != nil {
		return err
	}
	e, err := s.d.Audit.Entry(n)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "audit.view", Object: "audit/" + strconv.FormatInt(n, 10), Outcome: "ok"}); err != nil {
		return err
	}
	p := templates.AuditEntry{Shell: s.shell(c, w.t("audit.entry", "n", n), "/audit"), Row: w.entry(e)}
	p.Proof = p.Row.Proof
	if n > 0 {
		p.Prev = "/audit/" + strconv.FormatInt(n-1, 10)
	}
	if n+1 < s.d.Audit.Size() {
		p.Next = "/audit/" + strconv.FormatInt(n+1, 10)
	}
	p.Pairs = w.entryPairs(e)
	for _, id := range e.Laws {
		if law, ok := audit.Laws[id]; ok && law.Shown() {
			p.Laws = append(p.Laws, templates.Pair{Label: w.law(law), Value: w.lawTitle(law)})
		}
	}
	p.ISO = e.ISO
	proof, err := s.d.Audit.Inclusion(n)
	if err != nil {
		p.PathErr = s.broken(c, "proof", err).Broken
		return render(c, http.StatusOK, p)
	}
	p.Path = proof.Path
	o, second := s.d.Machine.Offsite(c.Request().Context()), s.d.Machine.Witness(c.Request().Context())
	witnessed := o.Set && o.CheckpointSize > n || second.Set && second.CheckpointSize > n
	p.Chain = ui.Chain([]string{w.t("chain.entry", "n", n), w.t("chain.hashes", "n", len(proof.Path)), w.t("chain.root"), w.t("chain.signed"), w.t("chain.witness")}, !witnessed, w.t("audit.chain.text", "n", len(proof.Path)))
	return render(c, http.StatusOK, p)
}

func (w words) lawTitle(l audit.Law) string {
	switch w.l {
	case i18n.PT:
		return or(l.PT, l.EN)
	case i18n.EN:
		return l.EN
	}
	return l.ZH
}

func (w words) entryPairs(e audit.Entry) []templates.Pair {
	row := w.entry(e)
	var out []templates.Pair
	add := func(id, v string) {
		if v != "" {
			out = append(out, templates.Pair{Label: w.t(id), Value: v})
		}
	}
	add("audit.time", w.l.Time(e.Time)+":"+e.Time.In(i18n.Macau).Format("05"))
	add("audit.utc", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
	if e.Expired != nil {
		add("audit.class", e.LogClass)
		add("audit.gone", w.l.Time(e.Expired.At))
		return out
	}
	if e.Skew > 0 {
		add("audit.skew", w.l.Duration(time.Duration(e.Skew)*time.Millisecond))
	}
	add("audit.actor", row.Actor)
	add("settings.role", row.Role)
	add("audit.session", e.Session)
	add("audit.source", e.Source)
	add("audit.operation", e.Operation)
	add("audit.object", e.Object)
	add("audit.hash", e.Hash)
	add("audit.purpose", w.purpose(e.Purpose))
	add("audit.severity", row.Severity)
	add("audit.class", e.LogClass)
	var keys []string
	for k := range e.Detail {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = append(out, templates.Pair{Label: k, Value: e.Detail[k]})
	}
	return out
}

// auditProof is the stand-alone proof that the entry is in the signed log.
func (s *Server) auditProof(c echo.Context) error {
	n, err := auditSeq(c)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "audit.export", Object: "audit/" + strconv.FormatInt(n, 10), Outcome: "ok"}); err != nil {
		return err
	}
	p, err := s.d.Audit.Inclusion(n)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	attach(c.Response(), "farol-log-"+strconv.FormatInt(n, 10)+".json", "application/json")
	_, err = c.Response().Write(b)
	return err
}
