package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/policy"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

func recordID(c echo.Context) (int64, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return 0, echo.NewHTTPError(http.StatusNotFound)
	}
	return id, nil
}

// record shows one item with all its versions.
func (s *Server) record(c echo.Context) error { return s.showRecord(c, mask) }

// reveal shows it with identity and phone numbers; that is an entry of its own.
func (s *Server) reveal(c echo.Context) error {
	id, err := recordID(c)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "view.sensitive", Object: "record/" + strconv.FormatInt(id, 36), Outcome: "ok"}); err != nil {
		return err
	}
	return s.showRecord(c, unmasked)
}

func (s *Server) showRecord(c echo.Context, reveal func(string) string) error {
	ctx, w, rq := c.Request().Context(), s.words(c), s.request(c)
	id, err := recordID(c)
	if err != nil {
		return err
	}
	asOf, err := readSeq(c)
	if err != nil {
		return err
	}
	at := ""
	if asOf > 0 {
		at = strconv.FormatUint(asOf, 10)
	}
	it, versions, err := s.d.Door.Item(ctx, rq, id, asOf)
	if err != nil {
		return err
	}
	info, err := s.d.Door.Container(ctx, rq, it.Container, asOf)
	if err != nil {
		return err
	}
	holder := w.title(info)
	p := templates.Record{Shell: s.shell(c, holder, archivePath(it.Kind)), Kind: w.kind(it.Kind), KindHref: archivePath(it.Kind), Holder: holder,
		Container: query(archivePath(it.Kind)+"/"+strconv.FormatInt(it.Container, 10), "as_of", at, "near", strconv.FormatInt(it.ID, 10)), Class: int(it.Class), ClassName: w.class(it.Class), Purpose: w.purpose(string(rq.Purpose)),
		CanTake: policy.May(rq.Subject, policy.Export, w.now), Message: w.message(it, reveal, at)}
	p.Message.Note = false
	p.Message.When = w.full(it.Time)
	p.Heading = or(p.Message.Title, w.t("record.heading", "who", p.Message.Author, "when", w.moment(it.Time).Text))
	if masked(it, w, reveal) {
		p.Reveal = query(recordPath(id)+"/reveal", "as_of", at)
	}
	card := s.proofCard(c, it, len(versions), at)
	p.Proof = *card
	before := ""
	for i, v := range versions {
		row := templates.Version{Number: w.t("record.version", "n", i+1), Href: query(recordPath(v.ID), "as_of", at), Here: v.ID == it.ID, Kept: s.keptAt(w, v.Seq)}
		row.What = w.change(v, i)
		body := reveal(v.Doc.Text())
		row.Body = changed(before, body)
		before = body
		if v.Damage == nil {
			row.Hash = v.Record.Hash().String()
		}
		for _, b := range v.Record.Blobs {
			row.Files = append(row.Files, w.t("file.named", "name", b.Name, "size", w.l.Size(b.Size)))
		}
		p.Versions = append(p.Versions, row)
	}
	if p.CanTake && it.Damage == nil && rq.Fresh {
		var b bytes.Buffer
		if json.Indent(&b, it.Record.Raw, "", "  ") == nil {
			p.Raw = reveal(b.String())
		}
	}
	return render(c, http.StatusOK, p)
}

// masked reports whether something of the item was hidden.
func masked(it restore.Item, w words, reveal func(string) string) bool {
	if reveal(it.Doc.Text()) != it.Doc.Text() {
		return true
	}
	shown, all := w.fields(it.Doc.Fields, reveal), w.fields(it.Doc.Fields, unmasked)
	for i := range shown {
		if shown[i] != all[i] {
			return true
		}
	}
	return false
}

func (w words) change(v restore.Item, i int) string {
	switch {
	case v.Damage != nil:
		return w.t("state.damaged")
	case v.Record.Deleted:
		return w.t("record.change.deleted")
	case v.Doc.State.Recalled:
		return w.t("record.change.recalled")
	case i == 0:
		return w.t("record.change.first")
	}
	return w.t("record.change.edited")
}

// changed marks what is between the common beginning and the common end.
func changed(before, after string) []ui.Part {
	if before == "" || before == after {
		return []ui.Part{{Text: after}}
	}
	a, b := []rune(before), []rune(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return []ui.Part{{Text: string(b[:head])}, {Text: string(b[head : len(b)-tail]), Hit: true}, {Text: string(b[len(b)-tail:])}}
}

// keptAt is when the commit was witnessed by the log.
func (s *Server) keptAt(w words, seq uint64) ui.Moment {
	n, err := s.d.Audit.FindCommit(seq)
	if err != nil {
		return ui.Moment{Text: w.t("time.unknown")}
	}
	e, err := s.d.Audit.Entry(n)
	if err != nil {
		return ui.Moment{Text: w.t("time.unknown")}
	}
	return w.full(e.Time)
}

// proofCard says what shows that the item is as it was.
func (s *Server) proofCard(c echo.Context, it restore.Item, versions int, at string) *templates.ProofCard {
	w := s.words(c)
	card := &templates.ProofCard{Sent: w.full(it.Time).Text, Kept: s.keptAt(w, it.Seq).Text, Href: query(recordPath(it.ID), "as_of", at), Versions: w.t("proof.versions")}
	if versions > 0 {
		card.Versions = w.t("record.versions.count", "n", versions)
	}
	if it.Damage == nil {
		card.Hash = it.Record.Hash().String()
	}
	card.Seal = w.t("proof.unsealed")
	if n, err := s.d.Audit.FindCommit(it.Seq); err == nil {
		card.Seal = w.t("proof.sealed", "n", w.n(n))
		if o := s.d.Machine.Offsite(c.Request().Context()); o.Set && o.CheckpointSize > n {
			card.Seal = w.t("proof.witnessed", "n", w.n(n))
		}
	}
	if policy.May(visitOf(c).subject(), policy.Export, w.now) {
		card.Proof = recordPath(it.ID) + "/proof.json"
	}
	return card
}

// blobShow shows a picture inside the page. Nothing else is shown: a file from
// a stranger must not run in this console.
func (s *Server) blobShow(c echo.Context) error { return s.blob(c, false) }

func (s *Server) blobTake(c echo.Context) error { return s.blob(c, true) }

func (s *Server) blob(c echo.Context, take bool) error {
	id, err := recordID(c)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	r, b, err := s.d.Door.Blob(c.Request().Context(), s.request(c), id, n, take)
	var u *restore.Unagreed
	if errors.As(err, &u) {
		return s.askTake(c, u)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	if take {
		attach(c.Response(), or(b.Name, "attachment"), "application/octet-stream")
	} else {
		kind := showable(b)
		if kind == "" {
			return restore.ErrNotFound
		}
		h.Set("Content-Type", kind)
	}
	http.ServeContent(moving(c), c.Request(), "", s.d.Now(), r)
	return nil
}

// proof is the stand-alone evidence of a record, to be checked without us.
func (s *Server) proof(c echo.Context) error {
	id, err := recordID(c)
	if err != nil {
		return err
	}
	p, err := s.d.Door.Proof(c.Request().Context(), s.request(c), id)
	var u *restore.Unagreed
	if errors.As(err, &u) {
		return s.askTake(c, u)
	}
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	attach(c.Response(), "farol-proof-"+strconv.FormatInt(id, 36)+".json", "application/json")
	_, err = c.Response().Write(b)
	return err
}
