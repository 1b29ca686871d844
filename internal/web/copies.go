package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// What is done to a further copy: adding, verifying, retiring.

func (s *Server) copyPage(c echo.Context, n NewCopy) templates.CopyNew {
	w := s.words(c)
	if copyIcons[n.Kind] == "" {
		n.Kind = "dir"
	}
	p := templates.CopyNew{Shell: s.shell(c, w.t("places.add"), "/storage"), Kind: n.Kind, Errs: map[string]string{},
		Form: templates.CopyForm{Name: n.Name, Path: n.Path, Host: n.Host, Bucket: n.Bucket, Region: n.Region, User: n.User, HostKey: n.HostKey, CA: n.CA, Plain: n.Plain, Price: c.FormValue("price"), LockDays: or(c.FormValue("lock_days"), "0"), LockStrict: c.FormValue("lock_strict") == "1"}, Law: w.transferForm(n.Transfer)}
	for _, k := range []string{"dir", "s3", "sftp"} {
		p.Kinds = append(p.Kinds, ui.Choice{Value: k, Label: w.t("places.kind." + k), On: k == n.Kind})
	}
	return p
}

func (s *Server) copyForm(c echo.Context) error {
	return render(c, http.StatusOK, s.copyPage(c, NewCopy{Kind: c.QueryParam("kind")}))
}

func readCopy(c echo.Context) NewCopy {
	v := func(n string) string { return strings.TrimSpace(c.FormValue(n)) }
	return NewCopy{Kind: v("kind"), Name: v("name"), Path: v("path"), Host: v("host"), Bucket: v("bucket"), Region: v("region"), User: v("user"), Secret: v("secret"), HostKey: v("host_key"), CA: v("ca"),
		Plain: v("plain") == "1", Transfer: readTransfer(c)}
}

// missing are the fields that must be typed, with what is wrong with them.
func (n NewCopy) missing(w words) []ui.Problem {
	var out []ui.Problem
	need := func(field, value, id string) {
		if value == "" {
			out = append(out, ui.Problem{Field: field, Text: w.t(id)})
		}
	}
	switch n.Kind {
	case "dir":
		need("path", n.Path, "places.need.folder")
	case "s3":
		need("host", n.Host, "places.need.host")
		need("bucket", n.Bucket, "places.need.bucket")
		need("user", n.User, "places.need.accesskey")
		need("secret", n.Secret, "places.need.secret")
	case "sftp":
		need("host", n.Host, "places.need.host")
		need("user", n.User, "places.need.user")
		need("path", n.Path, "places.need.folder")
		need("host_key", n.HostKey, "places.need.hostkey")
		need("secret", n.Secret, "places.need.secret")
		if n.Path != "" && !strings.HasPrefix(n.Path, "/") {
			out = append(out, ui.Problem{Field: "path", Text: w.t("place.add.relative")})
		}
	default:
		out = append(out, ui.Problem{Text: w.t("places.need.kind")})
	}
	return append(out, w.transferMissing(n.Transfer)...)
}

// addFields is which field a refusal of the machine's speaks of.
var addFields = map[string]string{"place.add.gone": "path", "place.add.foreign": "path", "place.add.relative": "path", "place.add.inside": "path", "place.add.denied": "path", "place.add.full": "path",
	"place.add.hostkey": "host_key", "place.add.login": "secret", "place.add.key": "secret", "place.add.plain": "ca", "place.add.unreachable": "host", "place.add.abroad": "filing", "place.add.nolock": "lock_days"}

func (s *Server) copyAdd(c echo.Context) error {
	w, n := s.words(c), readCopy(c)
	problems := n.missing(w)
	if lock := strings.TrimSpace(c.FormValue("lock_days")); n.Kind == "s3" && lock != "" {
		days, err := strconv.Atoi(lock)
		if n.LockDays, n.LockStrict = days, days > 0 && c.FormValue("lock_strict") == "1"; err != nil || days < 0 || days > record.MostLockDays {
			problems = append(problems, ui.Problem{Field: "lock_days", Text: w.t("places.need.lock", "n", w.n(record.MostLockDays))})
		}
	}
	price, err := record.ParsePrice(c.FormValue("price"))
	if n.Price = price; err != nil {
		problems = append(problems, ui.Problem{Field: "price", Text: w.t("places.price.bad")})
	}
	if len(problems) == 0 {
		if ok, err := s.agreed(c, approval.Place, w.t("deed.place.add", "name", n.Name), strings.TrimSpace(strings.Join([]string{n.Kind, n.Host, n.Bucket, n.Path, n.Country}, " "))); !ok {
			return err
		}
		err := s.d.Machine.AddCopy(c.Request().Context(), visitOf(c).session.User.Name, n)
		if err != nil {
			text, ok := said(err, w.l)
			if !ok {
				text = s.broken(c, "add a place", err).Broken
			}
			field := ""
			var ie *i18n.Error
			if errors.As(err, &ie) {
				if field = addFields[ie.ID]; n.Kind == "dir" && field != "filing" {
					field = "path"
				} else if n.Kind == "s3" && ie.ID == "place.add.gone" {
					field = "bucket"
				}
			}
			problems = []ui.Problem{{Field: field, Text: text}}
		}
	}
	if len(problems) > 0 {
		p := s.copyPage(c, n)
		p.Problems = problems
		for _, x := range problems {
			p.Errs[x.Field] = x.Text
		}
		p.Law.Errs = p.Errs
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.stale()
	return seeOther(c, "/storage?done=place")
}

func (s *Server) copyVerify(c echo.Context) error {
	if err := s.d.Machine.VerifyCopy(c.Request().Context(), visitOf(c).session.User.Name, c.Param("id")); err != nil {
		return err
	}
	return seeOther(c, "/storage?done=placeverify")
}

// findCopy is the place of the address.
func (s *Server) findCopy(c echo.Context) (Copy, error) {
	copies, err := s.d.Machine.Copies(c.Request().Context())
	if err != nil {
		return Copy{}, err
	}
	for _, x := range copies {
		if x.ID == c.Param("id") && x.State != "retired" {
			return x, nil
		}
	}
	return Copy{}, restore.ErrNotFound
}

func (s *Server) retirePage(c echo.Context) (templates.CopyRetire, error) {
	w := s.words(c)
	x, err := s.findCopy(c)
	if err != nil {
		return templates.CopyRetire{}, err
	}
	p := templates.CopyRetire{Shell: s.shell(c, w.t("places.retire"), "/storage"), ID: x.ID, Name: or(x.Name, w.t("places.unnamed")), Where: x.Where, Gone: x.State == "waiting", Locked: x.Lock.Days > 0}
	if p.Gone {
		p.Facts = []string{w.t("places.retire.fact.gone"), w.t("places.retire.fact.others"), w.t("places.retire.fact.logged")}
	} else {
		p.Facts = []string{w.t("places.retire.fact.proof"), w.t("places.retire.fact.others"), w.t("places.retire.fact.stop"), w.t("places.retire.fact.logged")}
	}
	return p, nil
}

func (s *Server) retireForm(c echo.Context) error {
	p, err := s.retirePage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) copyRetire(c echo.Context) error {
	p, err := s.retirePage(c)
	if err != nil {
		return err
	}
	files := c.FormValue("files")
	switch files {
	case "keep", "erase", "forget":
		w := s.words(c)
		if ok, err := s.agreed(c, approval.Place, w.t("deed.place.retire", "name", p.Name), w.t("deed.place."+files)); !ok {
			return err
		}
		err = s.d.Machine.RetireCopy(c.Request().Context(), visitOf(c).session.User.Name, p.ID, files == "erase", files == "forget")
	default:
		err = &i18n.Error{ID: "places.retire.pick"}
	}
	if err != nil {
		text, ok := said(err, visitOf(c).lang)
		if !ok {
			return err
		}
		p.Problems = []ui.Problem{{Field: "files", Text: text}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	return seeOther(c, "/storage?done=placeretire")
}
