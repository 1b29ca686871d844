package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestFiguresAreForThisMachineOrWhoHasTheToken asks as a monitor on the machine,
// from elsewhere, through proxies, with the right token and with wrong ones.
func TestFiguresAreForThisMachineOrWhoHasTheToken(t *testing.T) {
	const token = "a token of a monitor 0123"
	h := newHouse(t)
	h.d.Figures = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "farol_ready 1\n") })
	for _, k := range []struct {
		name, from, set string
		head            map[string]string
		want            int
	}{
		{"on the machine", "127.0.0.1:5000", token, nil, 200},
		{"on the machine, IPv6", "[::1]:5000", "", nil, 200},
		{"from elsewhere", "192.168.1.9:5000", token, nil, 404},
		{"from elsewhere, when there is no token", "192.168.1.9:5000", "", nil, 404},
		{"with the token", "192.168.1.9:5000", token, map[string]string{"Authorization": "Bearer " + token}, 200},
		{"with another", "192.168.1.9:5000", token, map[string]string{"Authorization": "Bearer " + token + "4"}, 401},
		{"with none in the header", "192.168.1.9:5000", token, map[string]string{"Authorization": "Bearer "}, 401},
		{"with none, when none is set", "192.168.1.9:5000", "", map[string]string{"Authorization": "Bearer "}, 401},
		{"by a proxy", "127.0.0.1:5000", token, map[string]string{"X-Forwarded-For": "192.168.1.9"}, 404},
		{"by a proxy that says it as a standard", "127.0.0.1:5000", token, map[string]string{"Forwarded": "for=192.168.1.9"}, 404},
		{"by a proxy that says its protocol", "127.0.0.1:5000", token, map[string]string{"X-Forwarded-Proto": "https"}, 404},
		{"by a proxy, said to be from here", "127.0.0.1:5000", token, map[string]string{"X-Forwarded-For": "127.0.0.1"}, 404},
		{"by a proxy, with the token", "127.0.0.1:5000", token, map[string]string{"X-Forwarded-For": "192.168.1.9", "Authorization": "Bearer " + token}, 200},
		{"by a name", "localhost:5000", token, nil, 404},
	} {
		h.d.FiguresToken = k.set
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = k.from
		for name, v := range k.head {
			r.Header.Set(name, v)
		}
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, r)
		if shown := w.Body.String() == "farol_ready 1\n"; w.Code != k.want || shown != (k.want == 200) {
			t.Errorf("%s: %d %.100q, want %d", k.name, w.Code, w.Body, k.want)
		}
	}
}

// TestEveryAnswerIsCountedOnce: also one that became an error page.
func TestEveryAnswerIsCountedOnce(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	seen, noted := map[int]int{}, map[string]int{}
	h.d.Answered = func(status int, took time.Duration) {
		if seen[status]++; took <= 0 {
			t.Error("it took no time")
		}
	}
	h.d.Noted = func(op string) { noted[op]++ }
	v := h.visitor()
	v.get("/login").wants(t, 200)
	v.get("/nothing").wants(t, 404)
	v.post("/login", "name", "maria", "password", "wrong", "totp", "000000").wants(t, 422)
	if seen[200] != 1 || seen[404] != 1 || seen[422] != 1 || len(seen) != 3 || noted["login.failed"] != 1 {
		t.Errorf("counted: %v, noted: %v", seen, noted)
	}
}
