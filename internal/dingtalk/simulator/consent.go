package simulator

import (
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const codeLife = 5 * time.Minute

// grants are what members agreed to: codes waiting to be redeemed and refresh
// tokens in use.
type grants struct {
	codes   map[string]code
	refresh map[string]refresh
}

type code struct {
	who   *person
	corp  string // the organisation that the member chose; "" when the app did not ask for it
	until time.Time
}

type refresh struct {
	user  string
	until int64
}

func newGrants() grants {
	return grants{codes: map[string]code{}, refresh: map[string]refresh{}}
}

// redeem uses up a code.
func (g *grants) redeem(text string, now time.Time) (*person, string) {
	c, ok := g.codes[text]
	delete(g.codes, text)
	if !ok || !now.Before(c.until) || c.who.gone() {
		return nil, ""
	}
	return c.who, c.corp
}

func (g *grants) holder(token string, now time.Time) string {
	if r, ok := g.refresh[token]; ok && now.UnixMilli() < r.until {
		return r.user
	}
	return ""
}

func (g *grants) revoke(user string) {
	for t, r := range g.refresh {
		if r.user == user {
			delete(g.refresh, t)
		}
	}
}

// serveConsent is login.dingtalk.com: the page on which a member agrees, and
// the decision.
func (s *Simulator) serveConsent(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "unreadable form", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.Form
	redirect, problem := s.consentRequest(q)
	if problem != "" {
		s.violate(r, problem)
		http.Error(w, "參數錯誤："+problem, http.StatusBadRequest)
		return
	}
	if r.URL.Path == "/oauth2/auth" {
		s.consentPage(w, q)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	back := redirect.Query()
	back.Set("state", q.Get("state"))
	who := s.tenant.user(q.Get("user"))
	switch {
	case q.Get("decision") != "agree":
		back.Set("error", "access_denied")
	case who == nil:
		http.Error(w, "沒有這位成員", http.StatusBadRequest)
		return
	default:
		text := strings.TrimPrefix(secret("c"), "c")
		s.grants.codes[text] = code{who: who, corp: s.chosen(q), until: s.now().Add(codeLife)}
		back.Set("authCode", text)
	}
	redirect.RawQuery = back.Encode()
	http.Redirect(w, r, redirect.String(), http.StatusFound)
}

// chosen is the organisation that the member signs in for: who is in several
// picks one on the page when the app asks for corpid. "corp" stands for that.
func (s *Simulator) chosen(q url.Values) string {
	if !slices.Contains(strings.Fields(q.Get("scope")), "corpid") {
		return ""
	}
	if other := q.Get("corp"); other != "" {
		return other
	}
	return s.tenant.corpID
}

// consentRequest checks what the app asks for and names the first fault.
func (s *Simulator) consentRequest(q url.Values) (*url.URL, string) {
	u, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case err != nil || !s.registered(u, q.Get("redirect_uri")):
		return nil, "redirect_uri is not registered"
	case q.Get("client_id") != s.opt.ClientID:
		return nil, "client_id is unknown"
	case q.Get("response_type") != "code":
		return nil, "response_type must be code"
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return nil, "scope must contain openid"
	case q.Get("prompt") != "consent":
		return nil, "prompt must be consent"
	}
	return u, ""
}

func (s *Simulator) registered(u *url.URL, raw string) bool {
	if slices.Contains(s.opt.RedirectURIs, raw) {
		return true
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Simulator) consentPage(w http.ResponseWriter, q url.Values) {
	type choice struct {
		ID, Name, Title string
		Chosen          bool
	}
	var people []choice
	for _, p := range s.tenant.people {
		if !p.gone() {
			people = append(people, choice{p.userID, p.name, p.title, p.userID == q.Get("login_hint")})
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	consentHTML.Execute(w, map[string]any{
		"Corp": s.tenant.corpName, "Scopes": strings.Fields(q.Get("scope")), "People": people, "Q": map[string]string{
			"redirect_uri": q.Get("redirect_uri"), "client_id": q.Get("client_id"), "response_type": "code",
			"scope": q.Get("scope"), "state": q.Get("state"), "prompt": q.Get("prompt"),
		},
	})
}

var consentHTML = template.Must(template.New("consent").Parse(`<!DOCTYPE html>
<html lang="zh-Hant"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>授權登入（模擬）</title>
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:28rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a}
h1{font-size:1.25rem}select,button{font:inherit;padding:.5rem .9rem;margin:.3rem .3rem .3rem 0}
.yes{background:#0b6bcb;color:#fff;border:0;border-radius:.3rem}small{color:#555}</style></head>
<body><h1>{{.Corp}}</h1>
<p>應用程式「守燈」想以你的身分讀取：</p>
<ul>{{range .Scopes}}<li>{{if eq . "openid"}}你的身分（openid）{{else if eq . "corpid"}}你所屬的組織（corpid）{{else}}{{.}}{{end}}</li>{{end}}
<li>你在的會話的訊息</li></ul>
<form method="post" action="/oauth2/auth/decide">
{{range $k, $v := .Q}}<input type="hidden" name="{{$k}}" value="{{$v}}">
{{end}}<label for="user">登入成員</label><br>
<select id="user" name="user">{{range .People}}<option value="{{.ID}}"{{if .Chosen}} selected{{end}}>{{.Name}}（{{.Title}}）</option>
{{end}}</select><br>
<button class="yes" name="decision" value="agree">同意</button>
<button name="decision" value="refuse">拒絕</button>
</form><p><small>這是模擬的釘釘，不會連到網際網路。</small></p></body></html>
`))
