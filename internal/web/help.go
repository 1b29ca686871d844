package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
	"farol/packaging/docs"
	"farol/templates"
	"farol/templates/ui"
)

// isHelp reports whether a path is one of the manual's. It is answered whatever
// else does not work.
func isHelp(path string) bool { return path == "/help" || strings.HasPrefix(path, "/help/") }

// manualLang is the language in which a reader is given the manual.
func manualLang(l i18n.Lang) (lang string, own bool) {
	if slices.Contains(docs.Langs, string(l)) {
		return string(l), true
	}
	if l == i18n.ZhHans {
		return string(i18n.ZhHant), false
	}
	return string(i18n.EN), false
}

func (s *Server) helpPage(c echo.Context, title string) templates.Help {
	v, w := visitOf(c), s.words(c)
	lang, own := manualLang(v.lang)
	p := templates.Help{Lang: lang, SignedIn: v.session != nil}
	if !own {
		p.Foreign = w.t("help.foreign")
	}
	if p.SignedIn {
		p.Shell = s.shell(c, title, "/help")
	} else {
		p.Bare = s.bare(c, title)
	}
	return p
}

// help lists the topics.
func (s *Server) help(c echo.Context) error {
	p := s.helpPage(c, s.words(c).t("help.title"))
	for _, t := range docs.Topics {
		if d, ok := docs.Of(t, p.Lang); ok {
			p.Topics = append(p.Topics, templates.HelpTopic{Href: "/help/" + t, Title: d.Title, Lead: d.Lead})
		}
	}
	return render(c, http.StatusOK, p)
}

// helpTopic shows one.
func (s *Server) helpTopic(c echo.Context) error {
	lang, _ := manualLang(visitOf(c).lang)
	d, ok := docs.Of(c.Param("topic"), lang)
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	p := s.helpPage(c, d.Title)
	p.Topic, p.Title, p.HTML = d.Topic, d.Title, d.HTML
	for _, x := range d.Parts {
		p.Parts = append(p.Parts, templates.HelpPart{ID: x.ID, Title: x.Title})
	}
	at := slices.Index(docs.Topics, d.Topic)
	beside := func(i int) *ui.Link {
		if i < 0 || i >= len(docs.Topics) {
			return nil
		}
		o, _ := docs.Of(docs.Topics[i], lang)
		return &ui.Link{Label: o.Title, Href: "/help/" + o.Topic}
	}
	p.Before, p.After = beside(at-1), beside(at+1)
	return render(c, http.StatusOK, p)
}
