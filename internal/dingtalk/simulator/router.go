package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("simulator: " + err.Error()) // our own types always marshal
	}
	return b
}
