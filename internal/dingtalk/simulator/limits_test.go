package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestAnOldRefreshTokenDiesWithItsUse(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Options{StateDir: dir})
	_, first := w.consent(w.sim.AdminUserID())
	refresh := func(w *world, token string) (int, map[string]any) {
		return w.call("POST", "/v1.0/oauth2/userAccessToken", map[string]any{"clientId": w.sim.ClientID(), "clientSecret": w.sim.ClientSecret(), "refreshToken": token, "grantType": "refresh_token"})
	}
	_, v := refresh(w, first)
	second := v["refreshToken"].(string)
	if status, _ := refresh(w, first); status != 400 {
		t.Errorf("the used token answered %d", status)
	}
	w.sim.Close()
	w = newWorld(t, Options{StateDir: dir})
	if status, _ := refresh(w, first); status != 400 {
		t.Errorf("after a restart the used token answered %d", status)
	}
	status, v := refresh(w, second)
	if status != 200 {
		t.Fatalf("after a restart the good token answered %d %v", status, v)
	}
	w.control("POST", "consent/revoke", map[string]any{"userId": w.sim.AdminUserID()})
	if status, _ := refresh(w, v["refreshToken"].(string)); status != 400 {
		t.Errorf("after a withdrawal: %d", status)
	}
}

func TestRateAndQuotaRefuseInEachHostsStyle(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, macau)
	w := newWorld(t, Options{QPS: 3, MonthlyCalls: 4, Now: func() time.Time { return now }})
	forms := "/v1.0/workflow/processes/userVisibilities/templates?maxResults=20&nextToken=0"
	for range 3 {
		w.api("GET", forms, nil)
		w.legacy("/topapi/v2/department/listsub", map[string]any{"dept_id": 1})
	}
	if status, v := w.call("GET", forms, nil); status != 403 || v["code"] != "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi" {
		t.Errorf("%d %v", status, v)
	}
	v := w.legacy("/topapi/v2/department/listsub", map[string]any{"dept_id": 1})
	if v["errcode"].(float64) != 88 || v["sub_code"] != "90018" || !strings.Contains(v["errmsg"].(string), "subcode=90018") {
		t.Errorf("%v", v)
	}
	now = now.Add(time.Second)
	w.api("GET", forms, nil)
	if status, v := w.call("GET", forms, nil); status != 403 || v["code"] != "Forbidden.AccessDenied.ApiCountLimitForOrg" {
		t.Errorf("%d %v", status, v)
	}
	if v := w.legacy("/topapi/v2/department/listsub", map[string]any{"dept_id": 1}); v["errcode"].(float64) != 0 {
		t.Errorf("contacts are exempt: %v", v)
	}
	now = now.AddDate(0, 1, 0)
	w.token = w.api("POST", "/v1.0/oauth2/accessToken", map[string]any{"appKey": w.sim.ClientID(), "appSecret": w.sim.ClientSecret()})["accessToken"].(string)
	w.api("GET", forms, nil)
}

func TestApprovalWallsAreEnforced(t *testing.T) {
	w := newWorld(t, Options{})
	f := w.sim.tenant.forms[0]
	now := time.Now()
	ms := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	ask := func(change map[string]any) map[string]any {
		body := map[string]any{"processCode": f.code, "startTime": ms(100 * day), "endTime": ms(0), "maxResults": 20, "nextToken": 0}
		for k, v := range change {
			if body[k] = v; v == nil {
				delete(body, k)
			}
		}
		_, v := w.call("POST", "/v1.0/workflow/processes/instanceIds/query", body)
		return v
	}
	for want, change := range map[string]map[string]any{
		"invalidMaxResults":               {"maxResults": 21},
		"invalidEndTime":                  {"startTime": ms(121 * day)},
		"invalidInstanceListIdsStartTime": {"startTime": ms(366 * day), "endTime": ms(300 * day)},
		"invalidNextToken":                {"nextToken": "0"},
		"invalidProcessCode":              {"processCode": "PROC-X"},
		"MissingstartTime":                {"startTime": nil},
	} {
		if v := ask(change); v["code"] != want {
			t.Errorf("want %s, got %v", want, v)
		}
	}
	got := 0
	for window := 0; window < 4; window++ {
		from, to := ms(time.Duration(window+1)*90*day), ms(time.Duration(window)*90*day)
		for next := any(0); next != nil; {
			v := ask(map[string]any{"startTime": from, "endTime": to - 1, "nextToken": next})["result"].(map[string]any)
			got += len(v["list"].([]any))
			next = nil
			if tok, ok := v["nextToken"].(string); ok {
				next = json.Number(tok)
			}
		}
	}
	if got != 50 {
		t.Errorf("walked %d instances of the form, want 50", got)
	}
	if n := len(w.sim.Violations()); n != 6 {
		t.Errorf("%d violations noted, want 6: %v", n, w.sim.Violations())
	}
}

func TestAttachmentsOfCommentsWantTheirFlag(t *testing.T) {
	w := newWorld(t, Options{})
	for _, in := range w.sim.tenant.insts {
		_, comments := in.attachments()
		if len(comments) == 0 {
			continue
		}
		body := map[string]any{"processInstanceId": in.ID, "fileId": comments[0].FileID}
		if status, _ := w.call("POST", "/v1.0/workflow/processInstances/spaces/files/urls/download", body); status != 400 {
			t.Errorf("without the flag: %d", status)
		}
		body["withCommentAttatchment"] = true
		v := w.api("POST", "/v1.0/workflow/processInstances/spaces/files/urls/download", body)
		u := v["result"].(map[string]any)["downloadUri"].(string)
		if status, b := w.raw("GET", u, nil); status != 200 || int64(len(b)) != w.sim.tenant.attached[comments[0].FileID].length() {
			t.Errorf("%d, %d bytes", status, len(b))
		}
		w.control("POST", "clock", map[string]any{"advanceSeconds": 901})
		if status, _ := w.raw("GET", u, nil); status != 403 {
			t.Errorf("after 15 minutes: %d", status)
		}
		return
	}
	t.Fatal("no comment has an attachment")
}

func TestMissingPermissionsAreNamed(t *testing.T) {
	w := newWorld(t, Options{})
	w.control("POST", "permissions", map[string]any{"revoke": []string{"Drive.Space.Read", "qyapi_get_member"}})
	status, v := w.call("GET", "/v1.0/drive/spaces", nil)
	if status != 403 || v["accessdenieddetail"].(map[string]any)["requiredScopes"].([]any)[0] != "Drive.Space.Read" {
		t.Errorf("%d %v", status, v)
	}
	if v := w.legacy("/topapi/user/listadmin", map[string]any{}); v["sub_code"] != "60011" {
		t.Errorf("%v", v)
	}
	w.control("POST", "permissions", map[string]any{"grant": []string{"qyapi_get_member"}})
	if v := w.legacy("/topapi/user/listadmin", map[string]any{}); v["errcode"].(float64) != 0 {
		t.Errorf("%v", v)
	}
}

// dial opens a stream connection from a ticket answer.
func (w *world) dial(v map[string]any) *websocket.Conn {
	w.t.Helper()
	u := v["endpoint"].(string) + "?ticket=" + v["ticket"].(string)
	ws, _, err := websocket.DefaultDialer.Dial(u, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ws.Close() })
	if _, resp, err := websocket.DefaultDialer.Dial(u, nil); err == nil || resp.StatusCode != http.StatusUnauthorized {
		w.t.Error("a ticket opened two connections")
	}
	ws.SetReadDeadline(time.Now().Add(5 * time.Second))
	return ws
}

func readFrame(t *testing.T, ws *websocket.Conn) frame {
	t.Helper()
	var f frame
	if err := ws.ReadJSON(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnEventComesAgainUntilItSucceeds(t *testing.T) {
	w := newWorld(t, Options{RetryAfter: []time.Duration{20 * time.Millisecond, 30 * time.Millisecond}, PingEvery: time.Minute})
	ws := w.dial(w.api("POST", "/v1.0/gateway/connections/open", map[string]any{"clientId": w.sim.ClientID(), "clientSecret": w.sim.ClientSecret(), "subscriptions": []any{map[string]any{"type": "EVENT", "topic": "*"}}}))
	time.Sleep(20 * time.Millisecond)
	w.control("POST", "approval", map[string]any{})
	tries := map[string]int{}
	for range 5 { // one instance and one or two tasks; the instance is put off twice
		f := readFrame(t, ws)
		if f.Headers["topic"] != "*" || f.Headers["eventCorpId"] != w.sim.CorpID() || f.Type != "EVENT" {
			t.Errorf("%v", f)
		}
		status := "SUCCESS"
		if f.Headers["eventType"] == "bpms_instance_change" {
			if tries[f.Headers["eventId"]]++; tries[f.Headers["eventId"]] < 3 {
				status = "LATER"
			}
		}
		ws.WriteJSON(ack{200, map[string]string{"messageId": f.Headers["messageId"]}, "OK", `{"status":"` + status + `"}`})
		if status == "SUCCESS" && f.Headers["eventType"] == "bpms_instance_change" {
			if n := tries[f.Headers["eventId"]]; n != 3 {
				t.Errorf("%d tries", n)
			}
			return
		}
	}
	t.Error("the event did not come three times")
}

func TestAMembersStreamTellsOfOthersMessagesOnly(t *testing.T) {
	w := newWorld(t, Options{})
	admin := w.sim.tenant.admin
	access, _ := w.consent(admin.userID)
	personal := func(path string, body map[string]any) map[string]any {
		status, b := w.raw("POST", path, body, "x-user-access-token", access)
		var v map[string]any
		if json.Unmarshal(b, &v); status != 200 {
			t.Fatalf("%s: %d %s", path, status, b)
		}
		return v
	}
	for _, key := range []string{"user_im_message_receive_group_all", "user_im_message_recall_group"} {
		personal("/dws/subscription/user", map[string]any{"clientId": "farol", "sourceId": "s", "eventKey": key, "deliveryPref": "realtime"})
	}
	ws := w.dial(personal("/stream/connections/ticket", map[string]any{"sourceId": "s", "channelType": "stream", "mode": "user"}))
	time.Sleep(20 * time.Millisecond)
	v := admin.convs[0]
	other := v.members[1]
	w.control("POST", "send", map[string]any{"conversationId": v.id, "senderUserId": admin.userID, "text": "自己的"})
	sent := w.control("POST", "send", map[string]any{"conversationId": v.id, "senderUserId": other.userID, "text": "別人的"})
	f := readFrame(t, ws)
	var data map[string]any
	json.Unmarshal([]byte(f.Data), &data)
	if f.Headers["eventType"] != "user_im_message_receive_group_all" || data["openMessageId"] != sent["messageId"] || data["content"] != "別人的" {
		t.Errorf("%v", f)
	}
	ws.WriteJSON(ack{200, map[string]string{"messageId": f.Headers["messageId"]}, "OK", `{"status":"SUCCESS"}`})
	w.control("POST", "recall", map[string]any{"messageId": sent["messageId"]})
	if f := readFrame(t, ws); f.Headers["eventType"] != "user_im_message_recall_group" {
		// the sender recalled it, so the others hear of it
		t.Errorf("%v", f)
	}
}

func TestADeletedDepartmentIsGoneUpstream(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Options{StateDir: dir})
	tn := w.sim.tenant
	var d *department
	for _, x := range tn.depts {
		if x.name == "物流及倉務部" {
			d = x
		}
	}
	messages, conv := len(tn.msgs), d.group.id
	lost := w.control("POST", "delete-department", map[string]any{"deptId": d.id})
	t.Logf("%v", lost)
	for _, k := range []string{"messages", "conversations", "files", "people", "departments"} {
		if n, _ := lost[k].(float64); n == 0 {
			t.Errorf("no %s were lost", k)
		}
	}
	if len(tn.msgs) != messages-int(lost["messages"].(float64)) {
		t.Error("the count does not add up")
	}
	if v := w.legacy("/topapi/v2/department/get", map[string]any{"dept_id": d.id}); v["errcode"].(float64) != 60003 {
		t.Errorf("%v", v)
	}
	if status, _ := w.call("POST", "/v1.0/convFile/conversations/spaces/query?unionId="+tn.admin.unionID, map[string]any{"openConversationId": conv}); status != 404 {
		t.Errorf("its group answers %d", status)
	}
	left := len(tn.working())
	w.sim.Close()
	again := newWorld(t, Options{StateDir: dir})
	if len(again.sim.tenant.msgs) != len(tn.msgs) || len(again.sim.tenant.working()) != left {
		t.Error("a restart brought it back")
	}
}

func TestFaultsComeAsOftenAsAsked(t *testing.T) {
	w := newWorld(t, Options{})
	path := "/v1.0/workflow/processes/userVisibilities/templates?maxResults=2&nextToken="
	for kind, good := range map[string]func(int, []byte) bool{
		"http500":      func(s int, b []byte) bool { return s == 500 },
		"htmlblock":    func(s int, b []byte) bool { return strings.HasPrefix(string(b), "<!DOCTYPE") },
		"ipblock":      func(s int, b []byte) bool { return strings.Contains(string(b), `"status":1111`) },
		"qps":          func(s int, b []byte) bool { return strings.Contains(string(b), "QpsLimit") },
		"corrupt_body": func(s int, b []byte) bool { return !json.Valid(b) || s == 200 },
	} {
		w.control("POST", "faults", map[string]any{"match": "templates", "kind": kind, "count": 1})
		if s, b := w.raw("GET", path+"0", nil, "x-acs-dingtalk-access-token", w.token); !good(s, b) {
			t.Errorf("%s: %d %.100s", kind, s, b)
		}
		w.api("GET", path+"0", nil)
	}
	w.control("POST", "faults", map[string]any{"match": "templates", "kind": "duplicate_page", "count": 1})
	first := w.api("GET", path+"0", nil)
	if again := w.api("GET", path+"2", nil); hashJSON(again) != hashJSON(first) {
		t.Error("the page was not repeated")
	}
	if next := w.api("GET", path+"2", nil); hashJSON(next) == hashJSON(first) {
		t.Error("the page was repeated twice")
	}
}

func TestTrafficChangesTheTenantAndAllOfItIsExpected(t *testing.T) {
	w := newWorld(t, Options{})
	before := len(w.sim.tenant.msgs)
	w.sim.mu.Lock()
	for range 300 {
		w.sim.act()
	}
	w.sim.mu.Unlock()
	if n := len(w.sim.tenant.msgs) - before; n < 150 {
		t.Errorf("%d new messages", n)
	}
	_, b := w.raw("GET", "/_sim/expected?kind=chat", nil)
	rows := 0
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, `"type":"message"`) {
			rows++
		}
	}
	if rows != len(w.sim.tenant.msgs) {
		t.Errorf("%d rows for %d messages", rows, len(w.sim.tenant.msgs))
	}
}

func TestBothBodyStylesAndEscapedPathsAreUnderstood(t *testing.T) {
	w := newWorld(t, Options{})
	u := w.url + "/topapi/v2/user/list?access_token=" + w.token
	resp, err := http.PostForm(u, url.Values{"dept_id": {"468213592"}, "cursor": {"0"}, "size": {"5"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v struct {
		Result struct {
			List []userListItem `json:"list"`
		} `json:"result"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || len(v.Result.List) != 5 || v.Result.List[0].UnionID == "" {
		t.Errorf("form body: %v %+v", err, v)
	}
	chat := w.sim.tenant.convs[1].chatID
	w.api("POST", "/v1.0/im/chat/"+strings.ReplaceAll(chat, "c", "%63")+"/convertToOpenConversationId", nil)
	if status, e := w.call("GET", "/v1.0/nothing/here", nil); status != 404 || e["code"] != "InvalidAction.NotFound" {
		t.Errorf("%d %v", status, e)
	}
	if e := w.legacy("/topapi/nothing", map[string]any{}); e["errcode"].(float64) != 22 {
		t.Errorf("%v", e)
	}
	if n := len(w.sim.Violations()); n != 2 {
		t.Errorf("%v", w.sim.Violations())
	}
}
