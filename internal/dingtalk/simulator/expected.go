package simulator

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
)

// truth is one row of /_sim/expected: what is listed now and the hash of the
// very bytes with which the API serves it.
type truth struct {
	Kind      string            `json:"kind"`
	Type      string            `json:"type"` // message, media, file, folder, instance, attachment, user, department
	ID        string            `json:"id"`
	Container string            `json:"container,omitempty"`
	Title     string            `json:"title,omitempty"`
	Version   int64             `json:"version,omitempty"`
	SHA256    string            `json:"sha256,omitempty"`        // of the JSON item
	List      map[string]string `json:"listSha256,omitempty"`    // of the same item in another listing: "list" or a department id
	Content   string            `json:"contentSha256,omitempty"` // of the bytes
	Size      int64             `json:"size,omitempty"`
	Members   []string          `json:"members,omitempty"`
}

func hashJSON(v any) string {
	sum := sha256.Sum256(mustJSON(v))
	return hex.EncodeToString(sum[:])
}

// serveExpected streams the truth of one kind. The files kind makes every
// file's bytes once, which takes a few seconds for a whole tenant.
func (s *Simulator) serveExpected(w http.ResponseWriter, r *http.Request) {
	kind := r.URL.Query().Get("kind")
	write := map[string]func(func(truth)){"chat": s.expectChat, "files": s.expectFiles, "approvals": s.expectApprovals, "contacts": s.expectContacts}[kind]
	if write == nil {
		http.Error(w, "kind must be chat, files, approvals or contacts", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	write(func(t truth) { t.Kind = kind; enc.Encode(t) })
	out.Flush()
}

func (s *Simulator) expectChat(row func(truth)) {
	for _, v := range s.tenant.convs {
		c := truth{Type: "conversation", ID: v.id, Title: v.title}
		for _, p := range v.members {
			c.Members = append(c.Members, p.userID)
		}
		row(c)
		for _, m := range v.msgs {
			row(truth{Type: "message", ID: m.id, Container: v.id, SHA256: hashJSON(m.json())})
			if m.media != nil {
				row(truth{Type: "media", ID: m.media.id, Container: m.id, Content: m.media.content.digest(), Size: m.media.content.length()})
			}
		}
	}
}

func (s *Simulator) expectFiles(row func(truth)) {
	for _, sp := range s.tenant.spaces {
		for _, d := range sp.order {
			if d.gone() {
				continue
			}
			t := truth{Type: "file", ID: d.id, Container: sp.id, Title: d.path(), SHA256: hashJSON(d.json(0))}
			listed := d.json(0)
			listed.Category = d.category()
			t.List = map[string]string{"list": hashJSON(listed)}
			switch {
			case d.folder:
				t.Type = "folder"
			case d.driver == "DINGTALK":
				v := d.version(0)
				t.Version, t.Content, t.Size = v.n, v.content.digest(), v.content.length()
				for _, old := range d.versions[:len(d.versions)-1] {
					row(truth{Type: "version", ID: d.id, Container: sp.id, Version: old.n, SHA256: hashJSON(d.json(old.n)), Content: old.content.digest(), Size: old.content.length()})
				}
			}
			row(t)
		}
	}
}

func (s *Simulator) expectApprovals(row func(truth)) {
	for _, in := range s.tenant.insts {
		row(truth{Type: "instance", ID: in.ID, Container: in.Code, SHA256: hashJSON(in.Body)})
		form, comments := in.attachments()
		for _, a := range append(form, comments...) {
			if c := s.tenant.attached[a.FileID]; c != nil {
				row(truth{Type: "attachment", ID: a.FileID, Container: in.ID, Content: c.digest(), Size: c.length()})
			}
		}
	}
}

func (s *Simulator) expectContacts(row func(truth)) {
	t := s.tenant
	for _, d := range t.depts {
		if !d.removed {
			row(truth{Type: "department", ID: strconv.FormatInt(d.id, 10), Container: strconv.FormatInt(d.parent, 10), SHA256: hashJSON(t.deptJSON(d))})
		}
	}
	for _, p := range t.working() {
		x := truth{Type: "user", ID: p.userID, SHA256: hashJSON(t.userJSON(p)), List: map[string]string{}}
		for _, id := range p.depts {
			x.Container = strconv.FormatInt(id, 10)
			x.List[x.Container] = hashJSON(t.listItem(p, id))
		}
		row(x)
	}
}
