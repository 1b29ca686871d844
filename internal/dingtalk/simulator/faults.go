package simulator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// fault makes matching requests fail in one way. Match is a regular
// expression over "METHOD /path", over a tool's name, or over an event type.
type fault struct {
	ID          int     `json:"id"`
	Match       string  `json:"match"`
	Kind        string  `json:"kind"`
	Count       int     `json:"count"`       // how many times; 0 means until cleared
	Probability float64 `json:"probability"` // 0 means always
	Hits        int     `json:"hits"`
	Days        int     `json:"days,omitempty"` // wall: how far route A looks back

	re   *regexp.Regexp
	last map[string][]byte // duplicate_page: the page to serve again
}

// faultKinds are the kinds and what they do.
var faultKinds = map[string]string{
	"http500":        "HTTP 500 systemError",
	"timeout":        "no answer for 60 s or until the caller gives up",
	"drop":           "the connection is cut",
	"htmlblock":      "an HTML page instead of JSON, as when the address is blocked",
	"ipblock":        "the JSON block body without code or errcode",
	"qps":            "the rate-limit error of the host",
	"expired_token":  "the token counts as lapsed; route A says the confusing text",
	"duplicate_page": "the previous answer of the same API again",
	"reorder":        "the items of a page in another order",
	"wall":           "route A shows nothing older than days",
	"hide_single":    "pairs are missing from list_all_conversations",
	"lose_event":     "the event is never pushed",
	"dup_event":      "the event is pushed twice",
	"corrupt_body":   "the answer's bytes are damaged",
}

type faults struct {
	list []*fault
	next int
}

// take uses up one hit of a fault of this kind, nil if none applies.
func (f *faults) take(s *Simulator, kind, name string) *fault {
	for _, x := range f.list {
		if x.Kind != kind || !x.re.MatchString(name) || x.Count > 0 && x.Hits >= x.Count {
			continue
		}
		if x.Probability > 0 && s.rng.Float64() >= x.Probability {
			continue
		}
		x.Hits++
		return x
	}
	return nil
}

// requestName is what a fault is matched with: the method and path and, for a
// tool call, the tool's name after a space.
func requestName(r *http.Request) string {
	name := r.Method + " " + r.URL.Path
	if !strings.HasPrefix(r.URL.Path, "/server/") || r.Body == nil {
		return name
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(body))
	var req struct {
		Params struct{ Name string } `json:"params"`
	}
	json.Unmarshal(body, &req)
	return name + " " + req.Params.Name
}

// playFault answers the request itself if a fault of the transport applies,
// and otherwise may wrap the writer to spoil the answer.
func (s *Simulator) playFault(w http.ResponseWriter, r *http.Request, path string) (bool, http.ResponseWriter) {
	s.mu.Lock()
	if len(s.faults.list) == 0 {
		s.mu.Unlock()
		return false, w
	}
	s.mu.Unlock()
	name := requestName(r)
	s.mu.Lock()
	kind := ""
	var hit *fault
	for _, k := range []string{"http500", "timeout", "drop", "htmlblock", "ipblock", "duplicate_page", "corrupt_body"} {
		if hit = s.faults.take(s, k, name); hit != nil {
			kind = k
			break
		}
	}
	s.mu.Unlock()
	switch kind {
	case "http500":
		writeBody(w, http.StatusInternalServerError, mustJSON(map[string]any{"code": "systemError", "requestid": "00000000-0000-4000-8000-000000000500", "message": "系统错误"}))
	case "timeout":
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		case <-time.After(time.Minute):
		}
		panic(http.ErrAbortHandler)
	case "drop":
		panic(http.ErrAbortHandler)
	case "htmlblock":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!DOCTYPE html><html><head><title>405</title></head><body>很抱歉，由于您访问的URL有可能对网站造成安全威胁，您的访问被阻断。</body></html>")
	case "ipblock":
		writeBody(w, http.StatusOK, []byte(`{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"0a1b2c3d4e5f"}`))
	case "duplicate_page":
		s.mu.Lock()
		again := hit.last[name]
		if again == nil {
			hit.Hits-- // nothing to repeat yet: this answer will be
		}
		s.mu.Unlock()
		if again == nil {
			return false, &keepWriter{ResponseWriter: w, s: s, hit: hit, name: name}
		}
		writeBody(w, http.StatusOK, again)
	case "corrupt_body":
		return false, &spoilWriter{ResponseWriter: w}
	default:
		return false, w
	}
	return true, w
}

type keepWriter struct {
	http.ResponseWriter
	s    *Simulator
	hit  *fault
	name string
}

func (k *keepWriter) Write(b []byte) (int, error) {
	k.s.mu.Lock()
	if k.hit.last == nil {
		k.hit.last = map[string][]byte{}
	}
	k.hit.last[k.name] = bytes.Clone(b)
	k.s.mu.Unlock()
	return k.ResponseWriter.Write(b)
}

// spoilWriter flips bits in the middle of what is written.
type spoilWriter struct{ http.ResponseWriter }

func (w *spoilWriter) Write(b []byte) (int, error) {
	bad := bytes.Clone(b)
	for i := len(bad) / 2; i < len(bad) && i < len(bad)/2+4; i++ {
		bad[i] ^= 0x55
	}
	return w.ResponseWriter.Write(bad)
}
