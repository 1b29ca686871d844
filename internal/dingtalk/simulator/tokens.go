package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

const refreshLife = 30 * 24 * time.Hour

// tokens are the access tokens in circulation. App tokens are one value that
// lives on while it is asked for; members' tokens are one per sign-in.
type tokens struct {
	appToken string
	appUntil time.Time
	members  map[string]memberToken
}

type memberToken struct {
	who   *person
	until time.Time
}

func newTokens() tokens { return tokens{members: map[string]memberToken{}} }

func (t *tokens) app(token string, now time.Time) bool {
	return token == t.appToken && now.Before(t.appUntil)
}

// member returns whose token it is, nil if it is unknown or has lapsed.
func (t *tokens) member(token string, now time.Time) *person {
	m, ok := t.members[token]
	if !ok || !now.Before(m.until) || m.who.gone() {
		return nil
	}
	return m.who
}

func (t *tokens) revoke(who *person) {
	for k, m := range t.members {
		if m.who == who {
			delete(t.members, k)
		}
	}
}

func secret(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}

// appToken answers the valid token again and extends it, as DingTalk does.
func (s *Simulator) issueAppToken() (string, int) {
	now := s.now()
	if !now.Before(s.tokens.appUntil) {
		s.tokens.appToken = secret("")
	}
	s.tokens.appUntil = now.Add(s.opt.AppTokenLife)
	return s.tokens.appToken, int(s.opt.AppTokenLife / time.Second)
}

var tokenRoutes = []route{
	{method: "POST", pattern: "/v1.0/oauth2/accessToken", auth: noAuth, exempt: true, body: "appKey! appSecret!", handle: newAccessToken},
	{method: "POST", pattern: "/v1.0/oauth2/{corpId}/token", auth: noAuth, exempt: true, body: "client_id! client_secret! grant_type!", handle: corpToken},
	{method: "GET", pattern: "/gettoken", auth: noAuth, exempt: true, query: "appkey! appsecret!", handle: legacyToken},
	{method: "POST", pattern: "/v1.0/oauth2/userAccessToken", auth: noAuth, exempt: true, body: "clientId! clientSecret! code grantType! refreshToken", handle: userAccessToken},
	{method: "GET", pattern: "/v1.0/contact/users/{unionId}", perm: "Contact.User.Read", auth: userAuth, exempt: true, handle: usersMe},
}

func (s *Simulator) credentials(id, sec string) bool {
	return id == s.opt.ClientID && sec == s.opt.ClientSecret
}

var errCredentials = apiError{status: 400, code: "invalidClientIdOrSecret", msg: "无效的clientId或者clientSecret"}

func newAccessToken(c *call) (any, error) {
	if !c.s.credentials(c.args.str("appKey"), c.args.str("appSecret")) {
		return nil, errCredentials
	}
	tok, life := c.s.issueAppToken()
	return struct {
		AccessToken string `json:"accessToken"`
		ExpireIn    int    `json:"expireIn"`
	}{tok, life}, nil
}

func corpToken(c *call) (any, error) {
	if c.path["corpId"] != c.s.tenant.corpID {
		return nil, apiError{status: 500, code: "unknownError", msg: "unknown error"}
	}
	if c.args.str("grant_type") != "client_credentials" {
		return nil, c.bad("invalidGrantType", "grant_type must be client_credentials")
	}
	if !c.s.credentials(c.args.str("client_id"), c.args.str("client_secret")) {
		return nil, errCredentials
	}
	tok, life := c.s.issueAppToken()
	return struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}{tok, life}, nil
}

func legacyToken(c *call) (any, error) {
	if !c.s.credentials(c.query.Get("appkey"), c.query.Get("appsecret")) {
		return nil, legacyError{code: 40096, msg: "不合法的appKey或appSecret"}
	}
	tok, life := c.s.issueAppToken()
	return struct {
		ErrCode     int    `json:"errcode"`
		ErrMsg      string `json:"errmsg"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}{0, "ok", tok, life}, nil
}

func userAccessToken(c *call) (any, error) {
	s := c.s
	if !s.credentials(c.args.str("clientId"), c.args.str("clientSecret")) {
		return nil, errCredentials
	}
	var who *person
	corp := s.tenant.corpID
	switch c.args.str("grantType") {
	case "authorization_code":
		who, corp = s.grants.redeem(c.args.str("code"), s.now())
		if who == nil {
			return nil, apiError{status: 400, code: "invalidParameter.authCode.notFound", msg: "不合法的临时授权码"}
		}
	case "refresh_token":
		old := c.args.str("refreshToken")
		who = s.tenant.user(s.grants.holder(old, s.now()))
		if who == nil {
			return nil, apiError{status: 400, code: "invalidParameter.refreshToken.notFound", msg: "不合法的refreshToken"}
		}
		// The old one dies with its use: a client that loses the answer has
		// to ask the member again, as with DingTalk.
		s.do(operation{Op: "refresh-used", Token: old})
	default:
		return nil, c.bad("invalidGrantType", "grantType must be authorization_code or refresh_token")
	}
	access, refresh := secret("u-"), secret("r-")
	s.tokens.members[access] = memberToken{who: who, until: s.now().Add(s.opt.UserTokenLife)}
	s.do(operation{Op: "refresh-issued", Token: refresh, User: who.userID, Time: s.now().Add(refreshLife).UnixMilli()})
	return struct {
		AccessToken  string `json:"accessToken"`
		RefreshToken string `json:"refreshToken"`
		ExpireIn     int    `json:"expireIn"`
		CorpID       string `json:"corpId"`
	}{access, refresh, int(s.opt.UserTokenLife / time.Second), corp}, nil
}

func usersMe(c *call) (any, error) {
	p := c.user
	if id := c.path["unionId"]; id != "me" && id != p.unionID {
		return nil, apiError{status: 403, code: "Forbidden.AccessDenied", msg: "only the signed-in user can be read"}
	}
	return struct {
		Nick       string `json:"nick"`
		AvatarURL  string `json:"avatarUrl"`
		Mobile     string `json:"mobile"`
		OpenID     string `json:"openId"`
		UnionID    string `json:"unionId"`
		Email      string `json:"email"`
		StateCode  string `json:"stateCode"`
		LoginEmail string `json:"loginEmail"`
		Visitor    bool   `json:"visitor"`
	}{p.name, p.avatar, p.mobile, p.openID, p.unionID, p.email, "853", p.email, false}, nil
}
