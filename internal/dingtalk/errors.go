package dingtalk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// What a refusal means for the caller. Test with errors.Is.
var (
	ErrUnreachable = errors.New("DingTalk cannot be reached or is failing") // 5xx, network, a page that is no JSON
	ErrThrottled   = errors.New("DingTalk asks to go slower")               // waiting, not a fault
	ErrQuota       = errors.New("this month's API calls are used up")       // stop until the next month
	ErrPermission  = errors.New("the app lacks a permission")               // APIError.Scopes names it
	ErrToken       = errors.New("the access token has expired")             // refreshed once by itself
	ErrCredentials = errors.New("DingTalk does not accept the app's credentials")
	ErrConsent     = errors.New("the member's consent has lapsed or was withdrawn")
	ErrNotEnabled  = errors.New("the organisation has not switched on members' data access")
	ErrNotFound    = errors.New("DingTalk no longer has this item")
	ErrUnavailable = errors.New("DingTalk does not give this item out") // online documents
	ErrThawing     = errors.New("DingTalk is bringing this file back from cold storage")
	ErrRefused     = errors.New("DingTalk refused the call") // anything else
)

// APIError is a refusal by DingTalk, in the words it used.
type APIError struct {
	API     string   // documented name of the call
	Status  int      // HTTP status, 0 when there was no answer
	Code    string   // "InvalidAuthentication", "88/60011" …
	Message string   // upstream text, never content
	Scopes  []string // permissions that are missing
	kind    error
}

func (e *APIError) Error() string {
	s := fmt.Sprintf("call %s: %v", e.API, e.kind)
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	if len(e.Scopes) > 0 {
		s += ": " + strings.Join(e.Scopes, ", ")
	}
	return s
}

// Unwrap gives the sentinel.
func (e *APIError) Unwrap() error { return e.kind }

// Missing returns the permissions that err says are missing, and where they
// are missing.
func Missing(err error) (scopes []string, api string) {
	var ae *APIError
	if errors.As(err, &ae) && ae.kind == ErrPermission {
		return ae.Scopes, ae.API
	}
	return nil, ""
}

// answerError reads an answer's error in either style; nil when it is none.
// Key names come in several spellings and encoding/json matches them without
// regard to case.
func answerError(api string, status int, b []byte) error {
	var f struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
		Detail  struct {
			Scopes []string `json:"requiredScopes"`
		} `json:"accessdenieddetail"`
		ErrCode *int64 `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
		SubCode string `json:"sub_code"`
		Status  any    `json:"status"`
		Punish  string `json:"punish"`
	}
	if err := json.Unmarshal(b, &f); err != nil || f.Punish != "" {
		return &APIError{API: api, Status: status, kind: ErrUnreachable, Message: "the answer is not JSON: perhaps the address is blocked for some minutes"}
	}
	if f.ErrCode != nil && *f.ErrCode != 0 {
		return legacyError(api, *f.ErrCode, f.SubCode, f.ErrMsg)
	}
	if status < 400 {
		return nil
	}
	e := &APIError{API: api, Status: status, Code: fmt.Sprint(f.Code), Message: f.Message, Scopes: f.Detail.Scopes}
	e.kind = newKind(status, e.Code)
	return e
}

func newKind(status int, code string) error {
	low := strings.ToLower(code)
	switch {
	case strings.Contains(code, "ApiCountLimitForOrg"):
		return ErrQuota
	case strings.Contains(low, "qpslimit"), strings.Contains(low, "qpmlimit"), status == http.StatusTooManyRequests, low == "systembusy", low == "system.busy":
		return ErrThrottled
	case strings.HasSuffix(code, "AccessTokenPermissionDenied"):
		return ErrPermission
	case code == "InvalidAuthentication", status == http.StatusUnauthorized:
		return ErrToken
	case code == "invalidClientIdOrSecret":
		return ErrCredentials
	case code == "operationNotSupported", code == "dentryDownloadProtocolNotSupport":
		return ErrUnavailable
	case code == "fileArchived":
		return ErrThawing
	case status == http.StatusNotFound, code == "processInstanceNotExist":
		return ErrNotFound
	case status >= 500:
		return ErrUnreachable
	}
	return ErrRefused
}

func legacyError(api string, code int64, sub, msg string) error {
	e := &APIError{API: api, Status: http.StatusOK, Code: strconv.FormatInt(code, 10), Message: msg, kind: ErrRefused}
	if code == 88 {
		e.Code = "88/" + sub
		switch sub {
		case "40014", "40000":
			e.kind = ErrToken
		case "90018", "90002":
			e.kind = ErrThrottled
		case "90020":
			e.kind = ErrQuota
		case "60011":
			e.kind = ErrPermission
		}
		return e
	}
	switch code {
	case -1:
		e.kind = ErrUnreachable
	case 33012, 60121, 60003:
		e.kind = ErrNotFound
	case 50004:
		e.kind = ErrPermission
	case 40096, 40078, 40079:
		e.kind = ErrCredentials
	}
	return e
}
