package appliance

import (
	"context"
	"crypto/tls"
	"net/http"
	"regexp"
	"testing"
	"time"

	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
)

var shareText = regexp.MustCompile(`FAROL1-[A-Z0-9-]+[A-Z0-9]`)

func unique(ss []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range ss {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func insecureTransport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // a self-made certificate on loopback
}

// waitRun waits until the first backup has ended well.
func waitRun(t *testing.T, a *Appliance) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		runs, err := a.engine.Runs(context.Background(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) > 0 && (runs[0].State == backup.Done || runs[0].State == backup.Partial) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the first backup did not end: %+v", a.engine.Progress())
		}
	}
}

// someMessage gives the text of a captured group message and a word of it.
func someMessage(t *testing.T, a *Appliance) (text, word string) {
	t.Helper()
	for _, q := range []string{"報價", "付款", "order", "會議", "收到", "ok"} {
		r, err := a.door.Search(context.Background(), a.operator(policy.Verification), q, catalog.Query{Limit: 3, Kind: record.Chat})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Items) > 0 {
			return r.Items[0].Shown, q
		}
	}
	t.Fatal("no message holds any of the usual words")
	return "", ""
}

func mustContainers(t *testing.T, a *Appliance) []catalog.ContainerInfo {
	t.Helper()
	cs, err := a.door.Containers(context.Background(), a.operator(policy.Verification), record.Files, 0)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}
