package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"
)

// page is what templates' structs are.
type page interface{ Page() templ.Component }

// render writes a page, or of it only the fragment that the request's target
// names. It draws into memory first, so that a failure is still an error page.
func render(c echo.Context, code int, p page, fragments ...string) error {
	h := c.Request().Header
	c.Response().Header().Set("Vary", "HX-Request, HX-Target, Accept-Language, Cookie")
	var b bytes.Buffer
	target := h.Get("HX-Target")
	if h.Get("HX-History-Restore-Request") == "" && target != "" && slices.Contains(fragments, target) {
		if err := templ.RenderFragments(c.Request().Context(), &b, p.Page(), target); err != nil {
			return fmt.Errorf("draw %T: %w", p, err)
		}
		if b.Len() == 0 {
			return fmt.Errorf("draw %T: no fragment %q", p, target) // templ says nothing of an unknown one
		}
	} else if err := p.Page().Render(c.Request().Context(), &b); err != nil {
		return fmt.Errorf("draw %T: %w", p, err)
	}
	return c.HTMLBlob(code, b.Bytes())
}

// part writes one component alone.
func part(c echo.Context, p templ.Component) error {
	var b bytes.Buffer
	if err := p.Render(c.Request().Context(), &b); err != nil {
		return fmt.Errorf("draw a part: %w", err)
	}
	return c.HTMLBlob(http.StatusOK, b.Bytes())
}

// text draws a component for an event stream.
func text(ctx context.Context, p templ.Component) (string, error) {
	var b bytes.Buffer
	err := p.Render(ctx, &b)
	return b.String(), err
}

// seeOther is the answer to a form that was taken.
func seeOther(c echo.Context, to string) error {
	if c.Request().Header.Get("HX-Request") != "" {
		c.Response().Header().Set("HX-Redirect", to)
		return c.NoContent(http.StatusNoContent)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// attach names a file that is sent.
func attach(w http.ResponseWriter, name, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", disposition(name))
}
