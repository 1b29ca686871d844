package simulator

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// addChatsFromFile turns real conversations into groups: every row becomes
// exactly one message. Rows keep their time; rows without one lie a minute
// apart, each conversation somewhere in the last 300 days.
func (t *tenant) addChatsFromFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open chats: %w", err)
	}
	defer f.Close()
	rd := bufio.NewReaderSize(f, 1<<20)
	if magic, err := rd.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b { // gzipped, or plain
		zr, err := gzip.NewReader(rd)
		if err != nil {
			return fmt.Errorf("read chats: %w", err)
		}
		rd = bufio.NewReaderSize(zr, 1<<20)
	}
	groups := map[string]*conversation{}
	all := t.working()
	for line := 1; ; line++ {
		raw, err := rd.ReadSlice('\n')
		if err == io.EOF && len(raw) == 0 {
			break
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read chats line %d: %w", line, err)
		}
		var row struct {
			Conversation, Sender, Text string
			Time                       time.Time
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			return fmt.Errorf("line %d of the chats is not the JSON object that every line must be; nothing was taken from the file: %w", line, err)
		}
		v := groups[row.Conversation]
		if v == nil {
			v = t.groupForFile(row.Conversation, len(groups), all)
			groups[row.Conversation] = v
		}
		ms := row.Time.UnixMilli()
		if row.Time.IsZero() {
			ms = v.created + int64(len(v.msgs)+1)*60000
		} else if len(v.msgs) == 0 {
			v.created = ms
		}
		t.add(&message{id: fileMessageID(t.seed, line), conv: v, ms: ms, sender: t.senderNamed(row.Sender, v), kind: "text", text: row.Text})
	}
	return nil
}

func fileMessageID(seed uint64, line int) string {
	var b [12]byte
	x := (seed*0x9e3779b97f4a7c15 ^ uint64(line)) * 0xbf58476d1ce4e5b9
	binary.BigEndian.PutUint64(b[:], x^x>>29)
	binary.BigEndian.PutUint32(b[8:], uint32(line))
	return "msg" + base64.RawURLEncoding.EncodeToString(b[:]) + "=="
}

// groupForFile is a group that the head of a department owns, with the
// administrator and a few others, so that the disaster can strike it.
func (t *tenant) groupForFile(title string, n int, all []*person) *conversation {
	d := t.depts[1+n%(len(t.depts)-1)]
	members := slices.Clone(t.staff(d.id))
	if len(members) == 0 {
		members = []*person{t.admin}
		d = t.byDept[t.admin.depts[len(t.admin.depts)-1]]
	}
	members = append(members, t.admin)
	for i := range 4 {
		members = append(members, all[(n*7+i*31)%len(all)])
	}
	v := t.newConversation("file:"+title, n, title, members)
	v.dept, v.created = d.id, t.epoch.Add(-300*24*time.Hour+time.Duration(n%298)*24*time.Hour).UnixMilli()
	if d.group == nil {
		d.group = v
	}
	return v
}

// senderNamed is the member of the roster with this name, or an outsider.
func (t *tenant) senderNamed(name string, v *conversation) *person {
	if p := t.outside[name]; p != nil {
		return p
	}
	for _, p := range v.members {
		if p.name == name {
			return p
		}
	}
	return t.outsider(name)
}
