package simulator

import (
	"net/http"
	"time"
)

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
