package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

type rawPage struct {
	HasMore    bool
	NextCursor string
	Messages   []json.RawMessage
}

func (w *world) page(token, conv, at string, forward bool, limit int) rawPage {
	w.t.Helper()
	b, code := w.tool(token, chatServer, "list_conversation_message_v2", map[string]any{"openconversation_id": conv, "time": at, "forward": forward, "limit": limit})
	if code != "" {
		w.t.Fatal(code)
	}
	var p rawPage
	if err := json.Unmarshal(b, &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestPagingByTheCursorFindsEveryMessageWithItsExactBytes(t *testing.T) {
	w := newWorld(t, Options{})
	access, _ := w.consent(w.sim.AdminUserID())
	for _, v := range w.sim.tenant.admin.convs[:6] {
		want := map[string]bool{}
		for _, m := range v.msgs {
			want[hashJSON(m.json())] = true
		}
		for _, forward := range []bool{true, false} {
			got := map[string]bool{}
			at := "2000-01-01 00:00:00"
			if !forward {
				at = strconv.FormatInt(time.Now().UnixMilli(), 10)
			}
			for pages := 0; pages < 1000; pages++ {
				p := w.page(access, v.id, at, forward, 7)
				for _, m := range p.Messages {
					sum := sha256.Sum256(m)
					got[hex.EncodeToString(sum[:])] = true
				}
				if len(p.Messages) == 0 || !p.HasMore {
					break
				}
				at = p.NextCursor
			}
			if len(got) != len(v.msgs) {
				t.Errorf("forward %v: got %d of %d messages", forward, len(got), len(v.msgs))
			}
			for h := range got {
				if !want[h] {
					t.Fatalf("forward %v: a message's bytes are not the expected ones", forward)
				}
			}
		}
	}
}

func TestAMemberSeesOnlyHisConversations(t *testing.T) {
	w := newWorld(t, Options{})
	who := w.sim.tenant.people[40]
	access, _ := w.consent(who.userID)
	seen := 0
	for cursor := int64(0); ; {
		b, _ := w.tool(access, imServer, "list_all_conversations", map[string]any{"limit": 5, "cursor": cursor})
		var p struct {
			Conversations []conversationRow
			HasMore       bool
			NextCursor    int64
		}
		json.Unmarshal(b, &p)
		for _, c := range p.Conversations {
			if !w.sim.tenant.byConv[c.OpenConversationID].has(who) {
				t.Errorf("%s is not his", c.Title)
			}
		}
		seen += len(p.Conversations)
		if cursor = p.NextCursor; !p.HasMore {
			break
		}
	}
	if seen != len(who.convs) {
		t.Errorf("listed %d of %d", seen, len(who.convs))
	}
	for _, v := range w.sim.tenant.convs {
		if !v.has(who) {
			if _, code := w.tool(access, chatServer, "list_conversation_message_v2", map[string]any{"openconversation_id": v.id, "time": "2020-01-01 00:00:00", "forward": true}); code != "CONVERSATION_NOT_FOUND" {
				t.Errorf("another's conversation answered %q", code)
			}
			break
		}
	}
}

func TestMediaComeWithTheirHeadersOnlyAndLapse(t *testing.T) {
	w := newWorld(t, Options{})
	access, _ := w.consent(w.sim.AdminUserID())
	for _, v := range w.sim.tenant.admin.convs {
		for _, m := range v.msgs {
			if m.media == nil {
				continue
			}
			b, code := w.tool(access, imServer, "get_resource_download_url", map[string]any{"resourceType": "mediaId", "resourceId": m.media.id, "openMessageId": m.id, "openConversationId": v.id})
			if code != "" {
				t.Fatal(code)
			}
			var r struct {
				ResourceURL string
				Headers     map[string]string
			}
			json.Unmarshal(b, &r)
			var hs []string
			for k, x := range r.Headers {
				hs = append(hs, k, x)
			}
			status, body := w.raw("GET", r.ResourceURL, nil, hs...)
			sum := sha256.Sum256(body)
			if status != 200 || hex.EncodeToString(sum[:]) != m.media.content.digest() {
				t.Fatalf("status %d", status)
			}
			if status, _ := w.raw("GET", r.ResourceURL, nil, append(hs, "x-user-access-token", access)...); status != 403 {
				t.Errorf("with a token along: %d", status)
			}
			if status, _ := w.raw("GET", r.ResourceURL, nil); status != 403 {
				t.Errorf("without headers: %d", status)
			}
			w.control("POST", "clock", map[string]any{"advanceSeconds": 901})
			if status, _ := w.raw("GET", r.ResourceURL, nil, hs...); status != 403 {
				t.Errorf("lapsed: %d", status)
			}
			return
		}
	}
	t.Fatal("no media")
}

func TestEditsAndRecallsChangeWhatIsServed(t *testing.T) {
	w := newWorld(t, Options{})
	access, _ := w.consent(w.sim.AdminUserID())
	v := w.sim.tenant.admin.convs[0]
	sent := w.control("POST", "send", map[string]any{"conversationId": v.id, "text": "船期改咗"})
	id := sent["messageId"].(string)
	read := func() messageJSON {
		b, _ := w.tool(access, imServer, "list_messages_by_ids", map[string]any{"openMsgIds": []string{id}})
		var p struct{ Messages []messageJSON }
		json.Unmarshal(b, &p)
		return p.Messages[0]
	}
	if m := read(); m.Content != "船期改咗" || m.Edited {
		t.Errorf("%+v", m)
	}
	w.control("POST", "edit", map[string]any{"messageId": id, "text": "船期改咗去星期五"})
	if m := read(); m.Content != "船期改咗去星期五" || !m.Edited || m.EditTime == "" {
		t.Errorf("%+v", m)
	}
	w.control("POST", "recall", map[string]any{"messageId": id})
	if m := read(); m.Content != "" || m.MsgType != "recall" {
		t.Errorf("%+v", m)
	}
}

func TestImportedMessagesKeepTimeAndSenderAndComeOnce(t *testing.T) {
	w := newWorld(t, Options{})
	tn := w.sim.tenant
	access, _ := w.consent(tn.admin.userID)
	group := map[string]any{"importUuid": "g1", "owner": tn.admin.userID, "title": "還原：報價跟進", "userList": map[string]any{tn.people[3].userID: map[string]any{}}}
	id := w.api("POST", "/v1.0/im/groupChats/import", group)["result"].(map[string]any)["openConversationId"].(string)
	if again := w.api("POST", "/v1.0/im/groupChats/import", group)["result"].(map[string]any)["openConversationId"]; again != id {
		t.Error("the same importUuid made another group")
	}
	at := time.Now().Add(-90 * day).UnixMilli()
	for i := range 3 {
		for range 2 {
			w.api("POST", "/v1.0/im/messages/import", map[string]any{"importUuid": "m" + strconv.Itoa(i), "openConversationId": id, "senderId": tn.people[3].userID, "createTime": at, "msgType": "text", "content": "第 " + strconv.Itoa(i) + " 句"})
		}
	}
	p := w.page(access, id, "2000-01-01 00:00:00", true, 100)
	if len(p.Messages) != 3 {
		t.Fatalf("%d messages", len(p.Messages))
	}
	var m messageJSON
	json.Unmarshal(p.Messages[2], &m)
	if m.Content != "第 0 句" || m.Sender.OpenID != tn.people[3].openID || m.CreateTime != textTime(at) {
		t.Errorf("%+v", m)
	}
	if v := w.sim.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

func TestEveryRowOfAChatsFileIsOneMessage(t *testing.T) {
	for name, rows := range map[string]int{"groupchat-en.ndjson.gz": 221597, "dialogues-zh.ndjson.gz": 8458} {
		file := shared(t, "realdata", name)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		s, err := New(Options{ChatsFile: file})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		runtime.GC()
		runtime.ReadMemStats(&after)
		n := 0
		for _, v := range s.tenant.convs {
			if !slices.IsSortedFunc(v.msgs, func(a, b *message) int { return int(a.ms - b.ms) }) {
				t.Error("not in order of time")
			}
			n += len(v.msgs)
		}
		if n != rows || len(s.tenant.msgs) != rows {
			t.Errorf("%s: %d messages, %d ids, want %d", name, n, len(s.tenant.msgs), rows)
		}
		t.Logf("%s: %v, %d MiB", name, took, (after.HeapAlloc-before.HeapAlloc)>>20)
		if took > 8*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		s.Close()
	}
}

func TestALapsedTokenIsReportedConfusinglyOnRequest(t *testing.T) {
	w := newWorld(t, Options{})
	access, _ := w.consent(w.sim.AdminUserID())
	w.control("POST", "faults", map[string]any{"match": "list_all", "kind": "expired_token", "count": 1})
	if _, code := w.tool(access, imServer, "list_all_conversations", map[string]any{}); !strings.Contains(code, "NOT_ENABLED") {
		t.Errorf("code %q", code)
	}
	if _, code := w.tool(access, imServer, "list_all_conversations", map[string]any{}); code != "" {
		t.Errorf("code %q after the fault", code)
	}
	w.control("POST", "clock", map[string]any{"advanceSeconds": 7201})
	if _, code := w.tool(access, imServer, "list_all_conversations", map[string]any{}); code != "InvalidAuthentication" {
		t.Errorf("code %q after two hours", code)
	}
	_ = http.StatusOK
}
