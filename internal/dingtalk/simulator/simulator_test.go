package simulator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// world is a simulator behind a real port and a caller with good tokens.
type world struct {
	t     *testing.T
	sim   *Simulator
	url   string
	token string
}

func newWorld(t *testing.T, opt Options) *world {
	t.Helper()
	if opt.Messages == 0 {
		opt.Messages = 1500
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); srv.Close() })
	w := &world{t: t, sim: s, url: srv.URL}
	w.token = w.api("POST", "/v1.0/oauth2/accessToken", map[string]any{"appKey": s.ClientID(), "appSecret": s.ClientSecret()})["accessToken"].(string)
	return w
}

// raw makes one request and returns status and body.
func (w *world) raw(method, path string, body any, headers ...string) (int, []byte) {
	w.t.Helper()
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(mustJSON(body))
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = w.url + path
	}
	req, err := http.NewRequest(method, target, rd)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode == http.StatusFound {
		return resp.StatusCode, []byte(resp.Header.Get("Location"))
	}
	return resp.StatusCode, b
}

// call makes a call of the new API and returns status and decoded answer.
func (w *world) call(method, path string, body any) (int, map[string]any) {
	w.t.Helper()
	status, b := w.raw(method, path, body, "x-acs-dingtalk-access-token", w.token)
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		w.t.Fatalf("%s %s: %v: %.200s", method, path, err, b)
	}
	return status, v
}

func (w *world) api(method, path string, body any) map[string]any {
	w.t.Helper()
	status, v := w.call(method, path, body)
	if status != 200 {
		w.t.Fatalf("%s %s: %d %v", method, path, status, v)
	}
	return v
}

func (w *world) legacy(path string, body any) map[string]any {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	method := "POST"
	if body == nil {
		method = "GET"
	}
	status, b := w.raw(method, path+sep+"access_token="+w.token, body)
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil || status != 200 {
		w.t.Fatalf("%s: %d %v", path, status, err)
	}
	return v
}

func (w *world) control(method, path string, body any) map[string]any {
	w.t.Helper()
	status, b := w.raw(method, "/_sim/"+path, body)
	var v map[string]any
	json.Unmarshal(b, &v)
	if status != 200 {
		w.t.Fatalf("%s %s: %d %s", method, path, status, b)
	}
	return v
}

// consent signs a member in over the page and returns his tokens.
func (w *world) consent(user string) (access, refresh string) {
	w.t.Helper()
	q := url.Values{"redirect_uri": {"http://127.0.0.1:9/back"}, "client_id": {w.sim.ClientID()}, "response_type": {"code"}, "scope": {"openid corpid"}, "state": {"s1"}, "prompt": {"consent"}}
	status, page := w.raw("GET", "/oauth2/auth?"+q.Encode(), nil)
	if status != 200 || !bytes.Contains(page, []byte("同意")) {
		w.t.Fatalf("consent page: %d %s", status, page)
	}
	q.Set("user", user)
	q.Set("decision", "agree")
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).PostForm(w.url+"/oauth2/auth/decide", q)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || back.Query().Get("state") != "s1" || back.Query().Get("authCode") == "" {
		w.t.Fatalf("redirect %q", resp.Header.Get("Location"))
	}
	v := w.api("POST", "/v1.0/oauth2/userAccessToken", map[string]any{"clientId": w.sim.ClientID(), "clientSecret": w.sim.ClientSecret(), "code": back.Query().Get("authCode"), "grantType": "authorization_code"})
	return v["accessToken"].(string), v["refreshToken"].(string)
}

// tool calls a route A tool and returns its payload.
func (w *world) tool(token, server, name string, arguments map[string]any) (json.RawMessage, string) {
	w.t.Helper()
	status, b := w.raw("POST", "/server/"+server, map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": name, "arguments": arguments}},
		"Authorization", "Bearer "+token, "x-user-access-token", token)
	var r struct {
		Result struct {
			Content []struct{ Text string }
			IsError bool
		}
		Error *rpcError
	}
	if err := json.Unmarshal(b, &r); err != nil || status != 200 || r.Error != nil {
		w.t.Fatalf("tool %s: %d %s", name, status, b)
	}
	var p struct {
		Result    json.RawMessage
		ErrorCode string
	}
	if err := json.Unmarshal([]byte(r.Result.Content[0].Text), &p); err != nil {
		w.t.Fatal(err)
	}
	return p.Result, p.ErrorCode
}

func TestTheDefaultTenantIsMadeFastAndTheSameEveryTime(t *testing.T) {
	began := time.Now()
	epoch := time.Date(2026, 3, 2, 10, 0, 0, 0, macau)
	a, err := New(Options{Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("generation took %v", took)
	}
	t.Logf("generation took %v", time.Since(began))
	b, err := New(Options{Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(a.tenant.msgs); n != 12000 {
		t.Errorf("%d messages, want 12000", n)
	}
	for i, v := range a.tenant.convs {
		w := b.tenant.convs[i]
		last := int64(-1)
		for k, m := range v.msgs {
			if m.ms <= last || m.ms > epoch.UnixMilli() {
				t.Fatalf("message %d of %q at %d after %d", k, v.title, m.ms, last)
			}
			last = m.ms
			if !bytes.Equal(mustJSON(m.json()), mustJSON(w.msgs[k].json())) {
				t.Fatalf("message %d of %q differs between two runs", k, v.title)
			}
		}
	}
	info := a.info()
	t.Logf("%v", info["counts"])
}

func TestServedFieldsAreTheDocumentedOnes(t *testing.T) {
	w := newWorld(t, Options{Edition: "exclusive"})
	tn := w.sim.tenant
	admin := tn.admin
	access, _ := w.consent(admin.userID)
	sp := tn.spaces[len(tn.spaces)-1]
	op := tn.working()[0].unionID
	for _, v := range tn.convs {
		if v.space != nil {
			sp, op = v.space, v.members[0].unionID
		}
	}
	var file *dentry
	for _, d := range sp.order {
		if !d.folder && d.driver == "DINGTALK" {
			file = d
		}
	}
	base := "/v1.0/storage/spaces/" + sp.id
	q := "?unionId=" + op
	in := tn.insts[0]
	for sample, get := range map[string]func() any{
		"oauth2-accessToken": func() any {
			return w.api("POST", "/v1.0/oauth2/accessToken", map[string]any{"appKey": w.sim.ClientID(), "appSecret": w.sim.ClientSecret()})
		},
		"legacy-gettoken": func() any {
			return w.legacy("/gettoken?appkey="+w.sim.ClientID()+"&appsecret="+w.sim.ClientSecret(), nil)
		},
		"legacy-auth-scopes":             func() any { return w.legacy("/auth/scopes", nil) },
		"legacy-v2-department-listsub":   func() any { return w.legacy("/topapi/v2/department/listsub", map[string]any{"dept_id": 1}) },
		"legacy-v2-department-listsubid": func() any { return w.legacy("/topapi/v2/department/listsubid", map[string]any{"dept_id": 1}) },
		"legacy-v2-department-get":       func() any { return w.legacy("/topapi/v2/department/get", map[string]any{"dept_id": tn.depts[8].id}) },
		"legacy-user-listid":             func() any { return w.legacy("/topapi/user/listid", map[string]any{"dept_id": tn.depts[8].id}) },
		"legacy-v2-user-list": func() any {
			return w.legacy("/topapi/v2/user/list", map[string]any{"dept_id": tn.depts[8].id, "cursor": 0, "size": 2})
		},
		"legacy-v2-user-get":    func() any { return w.legacy("/topapi/v2/user/get", map[string]any{"userid": admin.userID}) },
		"legacy-user-listadmin": func() any { return w.legacy("/topapi/user/listadmin", map[string]any{}) },
		"legacy-role-list":      func() any { return w.legacy("/topapi/role/list", map[string]any{"offset": 0, "size": 20}) },
		"legacy-chat-get":       func() any { return w.legacy("/chat/get?chatid="+tn.convs[1].chatID, nil) },
		"contact-empLeaveRecords": func() any {
			return w.api("GET", "/v1.0/contact/empLeaveRecords?maxResults=1&startTime="+time.Now().Add(-360*day).UTC().Format(isoTime), nil)
		},
		"convFile-conversations-spaces-query": func() any {
			return w.api("POST", "/v1.0/convFile/conversations/spaces/query"+q, map[string]any{"openConversationId": sp.conv.id})
		},
		"drive-spaces": func() any { return w.api("GET", "/v1.0/drive/spaces"+q+"&spaceType=org&maxResults=20", nil) },
		"storage-dentries-listAll": func() any {
			return w.api("POST", base+"/dentries/listAll"+q, map[string]any{"option": map[string]any{"maxResults": 50}})
		},
		"storage-dentry-query":    func() any { return w.api("POST", base+"/dentries/"+file.id+"/query"+q, map[string]any{}) },
		"storage-dentry-versions": func() any { return w.api("GET", base+"/dentries/"+file.id+"/versions"+q+"&maxResults=10", nil) },
		"storage-dentries-batch-query": func() any {
			return w.api("POST", base+"/dentries/query"+q, map[string]any{"dentryIds": []string{file.id, "999"}})
		},
		"storage-downloadInfos-query": func() any { return w.api("POST", base+"/dentries/"+file.id+"/downloadInfos/query"+q, map[string]any{}) },
		"storage-recycleBins": func() any {
			return w.api("GET", "/v1.0/storage/recycleBins"+q+"&recycleBinScope=ORG&scopeId="+w.sim.CorpID(), nil)
		},
		"storage-recycleItems": func() any { return w.api("GET", "/v1.0/storage/recycleBins/"+recycleBinID+"/recycleItems"+q, nil) },
		"storage-events-subscribe": func() any {
			return w.api("POST", "/v1.0/storage/events/subscribe"+q, map[string]any{"scope": "ORG", "scopeId": w.sim.CorpID()})
		},
		"storage-v2-uploadInfos-query": func() any {
			return w.api("POST", "/v2.0/storage/spaces/files/"+sp.root.uuid+"/uploadInfos/query"+q, map[string]any{"protocol": "HEADER_SIGNATURE"})
		},
		"workflow-userVisibilities-templates": func() any {
			return w.api("GET", "/v1.0/workflow/processes/userVisibilities/templates?maxResults=2&nextToken=0", nil)
		},
		"workflow-forms-schemas-processCodes": func() any {
			return w.api("GET", "/v1.0/workflow/forms/schemas/processCodes?processCode="+tn.forms[1].code, nil)
		},
		"workflow-instanceIds-query": func() any {
			return w.api("POST", "/v1.0/workflow/processes/instanceIds/query", map[string]any{"processCode": in.Code, "startTime": in.Created, "endTime": in.Created + int64(100*day/time.Millisecond), "maxResults": 2, "nextToken": 0})
		},
		"stream-connections-open": func() any {
			return w.api("POST", "/v1.0/gateway/connections/open", map[string]any{"clientId": w.sim.ClientID(), "clientSecret": w.sim.ClientSecret(), "subscriptions": []any{map[string]any{"type": "EVENT", "topic": "*"}}})
		},
		"im-chats-lastMessageTime-query": func() any {
			return w.api("POST", "/v1.0/im/chats/lastMessageTime/query", map[string]any{"openConversationId": tn.convs[1].id})
		},
		"im-innerGroups-recentLists": func() any { return w.api("GET", "/v1.0/im/innerGroups/recentLists?userId="+admin.userID, nil) },
		"im-conversations-recentLists-query": func() any {
			return w.api("POST", "/v1.0/im/conversations/recentLists/query", map[string]any{"userId": admin.userID})
		},
		"im-chat-convertToOpenConversationId": func() any {
			return w.api("POST", "/v1.0/im/chat/"+tn.convs[1].chatID+"/convertToOpenConversationId", nil)
		},
		"contact-users-me": func() any {
			_, b := w.raw("GET", "/v1.0/contact/users/me", nil, "x-acs-dingtalk-access-token", access)
			var v any
			json.Unmarshal(b, &v)
			return v
		},
		"error-new-404-dentryNotExist": func() any { _, v := w.call("POST", base+"/dentries/999/query"+q, map[string]any{}); return v },
		"error-new-400-InvalidAuthentication": func() any {
			ok := w.token
			w.token = "nonsense"
			_, v := w.call("GET", "/v1.0/drive/spaces"+q, nil)
			w.token = ok
			return v
		},
		"error-legacy-token": func() any {
			ok := w.token
			w.token = "nonsense"
			v := w.legacy("/auth/scopes", nil)
			w.token = ok
			return v
		},
	} {
		compareShapes(t, sample, get())
	}
	whole := in.Body
	for _, x := range tn.insts {
		for _, r := range x.Body.Records {
			if len(r.Attachments) > 0 && len(x.Body.CC) > 0 && x.Body.Result != "" {
				whole = x.Body
			}
		}
	}
	var got any
	json.Unmarshal(mustJSON(map[string]any{"result": whole, "success": "true"}), &got)
	compareShapes(t, "workflow-processInstances-get", got)
	for _, v := range w.sim.Violations() {
		if !strings.Contains(v, "nonsense") {
			t.Errorf("a well-behaved caller was accused: %s", v)
		}
	}
}

// optionalInSample are fields that the sample has and a particular answer may
// lack.
var optionalInSample = map[string]bool{"nextToken": true, "next_cursor": true, "manageScopes": true, "images": true, "extValue": true, "ccUserIds": true,
	"remark": true, "attachments": true, "title": true, "memberCount": true, "nickName": true, "name": true, "userId": true, "children": true, "category": true, "bizAlias": true, "errorCode": true}

func compareShapes(t *testing.T, sample string, got any) {
	t.Helper()
	b := readSample(t, sample)
	if b == nil {
		return
	}
	var want any
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	g, s := map[string]string{}, map[string]string{}
	shape("", got, g)
	shape("", want, s)
	for k, kind := range s {
		leaf := k[strings.LastIndex(k, ".")+1:]
		if g[k] == "" && !optionalInSample[leaf] && !parentMissing(k, g) {
			t.Errorf("%s: the sample has %s, the answer does not", sample, k)
		} else if g[k] != "" && g[k] != kind {
			t.Errorf("%s: %s is %s, in the sample %s", sample, k, g[k], kind)
		}
	}
	for k := range g {
		if s[k] == "" && !parentMissing(k, s) {
			leaf := k[strings.LastIndex(k, ".")+1:]
			if leaf != "request_id" && !optionalInSample[leaf] && leaf != "options" && leaf != "bizAlias" {
				t.Errorf("%s: the answer has %s, the sample does not", sample, k)
			}
		}
	}
}

// parentMissing forgives a field whose list was empty or object was left out.
func parentMissing(k string, in map[string]string) bool {
	i := strings.LastIndex(k, ".")
	if i <= 0 {
		return false
	}
	if in[k[:i]] == "" {
		return true
	}
	return parentMissing(k[:i], in)
}

func shape(path string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		out[path] = "object"
		for k, x := range v {
			if strings.Contains(path, "headers") {
				continue
			}
			shape(path+"."+k, x, out)
		}
	case []any:
		out[path] = "list"
		for _, x := range v {
			shape(path+".[]", x, out)
		}
	case string:
		out[path] = "string"
	case float64:
		out[path] = "number"
	case bool:
		out[path] = "bool"
	}
}
