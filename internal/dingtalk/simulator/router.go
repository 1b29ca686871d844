package simulator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// route is one documented operation. Body and query list the documented field
// names, those the contract requires with a trailing "!".
type route struct {
	method, pattern string
	perm            string
	auth            authKind
	exempt          bool // not counted in the monthly quota
	query, body     string
	handle          func(*call) (any, error)

	segs []string
}

type authKind int

const (
	appAuth  authKind = iota // an app token, in the place its host wants it
	userAuth                 // a member's token in the new API's header
	noAuth
)

// call is one request on its way through a handler. Handlers run under mu.
type call struct {
	s      *Simulator
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	path   map[string]string
	query  url.Values
	args   args
	user   *person // with userAuth
	legacy bool
}

const maxBody = 8 << 20

// ServeHTTP tells the hosts apart by path.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	switch {
	case strings.HasPrefix(p, "/_sim/"):
		s.serveControl(w, r)
		return
	case p == "/connect":
		s.serveWebSocket(w, r)
		return
	}
	done, w := s.playFault(w, r, p)
	if done {
		return
	}
	switch {
	case p == "/oauth2/auth" || p == "/oauth2/auth/decide":
		s.serveConsent(w, r)
	case strings.HasPrefix(p, "/yundisk0/"), strings.HasPrefix(p, "/yundisk1/"), strings.HasPrefix(p, "/media/"):
		s.serveObject(w, r)
	case strings.HasPrefix(p, "/server/"):
		s.serveRouteA(w, r)
	case isGateway(p):
		s.servePersonal(w, r)
	default:
		s.serveAPI(w, r)
	}
}

// isLegacy reports whether a path belongs to the oapi host.
func isLegacy(p string) bool {
	for _, pre := range []string{"/gettoken", "/topapi/", "/auth/", "/chat/", "/user/", "/department/", "/role/", "/attendance/", "/robot/", "/call_back/"} {
		if strings.HasPrefix(p, pre) {
			return true
		}
	}
	return false
}

func (s *Simulator) serveAPI(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return
	}
	s.mu.Lock()
	c := &call{s: s, w: w, r: r, query: r.URL.Query(), legacy: isLegacy(r.URL.Path), args: args{}}
	v, err := s.dispatch(c, raw)
	if err == nil && v != nil {
		body := mustJSON(v)
		s.mu.Unlock()
		writeBody(w, http.StatusOK, body)
		return
	}
	status, body := s.errorBody(c, err)
	s.mu.Unlock()
	writeBody(w, status, body)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// dispatch finds the route and checks, in DingTalk's order: path, token,
// permission, rate, quota, parameters.
func (s *Simulator) dispatch(c *call, raw []byte) (any, error) {
	rt, path := s.match(c.r.Method, c.r.URL.EscapedPath())
	if rt == nil {
		if c.r.URL.Path != "/favicon.ico" { // a browser on the consent page asks for it
			s.violate(c.r, "no such API")
		}
		if c.legacy {
			return nil, legacyError{code: 22, msg: "不合法的请求路径或方法"}
		}
		return nil, apiError{status: 404, code: "InvalidAction.NotFound", msg: "Specified api is not found, please check your url and method."}
	}
	c.route, c.path = rt, path
	s.limits.called(rt.method + " " + rt.pattern)
	if err := c.authenticate(); err != nil {
		return nil, err
	}
	if rt.perm != "" && s.refused[rt.perm] {
		return nil, c.denied(rt.perm)
	}
	if err := s.limits.admit(c); err != nil {
		return nil, err
	}
	if err := c.readArgs(raw); err != nil {
		return nil, err
	}
	return rt.handle(c)
}

func (c *call) authenticate() error {
	s, rt := c.s, c.route
	if rt.auth == noAuth {
		return nil
	}
	token := c.r.Header.Get("x-acs-dingtalk-access-token")
	if c.legacy {
		if token != "" {
			s.violate(c.r, "token in the header of a legacy call")
		}
		token = c.query.Get("access_token")
	} else if c.query.Has("access_token") {
		s.violate(c.r, "token in the query of a new call")
	}
	if token == "" {
		s.violate(c.r, "no access token")
		if c.legacy {
			return platformError("40000", "access_token不能为空")
		}
		return apiError{status: 400, code: "AuthenticationFailed.MissingParameter", msg: "x-acs-dingtalk-access-token is missing"}
	}
	now := s.now()
	if rt.auth == userAuth {
		if c.user = s.tokens.member(token, now); c.user != nil && s.faults.take(s, "expired_token", c.apiName()) == nil {
			return nil
		}
	} else if s.tokens.app(token, now) && s.faults.take(s, "expired_token", c.apiName()) == nil {
		return nil
	}
	if c.legacy {
		return platformError("40014", "不合法的access_token")
	}
	return apiError{status: 400, code: "InvalidAuthentication", msg: "不合法的access_token"}
}

func (c *call) apiName() string { return c.route.method + " " + c.route.pattern }

func (c *call) denied(perm string) error {
	if c.legacy {
		return platformError("60011", "没有调用该接口的权限，接口权限申请参考：https://open.dingtalk.com")
	}
	return apiError{status: 403, code: "Forbidden.AccessDenied.AccessTokenPermissionDenied",
		msg: "应用尚未开通所需的权限：[" + perm + "]", scopes: []string{perm}}
}

// readArgs reads a JSON or, on the legacy host, a form body, and holds it
// against the documented fields.
func (c *call) readArgs(raw []byte) error {
	if len(raw) > maxBody {
		c.s.violate(c.r, "body over 8 MiB")
		return c.bad("invalidRequestBody", "body too large")
	}
	ct := c.r.Header.Get("Content-Type")
	switch {
	case c.r.Method == http.MethodGet || len(bytes.TrimSpace(raw)) == 0:
	case strings.HasPrefix(ct, "application/x-www-form-urlencoded"):
		if !c.legacy {
			c.s.violate(c.r, "form body on the new API")
			return c.bad("invalidRequestBody", "Content-Type must be application/json")
		}
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			c.s.violate(c.r, "unreadable form body")
			return c.bad("invalidRequestBody", "unreadable form")
		}
		for k := range form {
			c.args[k] = form.Get(k)
		}
	default:
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&c.args); err != nil {
			c.s.violate(c.r, "body is not a JSON object")
			return c.bad("invalidRequestBody", "请求体不是合法的 JSON")
		}
		if ct != "" && !strings.HasPrefix(ct, "application/json") {
			c.s.violate(c.r, "JSON body sent as "+ct)
		}
	}
	if err := c.checkFields("query", c.route.query, c.queryArgs()); err != nil {
		return err
	}
	return c.checkFields("body", c.route.body, c.args)
}

func (c *call) queryArgs() args {
	a := args{}
	for k := range c.query {
		if c.legacy && k == "access_token" {
			continue
		}
		a[k] = c.query.Get(k)
	}
	return a
}

func (c *call) checkFields(where, spec string, got args) error {
	known := map[string]bool{}
	for f := range strings.FieldsSeq(spec) {
		name, required := strings.CutSuffix(f, "!")
		known[name] = true
		if required && (got[name] == nil || got[name] == "") {
			c.s.violate(c.r, where+" lacks "+name)
			return c.missing(name)
		}
	}
	for k := range got {
		if !known[k] {
			c.s.violate(c.r, where+" has the unknown field "+k)
		}
	}
	return nil
}

func (c *call) missing(name string) error {
	if c.legacy {
		return legacyError{code: 40035, msg: "不合法的参数: 缺少" + name}
	}
	return apiError{status: 400, code: "Missing" + name, msg: name + " is mandatory for this action."}
}

// bad is a parameter error in the caller's host style, and a violation.
func (c *call) bad(code, msg string) error {
	c.s.violate(c.r, code+": "+msg)
	if c.legacy {
		return legacyError{code: 40035, msg: "不合法的参数: " + msg}
	}
	return apiError{status: 400, code: code, msg: msg}
}

// match finds the route of a path whose segments may come raw or escaped.
func (s *Simulator) match(method, escaped string) (*route, map[string]string) {
	segs := strings.Split(strings.Trim(escaped, "/"), "/")
	for i, seg := range segs {
		if u, err := url.PathUnescape(seg); err == nil {
			segs[i] = u
		}
	}
	for _, i := range s.byPath[method+" "+strconv.Itoa(len(segs))] {
		if vars, ok := s.routes[i].fits(segs); ok {
			return &s.routes[i], vars
		}
	}
	return nil, nil
}

func (rt *route) fits(segs []string) (map[string]string, bool) {
	var vars map[string]string
	for i, want := range rt.segs {
		if strings.HasPrefix(want, "{") {
			if vars == nil {
				vars = map[string]string{}
			}
			vars[want[1:len(want)-1]] = segs[i]
		} else if want != segs[i] {
			return nil, false
		}
	}
	return vars, true
}

func (s *Simulator) addRoutes() {
	s.byPath = map[string][]int{}
	for _, list := range [][]route{tokenRoutes, contactRoutes, imRoutes, storageRoutes, uploadRoutes, recycleRoutes, workflowRoutes, streamRoutes} {
		s.routes = append(s.routes, list...)
	}
	// Literal segments win over variables: patterns with fewer variables are
	// tried first.
	for pass := range 8 {
		for i := range s.routes {
			rt := &s.routes[i]
			rt.segs = strings.Split(strings.Trim(rt.pattern, "/"), "/")
			if strings.Count(rt.pattern, "{") == pass {
				k := rt.method + " " + strconv.Itoa(len(rt.segs))
				s.byPath[k] = append(s.byPath[k], i)
			}
		}
	}
}

// violation is one way in which a caller broke the contract.
type violation struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Reason string    `json:"reason"`
}

func (s *Simulator) violate(r *http.Request, reason string) {
	if len(s.wrongs) < 10000 {
		s.wrongs = append(s.wrongs, violation{Time: s.now(), Method: r.Method, Path: r.URL.Path, Reason: reason})
	}
}

// Violations returns what callers did against the contract so far, one
// "METHOD path: reason" each.
func (s *Simulator) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, v := range s.wrongs {
		out = append(out, v.Method+" "+v.Path+": "+v.Reason)
	}
	return out
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("simulator: " + err.Error()) // our own types always marshal
	}
	return b
}
