package web

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/catalog"
	"farol/internal/record"
	"farol/internal/settings"
)

// selfOn switches self-service on, as an owner does.
func (h *house) selfOn() *visitor {
	h.t.Helper()
	h.account("maria", "owner")
	v := h.login("maria")
	v.post("/consents/self", "on", "1").wants(h.t, 303, "/consents/self?done=self.on")
	return v
}

// agree is what a person does on DingTalk's page at address; back is the step
// to the console that follows, as a path.
func (h *house) agree(address, user string, more ...string) (back string) {
	h.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		h.t.Fatal(err)
	}
	form := u.Query()
	form.Set("user", user)
	form.Set("decision", "agree")
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := hc.PostForm(h.above+"/oauth2/auth/decide?"+u.RawQuery, form)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	loc, err := resp.Location()
	if err != nil {
		b, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("DingTalk's page answers %d to %q: %s", resp.StatusCode, user, b)
	}
	return loc.RequestURI()
}

// member signs a member in.
func (h *house) member(user string) *visitor {
	h.t.Helper()
	v := h.visitor()
	to := v.get("/me/go").wants(h.t, 303).to
	v.get(h.agree(to, user)).wants(h.t, 200, `url=/me"`)
	return v
}

// staff are the people of the simulator's tenant.
func (h *house) staff() []settings.Consent {
	h.t.Helper()
	list, err := h.d.Settings.Consents(h.t.Context())
	if err != nil || len(list) < 10 {
		h.t.Fatalf("%d people, %v", len(list), err)
	}
	return list
}

// unions are their userIds by unionId.
func (h *house) unions() map[string]string {
	h.t.Helper()
	out := map[string]string{}
	for _, p := range h.staff() {
		out[p.UnionID] = p.Person
	}
	return out
}

// upstream tells the simulator what happens there.
func (h *house) upstream(act string, body map[string]any) {
	h.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.Post(h.above+"/_sim/"+act, "application/json", strings.NewReader(string(b)))
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		h.t.Fatalf("%s: %d", act, resp.StatusCode)
	}
}

// version is one version as the archive has it.
type version struct {
	catalog.Hit
	rec record.Record
}

// archived is every current version that describes nothing, and every
// version of a list of members, read without the code under test.
func (h *house) archived() (items []version, opens map[string]string, groups map[string]bool) {
	h.t.Helper()
	ctx := h.t.Context()
	opens, groups = map[string]string{}, map[string]bool{}
	all := record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true}
	err := h.d.Catalog.Select(ctx, all, 0, time.Time{}, time.Time{}, 500, func(hits []catalog.Hit) error {
		for _, x := range hits {
			r, err := h.mach.archive.Read(ctx, x.Loc)
			if err != nil {
				return err
			}
			switch r.ID {
			case "@members":
				var ms []struct{ OpenDingTalkID, UserID string }
				if err := json.Unmarshal(r.Raw, &ms); err != nil {
					return err
				}
				for _, m := range ms {
					opens[m.OpenDingTalkID] = m.UserID
				}
			case "@":
				if r.Kind == record.Files && strings.Contains(string(r.Raw), "openConversationId") {
					groups[r.Container] = true
				}
			}
			if x.State&catalog.Describes == 0 {
				items = append(items, version{x, r})
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return items, opens, groups
}

// shape is what the test reads of a record.
type shape struct {
	Sender                                                 struct{ Name, OpenDingTalkID string }
	Quoted                                                 *struct{ Content string } `json:"quotedMessage"`
	Content, CreatorID, ModifierID, Type, OriginatorUserID string
	Records                                                []struct{ UserID, Remark string } `json:"operationRecords"`
}

// belongs says whose alone a record is.
func (k *version) belongs(opens map[string]string, groups map[string]bool, union map[string]string) (user string, s shape) {
	if json.Unmarshal(k.rec.Raw, &s) != nil {
		return "", s
	}
	switch k.Kind {
	case record.Chat:
		return opens[s.Sender.OpenDingTalkID], s
	case record.Files:
		if s.CreatorID == s.ModifierID && s.Type == "FILE" && groups[k.rec.Container] {
			return union[s.CreatorID], s
		}
	case record.Approvals:
		return s.OriginatorUserID, s
	}
	return "", s
}

var linked = regexp.MustCompile(`href="/me/record/(\d+)"`)

// TestAMemberSeesExactlyWhatIsHis compares, for every member, lists and random
// records over HTTP with what the archive's raw bytes say.
func TestAMemberSeesExactlyWhatIsHis(t *testing.T) {
	h := newHouse(t)
	h.backedUp()
	h.selfOn()
	items, opens, groups := h.archived()
	union := h.unions()
	rng := rand.New(rand.NewPCG(7, 7))
	seen := map[record.Kind]int{}
	quotes, remarks, asked := 0, 0, 0
	for _, p := range h.staff() {
		v := h.member(p.Person)
		want := map[int64]bool{}
		for i := range items {
			if who, _ := items[i].belongs(opens, groups, union); who == p.Person {
				want[items[i].ID] = true
				seen[items[i].Kind]++
			}
		}
		// every page of the list
		got := map[int64]bool{}
		for at := "/me/search"; at != ""; {
			if asked++; asked%25 == 0 {
				h.clock.pass(61 * time.Second)
			}
			a := v.get(at).wants(t, 200)
			for _, m := range linked.FindAllStringSubmatch(a.body, -1) {
				id, _ := strconv.ParseInt(m[1], 10, 64)
				got[id] = true
			}
			at = ""
			if m := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(a.body); m != nil {
				at = html.UnescapeString(m[1])
			}
		}
		for i := range items {
			if id := items[i].ID; got[id] != want[id] {
				t.Fatalf("%s record %d of %s: listed %v, his %v: %s", items[i].Kind, id, p.Person, got[id], want[id], items[i].rec.Raw)
			}
		}
		// random records, his and others'
		for n := range 70 {
			k := items[rng.IntN(len(items))]
			for n%2 == 0 && len(want) > 0 && !want[k.ID] {
				k = items[rng.IntN(len(items))]
			}
			if n%50 == 49 {
				h.clock.pass(61 * time.Second)
			}
			a := v.get(meRecordPath(k.ID))
			if (a.code == 200) != want[k.ID] || a.code != 200 && a.code != 404 {
				t.Fatalf("%s record %d: %d, his %v", k.Kind, k.ID, a.code, want[k.ID])
			}
			if a.code != 200 {
				continue
			}
			_, s := k.belongs(opens, groups, union)
			if s.Quoted != nil && len(s.Quoted.Content) > 6 && !strings.Contains(s.Content, s.Quoted.Content) {
				quotes++
				a.lacks(t, html.EscapeString(s.Quoted.Content))
			}
			for _, r := range s.Records {
				if r.UserID != p.Person && len(r.Remark) > 6 {
					remarks++
					a.lacks(t, html.EscapeString(r.Remark))
				}
			}
		}
		h.clock.pass(61 * time.Second)
	}
	if seen[record.Chat] < 50 || seen[record.Files] < 3 || seen[record.Approvals] < 5 || quotes < 1 || remarks < 3 {
		t.Errorf("the tenant is too small to say much: %v, %d quotes, %d remarks", seen, quotes, remarks)
	}
}

// his finds a record of a member that meets a condition.
func (h *house) his(user string, fit func(*version) bool) version {
	h.t.Helper()
	items, opens, groups := h.archived()
	union := h.unions()
	for i := range items {
		if who, _ := items[i].belongs(opens, groups, union); who != "" && (user == "" || who == user) && fit(&items[i]) {
			return items[i]
		}
	}
	h.t.Fatal("no record of the member")
	return version{}
}

func (h *house) whose(k version) string {
	_, opens, groups := h.archived()
	union := h.unions()
	who, _ := k.belongs(opens, groups, union)
	return who
}

func TestAMemberFindsReadsAndGetsBackWhatIsHis(t *testing.T) {
	h := newHouse(t)
	h.backedUp()
	h.selfOn()
	file := h.his("", func(k *version) bool { return k.Kind == record.Files && len(k.rec.Blobs) == 1 })
	user := h.whose(file)
	said := h.his(user, func(k *version) bool {
		said := shapeOf(k).Content // "-19.2" in a question leaves out what says 19.2
		return k.Kind == record.Chat && len(k.rec.Blobs) == 0 && len(said) > 12 && !strings.ContainsAny(said, `-"`)
	})
	v := h.visitor()
	v.get("/me").wants(t, 200, "/me/go", "以釘釘登入")
	v.get("/me/search").wants(t, 303, "/me")
	v = h.member(user)
	v.get("/me").wants(t, 200, "8/2005", "/me/search?kind=files")
	text := shapeOf(&said).Content
	v.find("/me/search", text).wants(t, 200, fmt.Sprintf(`href="/me/record/%d"`, said.ID))
	v.find("/me/search", "沒有人寫過的字句").wants(t, 200, "沒有找到您的資料")
	v.find("/me/search", "/").wants(t, 422)
	v.get("/me/search?from=2026-05-01&to=2026-04-01").wants(t, 422)
	v.get(meRecordPath(said.ID)).wants(t, 200, html.EscapeString(text))
	v.get(meRecordPath(file.ID)).wants(t, 200, fmt.Sprintf("/me/record/%d/blob/0/download", file.ID))
	a := v.get(fmt.Sprintf("/me/record/%d/blob/0/download", file.ID)).wants(t, 200)
	if record.HashOf([]byte(a.body)) != file.rec.Blobs[0].SHA256 || !strings.HasPrefix(a.head.Get("Content-Disposition"), "attachment") || a.head.Get("Cache-Control") != "no-store" {
		t.Errorf("%d bytes, %v", len(a.body), a.head)
	}
	v.get(fmt.Sprintf("/me/record/%d/blob/1/download", file.ID)).wants(t, 404)
	v.post("/me/logout").wants(t, 303, "/me?done=out")
	v.get(meRecordPath(said.ID)).wants(t, 303, "/me")

	// who, what and why is in the log; no name and no word is
	who := h.said("member.login")[0].Actor
	for op, n := range map[string]int{"member.login": 1, "search": 3, "export.download": 2, "member.logout": 1, "access.denied": 1} {
		es := h.said(op)
		if len(es) != n {
			t.Errorf("%d entries of %s, want %d", len(es), op, n)
		}
		for _, e := range es {
			if e.Actor != who || e.Role != "member" || e.Session == "" || e.Purpose != "self" || !strings.HasPrefix(who, "member/") {
				t.Errorf("%+v", e)
			}
		}
	}
	for _, op := range []string{"view", "search", "member.login", "export.download"} {
		b, _ := json.Marshal(h.said(op))
		if strings.Contains(string(b), text) || strings.Contains(string(b), user) {
			t.Errorf("the log names him or what he wrote: %s", b)
		}
	}
}

func shapeOf(k *version) shape {
	var s shape
	_ = json.Unmarshal(k.rec.Raw, &s)
	return s
}
