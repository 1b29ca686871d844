package web

import (
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// wish is what a person chose to give back, as the form says it.
type wish struct{ kind, dept, container, asOf, from, to string }

func readWish(c echo.Context) wish {
	v := func(n string) string { return strings.TrimSpace(c.FormValue(n)) }
	return wish{v("kind"), v("dept"), v("container"), v("as_of"), v("from"), v("to")}
}

func (x wish) fields() []templates.Kept {
	var out []templates.Kept
	for _, k := range []templates.Kept{{Name: "kind", Value: x.kind}, {Name: "dept", Value: x.dept}, {Name: "container", Value: x.container}, {Name: "as_of", Value: x.asOf}, {Name: "from", Value: x.from}, {Name: "to", Value: x.to}} {
		if k.Value != "" {
			out = append(out, k)
		}
	}
	return out
}

// selection is the wish as the door takes it; problems are what cannot be read.
func (x wish) selection(w words) (restore.Selection, []ui.Problem) {
	var sel restore.Selection
	var problems []ui.Problem
	if k, err := record.ParseKind(x.kind); err == nil {
		sel.Kinds = []record.Kind{k}
	} else if x.kind != "" {
		problems = append(problems, ui.Problem{Field: "kind", Text: w.t("restore.badkind")})
	}
	for _, f := range []struct {
		name, value string
		to          *[]int64
	}{{"dept", x.dept, &sel.Depts}, {"container", x.container, &sel.Containers}} {
		if f.value == "" {
			continue
		}
		id, err := strconv.ParseInt(f.value, 10, 64)
		if err != nil {
			problems = append(problems, ui.Problem{Field: f.name, Text: w.t("restore.badchoice")})
			continue
		}
		*f.to = []int64{id}
	}
	if x.asOf != "" {
		n, err := strconv.ParseUint(x.asOf, 10, 63)
		if err != nil {
			problems = append(problems, ui.Problem{Field: "as_of", Text: w.t("restore.badchoice")})
		}
		sel.AsOf = n
	}
	var ok bool
	if sel.From, sel.To, ok = dates(x.from, x.to); !ok {
		problems = append(problems, ui.Problem{Field: "from", Text: w.t("filter.baddates")})
	}
	return sel, problems
}
