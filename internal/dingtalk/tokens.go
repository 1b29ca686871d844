package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Tokens are a member's tokens as OAuth gave them.
type Tokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	Expires time.Time `json:"expires"` // of Access
	CorpID  string    `json:"corpId"`
}

// PeopleTokens keeps members' tokens, sealed. Save must be durable before it
// returns: DingTalk accepts an old refresh token only once.
type PeopleTokens interface {
	Tokens(ctx context.Context, person string) (Tokens, error)
	Save(ctx context.Context, person string, t Tokens) error
	// Lapsed marks that the member's consent no longer works.
	Lapsed(ctx context.Context, person string) error
	// Lock serialises refreshing one person's tokens.
	Lock(person string) (unlock func())
}

// appToken returns the app's token, a new one when fresh asks for it.
func (c *Client) appToken(ctx context.Context, fresh bool) (string, error) {
	c.mu.Lock()
	tok, exp := c.token, c.expires
	c.mu.Unlock()
	if tok != "" && !fresh && time.Until(exp) > 2*time.Minute {
		return tok, nil
	}
	b, err := c.once(ctx, request{api: "oauth2/accessToken", host: c.cfg.Hosts.API, method: http.MethodPost, path: "/v1.0/oauth2/accessToken",
		body: map[string]string{"appKey": c.cfg.ClientID, "appSecret": c.cfg.ClientSecret}, free: true}, false)
	if err != nil {
		return "", err
	}
	var a struct {
		AccessToken string `json:"accessToken"`
		ExpireIn    int64  `json:"expireIn"`
	}
	if err := json.Unmarshal(b, &a); err != nil || a.AccessToken == "" {
		return "", &APIError{API: "oauth2/accessToken", kind: ErrUnreachable, Message: "no token in the answer"}
	}
	c.mu.Lock()
	c.token, c.expires = a.AccessToken, time.Now().Add(time.Duration(a.ExpireIn)*time.Second)
	c.mu.Unlock()
	return a.AccessToken, nil
}

// CheckApp asks for a token, which shows whether the credentials are good.
func (c *Client) CheckApp(ctx context.Context) error {
	_, err := c.appToken(ctx, true)
	return err
}

// ConsentURL is the page on which a member agrees. state comes back with the
// code; redirect must be registered with the app.
func (c *Client) ConsentURL(redirect, state, hint string) string {
	q := url.Values{"redirect_uri": {redirect}, "response_type": {"code"}, "client_id": {c.cfg.ClientID},
		"scope": {"openid corpid"}, "state": {state}, "prompt": {"consent"}}
	if hint != "" {
		q.Set("login_hint", hint)
	}
	return c.cfg.Hosts.Login + "/oauth2/auth?" + q.Encode()
}

// Exchange turns the code that the consent page gave into tokens.
func (c *Client) Exchange(ctx context.Context, code string) (Tokens, error) {
	return c.userToken(ctx, map[string]string{"clientId": c.cfg.ClientID, "clientSecret": c.cfg.ClientSecret, "code": code, "grantType": "authorization_code"})
}

func (c *Client) userToken(ctx context.Context, body map[string]string) (Tokens, error) {
	b, err := c.do(ctx, request{api: "oauth2/userAccessToken", host: c.cfg.Hosts.API, method: http.MethodPost, path: "/v1.0/oauth2/userAccessToken", body: body, free: true})
	if err != nil {
		return Tokens{}, err
	}
	var a struct {
		AccessToken  string `json:"accessToken"`
		RefreshToken string `json:"refreshToken"`
		ExpireIn     int64  `json:"expireIn"`
		CorpID       string `json:"corpId"`
	}
	if err := json.Unmarshal(b, &a); err != nil || a.AccessToken == "" {
		return Tokens{}, &APIError{API: "oauth2/userAccessToken", kind: ErrUnreachable, Message: "no token in the answer"}
	}
	return Tokens{a.AccessToken, a.RefreshToken, time.Now().Add(time.Duration(a.ExpireIn) * time.Second), a.CorpID}, nil
}

// memberToken returns a member's access token, refreshed when it is old. The
// refresh is serialised per person, because each refresh token works once.
func (c *Client) memberToken(ctx context.Context, person string, fresh bool) (string, error) {
	if c.cfg.People == nil {
		return "", &APIError{API: "route A", kind: ErrConsent, Message: "no member has consented"}
	}
	unlock := c.cfg.People.Lock(person)
	defer unlock()
	t, err := c.cfg.People.Tokens(ctx, person)
	if err != nil {
		return "", fmt.Errorf("tokens of a member: %w", err)
	}
	// another call may have refreshed while this one waited
	if time.Until(t.Expires) > 2*time.Minute && !(fresh && time.Until(t.Expires) < 119*time.Minute) {
		return t.Access, nil
	}
	n, err := c.userToken(ctx, map[string]string{"clientId": c.cfg.ClientID, "clientSecret": c.cfg.ClientSecret, "refreshToken": t.Refresh, "grantType": "refresh_token"})
	if err != nil {
		var ae *APIError
		if errors.As(err, &ae) && ae.kind != ErrUnreachable && ae.kind != ErrThrottled {
			if err := c.cfg.People.Lapsed(ctx, person); err != nil {
				return "", err
			}
			return "", &APIError{API: "oauth2/userAccessToken", Code: ae.Code, kind: ErrConsent}
		}
		return "", err
	}
	if n.Refresh == "" {
		n.Refresh = t.Refresh
	}
	if n.CorpID == "" {
		n.CorpID = t.CorpID
	}
	if err := c.cfg.People.Save(ctx, person, n); err != nil {
		return "", fmt.Errorf("keep a member's tokens: %w", err)
	}
	return n.Access, nil
}

// Me is the person a user token belongs to.
type Me struct {
	UnionID string `json:"unionId"`
	OpenID  string `json:"openId"`
	Nick    string `json:"nick"`
}

// Me asks who consented.
func (c *Client) Me(ctx context.Context, t Tokens) (Me, error) {
	var me Me
	b, err := c.do(ctx, request{api: "contact/users/me", host: c.cfg.Hosts.API, method: http.MethodGet, path: "/v1.0/contact/users/me", auth: userHeader, person: t.Access, free: true})
	if err != nil {
		return me, err
	}
	err = decode("contact/users/me", b, &me)
	return me, err
}
