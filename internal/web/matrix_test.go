package web

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"farol/internal/policy"
)

var update = flag.Bool("update", false, "write the table of roles and routes anew")

const matrixFile = "../adr/matrix.md"

// matrix is the table an auditor reads. [TestWhoMayDoWhat] asks every route as
// every role; both come from the same lists.
func matrix(routes []route) string {
	var b strings.Builder
	b.WriteString("# Who may do what\n\nMade from `internal/policy/role.go` and `internal/web/routes.go` by `go test ./internal/web -run Matrix -update`; a test compares it with the code,\nanother asks every route as every role over HTTP.\n\n" +
		"● always · ○ when the account was given departments (`/access`) · – never. \"purpose\" asks for a declared purpose first, \"fresh code\" for a one-time code of the last five minutes, \"signed in anew\" for a whole sign-in of the last five minutes. \"member\" is a member of the company who is signed in by DingTalk: no account opens it, whatever its role.\n\n## Roles and actions\n\n| action |")
	for _, r := range policy.Roles {
		b.WriteString(" " + r.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(policy.Roles)) + "\n")
	for _, a := range policy.Actions {
		fmt.Fprintf(&b, "| %s |", a)
		for _, r := range policy.Roles {
			b.WriteString(" " + reach(r, a) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## What content a role reaches\n\n| role | | departments | kinds | highest class | closed circles | 1:1 for a legal purpose | purposes |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range policy.Roles {
		for _, g := range r.Grants {
			if len(g.Purposes) > 0 {
				b.WriteString(reaches(r.Name, "●", "all", g))
			}
		}
		if r.Template != nil {
			b.WriteString(reaches(r.Name, "○", "given", *r.Template))
		}
	}
	b.WriteString("\n## Routes\n\n| route | needs |")
	for _, r := range policy.Roles {
		b.WriteString(" " + r.Name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(policy.Roles)) + "\n")
	for _, x := range routes {
		fmt.Fprintf(&b, "| %s `%s` | %s |", x.method, x.path, x.access.name)
		for _, r := range policy.Roles {
			if x.access.member && !x.access.open {
				b.WriteString(" – |")
			} else if x.access.action == "" {
				b.WriteString(" ● |")
			} else {
				b.WriteString(" " + reach(r, x.access.action) + " |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func reach(r policy.Role, a policy.Action) string {
	switch {
	case policy.May(policy.Subject{Grants: r.Grants}, a, time.Time{}):
		return "●"
	case r.Template != nil && policy.May(policy.Subject{Grants: []policy.Grant{*r.Template}}, a, time.Time{}):
		return "○"
	}
	return "–"
}

func reaches(role, mark, depts string, g policy.Grant) string {
	var kinds, purposes, closed []string
	for _, k := range g.Kinds {
		kinds = append(kinds, string(k))
	}
	for _, p := range g.Purposes {
		purposes = append(purposes, string(p))
	}
	for _, c := range circles {
		if g.Realms&c.realm != 0 {
			closed = append(closed, c.name)
		}
	}
	private := map[bool]string{true: "yes", false: "–"}[g.Private]
	return fmt.Sprintf("| %s | %s | %s | %s | %d | %s | %s | %s |\n", role, mark, depts, strings.Join(kinds, ", "), g.Class, strings.Join(closed, ", "), private, strings.Join(purposes, ", "))
}

func TestTheMatrixIsTheCode(t *testing.T) {
	want := matrix((&Server{}).routes())
	if *update {
		if err := os.WriteFile(matrixFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(matrixFile)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the code says (%v): write it anew with -update", matrixFile, err)
	}
}
