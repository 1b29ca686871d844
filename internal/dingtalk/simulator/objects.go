package simulator

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// sign makes the headers that a request to the object store must carry, all
// of them and unchanged.
func (s *Simulator) sign(method, path string, seconds int) map[string]string {
	date := s.now().UTC().Format(http.TimeFormat)
	return map[string]string{"Authorization": "OSS LTAIsimulator:" + s.signature(method, path, date, seconds), "x-oss-date": date}
}

func (s *Simulator) signature(method, path, date string, seconds int) string {
	h := hmac.New(sha256.New, []byte(s.opt.ClientSecret))
	fmt.Fprintf(h, "%s\n%s\n%s\n%d", method, path, date, seconds)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)[:20])
}

// signedURL is the other kind of link: everything is in the query, a plain
// GET fetches it until it lapses.
func (s *Simulator) signedURL(base, path string, life time.Duration) string {
	until := strconv.FormatInt(s.now().Add(life).Unix(), 10)
	q := url.Values{"Expires": {until}, "OSSAccessKeyId": {"LTAIsimulator"}, "Signature": {s.signature("GET", path, until, 0)}}
	return base + path + "?" + q.Encode()
}

// serveObject is the object store: header-signed downloads and uploads under
// /yundisk0/ and /media/, query-signed downloads under /yundisk1/.
func (s *Simulator) serveObject(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Method == http.MethodPut {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return
		}
	}
	s.mu.Lock()
	if why := s.checkSignature(r); why != "" {
		s.violate(r, "object store: "+why)
		s.mu.Unlock()
		ossError(w, http.StatusForbidden, why)
		return
	}
	if r.Method == http.MethodPut {
		ok := s.putObject(r, body)
		s.mu.Unlock()
		if !ok {
			ossError(w, http.StatusNotFound, "NoSuchUpload")
			return
		}
		sum := sha256.Sum256(body)
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%X", sum[:16])))
		w.WriteHeader(http.StatusOK)
		return
	}
	obj := s.object(r.URL.Path)
	s.mu.Unlock()
	if obj == nil {
		ossError(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	data := obj.bytes() // outside the lock: making an office file takes milliseconds
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// checkSignature names what is wrong with a request, "" if nothing is.
func (s *Simulator) checkSignature(r *http.Request) string {
	now, path := s.now(), r.URL.Path
	for _, h := range []string{"x-acs-dingtalk-access-token", "x-user-access-token"} {
		if r.Header.Get(h) != "" {
			return "SignatureDoesNotMatch: a token was sent along"
		}
	}
	if r.Header.Get("Content-Type") != "" {
		return "SignatureDoesNotMatch: Content-Type must be empty"
	}
	if strings.HasPrefix(path, "/yundisk1/") {
		until := r.URL.Query().Get("Expires")
		unix, _ := strconv.ParseInt(until, 10, 64)
		if r.Method != http.MethodGet || r.URL.Query().Get("Signature") != s.signature("GET", path, until, 0) {
			return "SignatureDoesNotMatch"
		}
		if now.Unix() >= unix {
			return "AccessDenied: Request has expired."
		}
		return ""
	}
	date := r.Header.Get("x-oss-date")
	at, err := http.ParseTime(date)
	if err != nil {
		return "AccessDenied: x-oss-date is missing"
	}
	seconds := s.opt.DownloadSeconds
	if r.Header.Get("Authorization") != "OSS LTAIsimulator:"+s.signature(r.Method, path, date, seconds) {
		return "SignatureDoesNotMatch"
	}
	if now.Sub(at) >= time.Duration(seconds)*time.Second {
		return "AccessDenied: Request has expired."
	}
	return ""
}

func ossError(w http.ResponseWriter, status int, text string) {
	code, msg, _ := strings.Cut(text, ": ")
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>\n", code, msg)
}

// object finds the bytes behind a path of the store.
func (s *Simulator) object(path string) *content {
	t := s.tenant
	kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch kind {
	case "media":
		if m := t.media[rest]; m != nil {
			return m.content
		}
	case "yundisk1":
		return t.attached[rest]
	case "yundisk0":
		uuid, version, _ := strings.Cut(rest, "/")
		n, _ := strconv.ParseInt(version, 10, 64)
		if d := t.byUUID[uuid]; d != nil && !d.deleted {
			if v := d.version(n); v != nil {
				return v.content
			}
		}
	}
	return nil
}
