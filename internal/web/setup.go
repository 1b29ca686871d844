package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// claimed is a browser that typed the set-up code, until it made the account.
type claimed struct {
	until  time.Time
	secret string // of the authenticator, as the page shows it
}

const claimLife = 30 * time.Minute

// The wizard's steps in order.
var setupSteps = []struct{ key, href string }{
	{"claim", "/setup/claim"}, {"admin", "/setup/admin"}, {"bind", "/setup/dingtalk"}, {"scope", "/setup/scope"},
	{"storage", "/setup/storage"}, {"kit", "/setup/kit"}, {"run", "/setup/run"},
}

// blind names a thing in the log without naming it.
func blind(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:6])
}

// wizard is the frame of step n, from 1.
func (s *Server) wizard(c echo.Context, n int) templates.Setup {
	w := s.words(c)
	p := templates.Setup{Bare: s.bare(c, w.t("setup."+setupSteps[n-1].key+".title")), Number: n}
	p.Line = w.t("setup.line")
	reached := n
	if v, err := s.d.Settings.Get(c.Request().Context(), settings.SetupStep); err == nil {
		if r, err := strconv.Atoi(v); err == nil {
			reached = max(n, r)
		}
	}
	for i, st := range setupSteps {
		step := ui.Step{Label: w.t("setup." + st.key + ".label"), Text: w.t("setup." + st.key + ".sub"), Now: i+1 == n, Done: i+1 < reached && i+1 != n}
		if i >= 2 && i+1 <= reached { // the account is made once; what follows can be gone back to
			step.Href = st.href
		}
		p.Steps = append(p.Steps, step)
	}
	return p
}

// reach notes the furthest step.
func (s *Server) reach(c echo.Context, n int) error {
	ctx := c.Request().Context()
	v, err := s.d.Settings.Get(ctx, settings.SetupStep)
	if err != nil {
		return err
	}
	if was, err := strconv.Atoi(v); err == nil && was >= n {
		return nil
	}
	return s.d.Settings.Set(ctx, map[string]string{settings.SetupStep: strconv.Itoa(n)})
}

// setupHome goes to the step that is due.
func (s *Server) setupHome(c echo.Context) error {
	ctx := c.Request().Context()
	has, err := s.isClaimed(ctx)
	if err != nil {
		return err
	}
	if !has {
		if _, ok := s.claimOf(c); ok {
			return c.Redirect(http.StatusSeeOther, "/setup/admin")
		}
		return c.Redirect(http.StatusSeeOther, "/setup/claim")
	}
	if visitOf(c).session == nil {
		return c.Redirect(http.StatusSeeOther, "/login?next=/setup")
	}
	finished, err := s.finished(c)
	if err != nil {
		return err
	}
	if finished {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	v, err := s.d.Settings.Get(ctx, settings.SetupStep)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 3 || n > len(setupSteps) {
		n = 3
	}
	return c.Redirect(http.StatusSeeOther, setupSteps[n-1].href)
}

// finished reports whether the set-up is over.
func (s *Server) finished(c echo.Context) (bool, error) {
	if s.done.Load() {
		return true, nil
	}
	v, err := s.d.Settings.Get(c.Request().Context(), settings.SetupDone)
	if v != "" {
		s.done.Store(true)
	}
	return v != "", err
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

func (s *Server) adminPage(c echo.Context, name, text string) (templates.SetupAdmin, error) {
	shown := name
	if shown == "" {
		shown = "admin"
	}
	secret, err := auth.SecretOf(shown, text)
	if err != nil {
		return templates.SetupAdmin{}, err
	}
	p := templates.SetupAdmin{Setup: s.wizard(c, 2), Name: name, Secret: secret.Text, URL: secret.URL, QR: "/setup/admin/qr.png"}
	for i := 0; i < len(secret.Text); i += 4 {
		p.Spaced += secret.Text[i:min(i+4, len(secret.Text))] + " "
	}
	p.Spaced = strings.TrimSpace(p.Spaced)
	return p, nil
}

func (s *Server) adminForm(c echo.Context) error {
	k, ok := s.claimOf(c)
	if !ok {
		return c.Redirect(http.StatusSeeOther, "/setup/claim")
	}
	p, err := s.adminPage(c, "", k.secret)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) adminQR(c echo.Context) error {
	k, ok := s.claimOf(c)
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	secret, err := auth.SecretOf("admin", k.secret)
	if err != nil {
		return err
	}
	png, err := secret.QR(320)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "image/png", png)
}

func (s *Server) admin(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	k, ok := s.claimOf(c)
	if !ok {
		return c.Redirect(http.StatusSeeOther, "/setup/claim")
	}
	name := strings.TrimSpace(c.FormValue("name"))
	secret, err := auth.SecretOf(name, c.FormValue("secret"))
	if err != nil { // the field was tampered with: begin again with ours
		if secret, err = auth.SecretOf(name, k.secret); err != nil {
			return err
		}
	}
	u, err := s.d.Accounts.Create(ctx, auth.NewAccount{Name: name, Role: "owner", Password: c.FormValue("password"), Secret: secret, Code: c.FormValue("totp")})
	if err != nil {
		p, perr := s.adminPage(c, name, secret.Text)
		if perr != nil {
			return perr
		}
		field, id := "", ""
		switch {
		case errors.Is(err, auth.ErrName):
			field, id = "name", "setup.admin.badname"
		case errors.Is(err, auth.ErrTaken):
			field, id = "name", "setup.admin.taken"
		case errors.Is(err, auth.ErrShort):
			field, id = "password", "setup.admin.short"
		case errors.Is(err, auth.ErrWeak):
			field, id = "password", "setup.admin.weak"
		case errors.Is(err, auth.ErrCode):
			field, id = "totp", "setup.admin.badcode"
		default:
			return err
		}
		text := w.t(id)
		p.Problems = []ui.Problem{{Field: field, Text: text}}
		switch field {
		case "name":
			p.NameErr = text
		case "password":
			p.PassErr = text
		case "totp":
			p.CodeErr = text
		}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.claimed.Store(true)
	s.mu.Lock()
	clear(s.claims)
	s.mu.Unlock()
	for _, op := range []string{"setup.claim", "user.create", "totp.enrol"} {
		if err := s.note(c, audit.Event{Actor: u.Name, Role: u.Role, Operation: op, Object: "account/" + strconv.FormatInt(u.ID, 36), Outcome: "ok"}); err != nil {
			return err
		}
	}
	if err := s.reach(c, 3); err != nil {
		return err
	}
	setCookie(c, claimCookie, "", -1, http.SameSiteStrictMode)
	return seeOther(c, query("/login", "done", "account", "name", u.Name, "next", "/setup/dingtalk"))
}

func (s *Server) setupScopeForm(c echo.Context) error {
	tree, err := s.savedTree(c, "/setup/scope")
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, templates.SetupScope{Setup: s.wizard(c, 4), Tree: tree})
}

func (s *Server) setupScope(c echo.Context) error {
	tree, saved, err := s.takeScope(c, "/setup/scope")
	if err != nil {
		return err
	}
	if !saved {
		return render(c, http.StatusOK, templates.SetupScope{Setup: s.wizard(c, 4), Tree: tree})
	}
	if err := s.reach(c, 5); err != nil {
		return err
	}
	return seeOther(c, "/setup/storage")
}

func (s *Server) storagePage(c echo.Context) templates.SetupStorage {
	ctx, w := c.Request().Context(), s.words(c)
	p := templates.SetupStorage{Setup: s.wizard(c, 5)}
	h, err := s.d.Machine.Health(ctx)
	if err != nil {
		p.PlacesErr = s.broken(c, "storage", err).Broken
	}
	for _, d := range h.Places {
		p.Places = append(p.Places, w.place(d))
	}
	if o := s.d.Machine.Offsite(ctx); o.Set {
		p.Paired = o.Address
	}
	return p
}

func (w words) place(d Place) templates.Place {
	used := d.Total - d.Free
	out := templates.Place{Path: d.Path, Used: w.l.Size(d.Used), Free: w.l.Size(d.Free), Total: w.l.Size(d.Total)}
	if d.Total > 0 {
		out.Percent = int(used * 100 / d.Total)
	}
	out.Label = w.t("setup.storage.place", "free", out.Free, "total", out.Total)
	return out
}

func (s *Server) storageForm(c echo.Context) error {
	return render(c, http.StatusOK, s.storagePage(c))
}

func (s *Server) storage(c echo.Context) error {
	address, code := strings.TrimSpace(c.FormValue("offsite_address")), strings.TrimSpace(c.FormValue("offsite_code"))
	if address != "" || code != "" {
		if problems, addr, cd := s.enrol(c, address, code); len(problems) > 0 {
			p := s.storagePage(c)
			p.Problems, p.Address, p.Code, p.AddrErr, p.CodeErr = problems, address, code, addr, cd
			return render(c, http.StatusUnprocessableEntity, p)
		}
	}
	if err := s.reach(c, 6); err != nil {
		return err
	}
	return seeOther(c, "/setup/kit")
}

// enrol pairs the off-site node; what was wrong comes back as words.
func (s *Server) enrol(c echo.Context, address, code string) (problems []ui.Problem, addrErr, codeErr string) {
	w := s.words(c)
	if address == "" {
		addrErr = w.t("setup.storage.noaddress")
		problems = append(problems, ui.Problem{Field: "offsite_address", Text: addrErr})
	}
	if code == "" {
		codeErr = w.t("setup.storage.nocode")
		problems = append(problems, ui.Problem{Field: "offsite_code", Text: codeErr})
	}
	if len(problems) > 0 {
		return problems, addrErr, codeErr
	}
	if err := s.d.Machine.Enrol(c.Request().Context(), address, code); err != nil {
		text, ok := said(err, w.l)
		if !ok {
			text = s.broken(c, "enrol", err).Broken
		}
		return []ui.Problem{{Field: "offsite_address", Text: text}}, text, ""
	}
	s.stale()
	return nil, "", ""
}

// kitPage is the recovery kit: k of n shares. The usual split is two of three.
func (s *Server) kitPage(c echo.Context, n, k int) (templates.SetupKit, error) {
	ctx, w := c.Request().Context(), s.words(c)
	p := templates.SetupKit{Setup: s.wizard(c, 6), N: n, K: k}
	proved, err := s.d.Settings.Get(ctx, settings.KitConfirmed)
	if err != nil {
		return p, err
	}
	if p.Firm, err = s.d.Settings.Get(ctx, settings.CorpName); err != nil {
		return p, err
	}
	if proved != "" {
		p.Proved, p.Made = true, true
		var info struct{ N, K int }
		if ok, err := s.d.Settings.GetJSON(ctx, settings.KitShares, &info); err != nil {
			return p, err
		} else if ok {
			p.N, p.K = info.N, info.K
		}
	}
	p.Drawing = templates.ShareDrawing{N: p.N, K: p.K, Any: w.t("setup.kit.any", "k", p.K), Alone: w.t("setup.kit.alone"), Label: w.t("setup.kit.drawing", "n", p.N, "k", p.K)}
	for i := range p.N {
		p.Drawing.Names = append(p.Drawing.Names, w.t("setup.kit.piece", "i", i+1))
	}
	return p, nil
}

func (s *Server) kitForm(c echo.Context) error {
	p, err := s.kitPage(c, 3, 2)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) kitMake(c echo.Context) error {
	n, nerr := strconv.Atoi(c.FormValue("n"))
	k, kerr := strconv.Atoi(c.FormValue("k"))
	if nerr != nil || kerr != nil || k < 2 || k > n || n > 9 {
		p, err := s.kitPage(c, 3, 2)
		if err != nil {
			return err
		}
		p.Problems = []ui.Problem{{Field: "n", Text: visitOf(c).lang.T("kit.numbers")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	shares, err := s.d.Machine.Kit(c.Request().Context(), n, k)
	if err != nil {
		return err
	}
	p, err := s.kitPage(c, n, k)
	if err != nil {
		return err
	}
	p.N, p.K, p.Made, p.Proved, p.Typed = n, k, true, false, make([]string, k)
	for i, t := range shares {
		p.Shares = append(p.Shares, templates.Share{Number: i + 1, Text: t})
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) kitConfirm(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	typed := form["share"]
	if err := s.d.Machine.ConfirmKit(c.Request().Context(), typed); err != nil {
		text, ok := said(err, visitOf(c).lang)
		if !ok {
			return err
		}
		k := max(len(typed), 2)
		p, perr := s.kitPage(c, max(k, 3), k)
		if perr != nil {
			return perr
		}
		p.Made, p.Proved, p.Typed = true, false, append(typed, make([]string, k-len(typed))...)
		p.Problems = []ui.Problem{{Field: "share-1", Text: text}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.stale()
	if over, err := s.finished(c); err != nil || over {
		return errors.Join(err, seeOther(c, "/assurance"))
	}
	if err := s.reach(c, 7); err != nil {
		return err
	}
	return seeOther(c, "/setup/run")
}

func (s *Server) firstRun(c echo.Context) error {
	p, err := s.runPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) runPage(c echo.Context) (templates.SetupRun, error) {
	ctx, w := c.Request().Context(), s.words(c)
	s.stale()
	f := s.standing(ctx)
	p := templates.SetupRun{Setup: s.wizard(c, 7), Started: f.progress.Running || len(f.runs) > 0}
	miss := func(ok bool, id, href string) {
		if ok {
			p.Missing = append(p.Missing, ui.Link{Label: w.t(id), Href: href})
		}
	}
	miss(!f.bound, "setup.run.nobind", "/setup/dingtalk")
	miss(f.bound && f.consented == 0, "setup.run.noconsent", "/setup/dingtalk")
	miss(!f.kit, "setup.run.nokit", "/setup/kit")
	if p.Started {
		p.Progress, p.Finished = s.progressNow(w, f)
	}
	return p, nil
}

func (s *Server) firstStart(c echo.Context) error {
	ctx, v := c.Request().Context(), visitOf(c)
	if _, err := s.d.Engine.Start(ctx, backup.Full, v.session.User.Name); err != nil && !errors.Is(err, backup.ErrBusy) {
		a := answerTo(err, v.lang)
		if a.code == http.StatusInternalServerError {
			return err
		}
		p, perr := s.runPage(c)
		if perr != nil {
			return perr
		}
		p.Problems = []ui.Problem{{Text: v.lang.T(a.id + ".text")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.d.Machine.FinishSetup(ctx); err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setup", Outcome: "ok"}); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/setup/run")
}
