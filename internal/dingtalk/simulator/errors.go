package simulator

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error of the new API: an HTTP status with a JSON body.
type apiError struct {
	status    int
	code, msg string
	scopes    []string
}

func (e apiError) Error() string { return e.code + ": " + e.msg }

// legacyError is an error of the oapi host: always HTTP 200.
type legacyError struct {
	code int
	sub  string
	msg  string
}

func (e legacyError) Error() string { return fmt.Sprintf("errcode %d %s: %s", e.code, e.sub, e.msg) }

// platformError is what the oapi gateway itself answers: errcode 88 with the
// real code in sub_code and a mirror in errmsg.
func platformError(sub, msg string) error { return legacyError{code: 88, sub: sub, msg: msg} }

func notFound(code, msg string) error { return apiError{status: 404, code: code, msg: msg} }

func (s *Simulator) errorBody(c *call, err error) (int, []byte) {
	var legacy legacyError
	if errors.As(err, &legacy) {
		body := map[string]any{"errcode": legacy.code, "errmsg": legacy.msg, "request_id": s.requestID()}
		if legacy.sub != "" {
			body["sub_code"], body["sub_msg"] = legacy.sub, legacy.msg
			body["errmsg"] = fmt.Sprintf("ding talk error[subcode=%s,submsg=%s]", legacy.sub, legacy.msg)
		}
		return http.StatusOK, mustJSON(body)
	}
	var api apiError
	if !errors.As(err, &api) {
		api = apiError{status: 500, code: "systemError", msg: fmt.Sprint(err)}
	}
	body := map[string]any{"code": api.code, "requestid": s.requestUUID(), "message": api.msg}
	if api.scopes != nil {
		body["accessdenieddetail"] = map[string]any{"requiredScopes": api.scopes}
	}
	return api.status, mustJSON(body)
}

func (s *Simulator) requestID() string { return fmt.Sprintf("%013x", s.rng.Uint64()&0xfffffffffffff) }

func (s *Simulator) requestUUID() string {
	a, b := s.rng.Uint64(), s.rng.Uint64()
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%012X", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}
