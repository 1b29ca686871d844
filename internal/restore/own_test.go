package restore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

var ownAt = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)

func raw(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type obj = map[string]any

// office is a small company: wai (user u1, union U1, Dwai) and rui, who both
// write everywhere.
func office(t *testing.T) (*house, restore.Request) {
	t.Helper()
	h := newHouse(t)
	blob := func(name, text string) record.Blob {
		b, err := h.archive.PutBlob(t.Context(), name, -1, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	members := func(conv string, list ...obj) record.Record {
		return record.Record{Ref: record.Ref{Kind: record.Chat, Container: conv, ID: "@members"}, Time: ownAt, Dept: 7, Raw: raw(t, list)}
	}
	wai, rui := obj{"openDingTalkId": "Dwai", "userId": "u1"}, obj{"openDingTalkId": "Drui", "userId": "u2"}
	chat := func(conv, id, author string, more obj) record.Record {
		m := obj{"openMessageId": id, "openConversationId": conv, "sender": obj{"name": author, "openDingTalkId": "D" + author}, "msgType": "text", "content": "訊息 " + id, "createTime": ownAt.In(zone).Format(time.DateTime)}
		for k, v := range more {
			m[k] = v
		}
		return record.Record{Ref: record.Ref{Kind: record.Chat, Container: conv, ID: id}, Time: ownAt, Author: "D" + author, Dept: 7, Raw: raw(t, m)}
	}
	file := func(space, id, creator, modifier string, more obj) record.Record {
		e := obj{"id": id, "spaceId": space, "type": "FILE", "name": "檔案 " + id + ".pdf", "path": "/王小明的資料夾/" + id + ".pdf", "creatorId": creator, "modifierId": modifier, "modifiedTime": "2026-03-02T01:00:00Z"}
		for k, v := range more {
			e[k] = v
		}
		return record.Record{Ref: record.Ref{Kind: record.Files, Container: space, ID: id}, Time: ownAt, Author: modifier, Dept: 7, Raw: raw(t, e), Blobs: []record.Blob{blob("檔案 "+id+".pdf", "bytes of "+id)}}
	}
	space := func(id string, v obj) record.Record {
		return record.Record{Ref: record.Ref{Kind: record.Files, Container: id, ID: "@"}, Time: ownAt, Dept: 7, Raw: raw(t, v)}
	}
	single := group("cid2", "rui", 7)
	single.Raw = raw(t, obj{"openConversationId": "cid2", "title": "rui", "conversationType": 1})
	ask := func(id, who string) record.Record {
		r := record.Record{Ref: record.Ref{Kind: record.Approvals, Container: "form1", ID: id}, Time: ownAt, Author: who, Dept: 7, Raw: raw(t, obj{"title": "報銷單 " + id, "createTime": "2026-03-02T01:00Z", "originatorUserId": who, "status": "COMPLETED", "result": "agree",
			"formComponentValues": []obj{{"name": "金額", "value": "MOP 18400", "componentType": "MoneyField"}, {"name": "單據", "value": `[{"fileId":"x","fileName":"收據.pdf"},{"fileId":"y","fileName":"同名.pdf"}]`, "componentType": "DDAttachment"}},
			"operationRecords": []obj{{"userId": who, "date": "D1", "showName": "發起", "result": "NONE", "remark": "請從速"}, {"userId": "u9", "date": "D2", "showName": "審批人", "result": "AGREE", "remark": "秘密批註", "attachments": []obj{{"fileId": "z", "fileName": "內部意見.pdf"}, {"fileId": "w", "fileName": "同名.pdf"}}},
				{"userId": "u8", "date": "D3", "showName": "評論", "result": "NONE", "remark": "旁人評論"}}})}
		r.Blobs = []record.Blob{blob("收據.pdf", "receipt"), blob("同名.pdf", "hers or his"), blob("內部意見.pdf", "inner")}
		return r
	}
	h.put(t, []record.Record{
		group("cid1", "氹仔工地協調群", 7), members("cid1", wai, rui), single, members("cid2", wai, rui), group("cid3", "裁員名單", 7), members("cid3", rui),
		chat("cid1", "m1", "wai", nil), chat("cid1", "m2", "rui", nil),
		chat("cid1", "m3", "wai", obj{"quotedMessage": obj{"sender": obj{"name": "rui"}, "content": "老闆的密語"}}),
		chat("cid1", "m4", "wai", obj{"content": "[聊天記錄] 別人的話", "forwardMessages": []obj{{"content": "別人的話"}}}),
		chat("cid2", "m5", "wai", nil), chat("cid3", "m6", "wai", nil),
		space("s1", obj{"openConversationId": "cid1", "title": "氹仔工地協調群"}), space("s2", obj{"spaceId": "s2", "spaceName": "財務部"}),
		file("s1", "f1", "U1", "U1", nil), file("s1", "f2", "U2", "U1", nil), file("s1", "f3", "U1", "U2", nil), file("s2", "f4", "U1", "U1", nil),
		file("s1", "f5", "U1", "U1", obj{"type": "FOLDER"}), file("s9", "f6", "U1", "U1", nil),
		ask("a1", "u1"), ask("a2", "u2"),
	})
	open, err := h.Aliases(t.Context(), "u1")
	if err != nil || !slices.Equal(open, []string{"Dwai"}) {
		t.Fatalf("%v, %v", open, err)
	}
	m := policy.Member("member/1", policy.Names{record.Chat: open, record.Files: {"U1"}, record.Approvals: {"u1"}})
	return h, restore.Request{Subject: m, Session: "s", Source: "10.0.0.9", Purpose: policy.Self}
}

// row is the catalog's id of an item.
func (h *house) row(t *testing.T, k record.Kind, container, id string) int64 {
	t.Helper()
	hit, err := h.catalog.ByRef(t.Context(), record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true}, record.Ref{Kind: k, Container: container, ID: id})
	if err != nil {
		t.Fatal(id, err)
	}
	return hit.ID
}

func TestAMembersOwnIsShownWithoutWhatOthersWrote(t *testing.T) {
	h, wai := office(t)
	p, err := h.OwnList(t.Context(), wai, restore.OwnQuery{OwnQuery: catalog.OwnQuery{Limit: 50}})
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{}
	for _, it := range p.Items {
		where[it.Title+it.Body+strings.Join(it.Document.Files, "")] = it.Where
		all := it.Text() + fmt.Sprint(it.Reply, it.Fields)
		for _, bad := range []string{"老闆的密語", "別人的話", "王小明", "秘密批註", "內部意見", "旁人評論", "裁員"} {
			if strings.Contains(all, bad) || strings.Contains(it.Where, bad) {
				t.Errorf("%q is in %+v", bad, it)
			}
		}
	}
	for want, place := range map[string]string{"訊息 m1": "氹仔工地協調群", "訊息 m3": "氹仔工地協調群", "": "氹仔工地協調群", "訊息 m5": "", "訊息 m6": "", "檔案 f1.pdf檔案 f1.pdf": "氹仔工地協調群",
		"報銷單 a1D1 發起 NONE: 請從速\nD2 審批人 AGREE收據.pdf": "form1"} {
		if got, ok := where[want]; !ok || got != place && place != "form1" {
			t.Errorf("%q lies in %q (%v), want %q", want, got, ok, place)
		}
		delete(where, want)
	}
	if len(where) > 0 {
		t.Errorf("also shown: %v", where)
	}
	tally, err := h.OwnTallies(t.Context(), wai)
	if err != nil || len(tally) != 3 {
		t.Fatalf("%+v, %v", tally, err)
	}
	for _, x := range tally {
		if want := map[record.Kind]int64{record.Chat: 5, record.Files: 1, record.Approvals: 1}[x.Kind]; x.Items != want || x.Year != 2026 {
			t.Errorf("%+v, want %d", x, want)
		}
	}
	// what others wrote in his is not found by its words either
	for _, words := range []string{"老闆的密語", "別人的話", "秘密批註", "王小明"} {
		if p, err := h.OwnList(t.Context(), wai, restore.OwnQuery{Text: words, OwnQuery: catalog.OwnQuery{Limit: 50}}); err != nil || len(p.Items) > 0 {
			t.Errorf("%s finds %d items, %v", words, len(p.Items), err)
		}
	}
	it, versions, err := h.OwnItem(t.Context(), wai, h.row(t, record.Chat, "cid1", "m3"))
	if err != nil || len(versions) != 1 || !it.Omitted || it.Reply != nil {
		t.Errorf("%+v, %v", it, err)
	}
}

func TestAMemberGetsBackHisFilesOnly(t *testing.T) {
	h, wai := office(t)
	take := func(k record.Kind, container, id string, n int) (string, error) {
		r, _, err := h.OwnBlob(t.Context(), wai, h.row(t, k, container, id), n)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	if s, err := take(record.Files, "s1", "f1", 0); err != nil || s != "bytes of f1" {
		t.Error(s, err)
	}
	if s, err := take(record.Approvals, "form1", "a1", 0); err != nil || s != "receipt" {
		t.Error(s, err)
	}
	for _, x := range []struct {
		k             record.Kind
		container, id string
		n             int
	}{{record.Files, "s1", "f2", 0}, {record.Files, "s1", "f3", 0}, {record.Files, "s2", "f4", 0}, {record.Files, "s1", "f5", 0}, {record.Files, "s9", "f6", 0}, {record.Files, "s1", "f1", 1}, {record.Files, "s1", "f1", -1},
		{record.Approvals, "form1", "a1", 1}, {record.Approvals, "form1", "a1", 2}, {record.Approvals, "form1", "a2", 0}} {
		before := h.audit.Size()
		if s, err := take(x.k, x.container, x.id, x.n); !errors.Is(err, restore.ErrNotFound) {
			t.Errorf("%+v: %q, %v", x, s, err)
		}
		e, err := h.audit.Entry(before + 1)
		if err != nil || e.Operation != "access.denied" || e.Actor != "member/1" || e.Purpose != "self" || e.Outcome != "denied" {
			t.Errorf("%+v: %+v, %v", x, e, err)
		}
	}
}

// TestTheMembersDoorAndTheOthersDoNotMix: the purpose opens only what own.go
// shows, and only to a member.
func TestTheMembersDoorAndTheOthersDoNotMix(t *testing.T) {
	h, wai := office(t)
	m1, cid1 := h.row(t, record.Chat, "cid1", "m1"), h.catalog.ContainerID(record.Chat, "cid1")
	boss := owner(policy.Self)
	boss.Fresh, wai.Fresh = true, true
	for who, rq := range map[string]restore.Request{"a member": wai, "an owner": boss} {
		_, err := h.Containers(t.Context(), rq, record.Chat, 0)
		_, err1 := h.Page(t.Context(), rq, catalog.PageQuery{Container: cid1, Limit: 5})
		_, _, err2 := h.Item(t.Context(), rq, m1, 0)
		_, err3 := h.Search(t.Context(), rq, "訊息", catalog.Query{Limit: 5})
		_, _, err4 := h.Blob(t.Context(), rq, m1, 0, true)
		_, err5 := h.Proof(t.Context(), rq, m1)
		_, err6 := h.Container(t.Context(), rq, cid1, 0)
		_, err7 := h.Export(t.Context(), rq, restore.Selection{}, i18n.EN, nil, nil)
		for i, err := range []error{err, err1, err2, err3, err4, err5, err6, err7} {
			if !errors.Is(err, policy.ErrDenied) {
				t.Errorf("%s by door %d: %v", who, i, err)
			}
		}
	}
	if _, _, err := h.OwnItem(t.Context(), boss, m1); !errors.Is(err, policy.ErrDenied) {
		t.Error("an owner as a member:", err)
	}
	for _, p := range append(slices.Clone(policy.Purposes), "") {
		wai.Purpose = p
		if _, _, err := h.OwnItem(t.Context(), wai, m1); !errors.Is(err, policy.ErrPurpose) {
			t.Errorf("for %q: %v", p, err)
		}
	}
}

// TestAKeyCountsForItsKindOnly: administrators choose user ids, and could give
// somebody one that is another's key.
func TestAKeyCountsForItsKindOnly(t *testing.T) {
	h, rq := office(t)
	rq.Subject = policy.Member("member/2", policy.Names{record.Chat: {"U1", "u1"}, record.Files: {"Dwai", "u1"}, record.Approvals: {"Dwai", "U1"}})
	p, err := h.OwnList(t.Context(), rq, restore.OwnQuery{OwnQuery: catalog.OwnQuery{Limit: 50}})
	if err != nil || len(p.Items) > 0 {
		t.Errorf("%d items, %v", len(p.Items), err)
	}
	rq.Subject = policy.Member("member/3", nil)
	if _, err := h.OwnList(t.Context(), rq, restore.OwnQuery{OwnQuery: catalog.OwnQuery{Limit: 50}}); !errors.Is(err, policy.ErrDenied) {
		t.Error(err)
	}
}

// TestWhatIsNoLongerHeldIsGoneForAMember: a record whose bytes have left the
// archive is not there, whatever the catalog says.
func TestWhatIsNoLongerHeldIsGoneForAMember(t *testing.T) {
	h, wai := office(t)
	last, err := h.catalog.Applied(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := catalog.Row{Ref: record.Ref{Kind: record.Chat, Container: "cid1", ID: "m99"}, Ver: record.HashOf([]byte("x")), Time: ownAt, Author: catalog.Person{Key: "Dwai"}, Class: record.Internal, Loc: record.Loc{Seg: "0000000000000000000000000000dead", Len: 9}, Dept: 7}
	if err := h.catalog.Apply(t.Context(), last+1, []catalog.Row{r}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.OwnItem(t.Context(), wai, h.row(t, record.Chat, "cid1", "m99")); !errors.Is(err, restore.ErrNotFound) {
		t.Error(err)
	}
	p, err := h.OwnList(t.Context(), wai, restore.OwnQuery{OwnQuery: catalog.OwnQuery{Limit: 50}})
	if err != nil || len(p.Items) != 7 {
		t.Errorf("%d items, %v", len(p.Items), err)
	}
}

func TestNoEntryNoOwnContentEither(t *testing.T) {
	h, wai := office(t)
	m1, f1 := h.row(t, record.Chat, "cid1", "m1"), h.row(t, record.Files, "s1", "f1")
	before := h.audit.Size()
	if _, _, err := h.OwnItem(t.Context(), wai, m1); err != nil {
		t.Fatal(err)
	}
	e, err := h.audit.Entry(before)
	if err != nil || e.Operation != "view" || e.Actor != "member/1" || e.Role != policy.RoleMember || e.Purpose != "self" || e.Source != "10.0.0.9" {
		t.Errorf("%+v, %v", e, err)
	}
	if err := h.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if it, _, err := h.OwnItem(t.Context(), wai, m1); err == nil || it.ID != 0 {
		t.Error("a record without an entry", err)
	}
	if r, _, err := h.OwnBlob(t.Context(), wai, f1, 0); err == nil || r != nil {
		t.Error("a file without an entry", err)
	}
	if p, err := h.OwnList(t.Context(), wai, restore.OwnQuery{Text: "訊息", OwnQuery: catalog.OwnQuery{Limit: 5}}); err == nil || len(p.Items) > 0 {
		t.Error("a search without an entry", err)
	}
	if x, err := h.OwnTallies(t.Context(), wai); err == nil || x != nil {
		t.Error("counts without an entry", err)
	}
}
