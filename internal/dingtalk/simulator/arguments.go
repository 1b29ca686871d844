package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

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
