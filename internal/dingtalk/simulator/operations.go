package simulator

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// operation is one change of the tenant after its generation: by traffic, by
// an import, an upload or the control API. Everything an operation needs to
// come out the same again (ids, times) is in it, so that a state directory is
// nothing but a list of them.
type operation struct {
	Op       string          `json:"op"`
	Time     int64           `json:"time,omitempty"` // epoch ms
	ID       string          `json:"id,omitempty"`
	Conv     string          `json:"conv,omitempty"`
	User     string          `json:"user,omitempty"` // userId, unionId or, for outsiders, a name
	Kind     string          `json:"kind,omitempty"`
	Text     string          `json:"text,omitempty"`
	Quote    string          `json:"quote,omitempty"`
	Media    string          `json:"media,omitempty"`
	Users    []string        `json:"users,omitempty"`
	Token    string          `json:"token,omitempty"`
	Dept     int64           `json:"dept,omitempty"`
	Space    string          `json:"space,omitempty"`
	Parent   string          `json:"parent,omitempty"`
	Name     string          `json:"name,omitempty"`
	UUID     string          `json:"uuid,omitempty"`
	Data     string          `json:"data,omitempty"` // base64 of uploaded bytes
	Seed     uint64          `json:"seed,omitempty"`
	Instance json.RawMessage `json:"instance,omitempty"`
}

// do applies an operation and, with a state directory, keeps it. Callers hold
// mu and have checked that it can be applied.
func (s *Simulator) do(op operation) {
	s.apply(op)
	s.journal.append(op)
}

// apply changes the tenant. It is the only way in which live changes happen,
// for a replay as for the first time.
func (s *Simulator) apply(op operation) {
	t := s.tenant
	switch op.Op {
	case "refresh-issued":
		s.grants.refresh[op.Token] = refresh{op.User, op.Time}
	case "refresh-used":
		delete(s.grants.refresh, op.Token)
	case "consent-revoked":
		s.grants.revoke(op.User)
		s.tokens.revoke(t.byUser[op.User])
	case "message", "import-message":
		t.applyMessage(op)
	case "edit":
		if m := t.msgs[op.ID]; m != nil {
			m.text, m.edited = op.Text, op.Time
		}
	case "recall":
		if m := t.msgs[op.ID]; m != nil {
			m.recalled, m.text, m.media, m.reacts = true, "", nil, nil
		}
	case "react":
		if m := t.msgs[op.ID]; m != nil && !m.recalled {
			m.reacts = append(slices.Clone(m.reacts), reaction{op.Text, []string{op.User}, 1})
		}
	case "import-group":
		t.applyImportGroup(op)
	case "retitle":
		if v := t.byConv[op.Conv]; v != nil {
			v.title = op.Text
		}
	case "leave":
		if p := t.byUser[op.User]; p != nil {
			p.left = op.Time
		}
	case "user-title":
		if p := t.byUser[op.User]; p != nil {
			p.title = op.Text
		}
	case "delete-department":
		t.applyDeleteDepartment(op)
	case "folder", "upload":
		t.applyUpload(op)
	case "encrypt-dentry":
		t.applyEncrypt(op)
	case "delete-dentry":
		t.applyDeleteDentry(op)
	case "restore-dentry":
		t.applyRestoreDentry(op)
	case "open-space":
		t.applyOpenSpace(op)
	case "instance":
		t.applyInstance(op)
	}
}

func (t *tenant) applyMessage(op operation) {
	v := t.byConv[op.Conv]
	if v == nil || t.msgs[op.ID] != nil {
		return
	}
	m := &message{id: op.ID, conv: v, ms: op.Time, kind: op.Kind, text: op.Text, sender: t.byUser[op.User]}
	if m.sender == nil {
		m.sender = t.byOpen[op.User] // an import names people outside by their openDingTalkId
	}
	if m.sender == nil {
		m.sender = t.outsider(op.User)
	}
	if q := t.msgs[op.Quote]; q != nil {
		m.quote = quoting(q)
	}
	if op.Media != "" {
		m.media = t.newMedia(op.Media, op.Kind, op.Seed)
	}
	if op.Op == "import-message" {
		t.insert(m)
		t.imported[op.Token] = m.id
	} else {
		t.add(m)
	}
}

func (t *tenant) applyImportGroup(op operation) {
	var members []*person
	for _, u := range op.Users {
		if p := t.byUser[u]; p != nil {
			members = append(members, p)
		}
	}
	v := t.newConversation("import:"+op.Token, 0, op.Text, members)
	v.created = op.Time
	t.imported[op.Token] = v.id
}

// journal is the state directory's list of operations, one JSON object a line.
type journal struct{ f *os.File }

func (j *journal) append(op operation) {
	if j == nil {
		return
	}
	// A simulator that cannot keep its state is of no use to a test of
	// restarts: better to stop than to go on differently.
	if _, err := j.f.Write(append(mustJSON(op), '\n')); err != nil {
		panic("simulator: keep state: " + err.Error())
	}
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.f.Close()
}

// openJournal replays the operations of earlier runs and goes on appending.
func (s *Simulator) openJournal(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "operations.ndjson"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	good := int64(0)
	rd := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := rd.ReadBytes('\n')
		if err != nil {
			break // a last line without its end was cut by a crash: it never happened
		}
		var op operation
		if err := json.Unmarshal(line, &op); err != nil {
			f.Close()
			return fmt.Errorf("read state at byte %d: %w", good, err)
		}
		s.apply(op)
		good += int64(len(line))
	}
	if err := f.Truncate(good); err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	if _, err := f.Seek(good, 0); err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	s.journal = &journal{f}
	return nil
}

// newID is an id for something made live: unlike generated ids it is random,
// for two runs that continue one seed must not make the same one twice.
func (s *Simulator) newID(prefix string) string {
	return prefix + base64.RawURLEncoding.EncodeToString([]byte(secret(""))[:16])
}
