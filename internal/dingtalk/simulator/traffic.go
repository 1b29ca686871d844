package simulator

import (
	"context"
	"encoding/base64"
	"time"
)

// Traffic plays live use until ctx ends: perSecond actions, mostly messages,
// sometimes an edit, a recall, a reaction, a picture, a file or an approval.
func (s *Simulator) Traffic(ctx context.Context, perSecond float64) error {
	if perSecond <= 0 {
		return nil
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ctx.Done():
			return nil
		case <-tick.C:
			s.mu.Lock()
			s.act()
			s.mu.Unlock()
		}
	}
}

// act does one thing that people do. Callers hold mu.
func (s *Simulator) act() {
	t, r := s.tenant, s.rng
	if len(t.convs) == 0 {
		return
	}
	v := pick(r, t.convs)
	who := pick(r, v.members)
	if who.gone() {
		return
	}
	var last *message
	if n := len(v.msgs); n > 0 {
		last = v.msgs[n-1]
	}
	switch k := r.IntN(100); {
	case k < 4 && last != nil && !last.recalled && last.kind == "text":
		s.edit(last.id, "")
	case k < 7 && last != nil && !last.recalled:
		s.recall(last.id)
	case k < 12 && last != nil && !last.recalled:
		s.do(operation{Op: "react", ID: last.id, User: who.openID, Text: "👍"})
		s.tellMembers("reaction", last, who, map[string]any{"operator_open_dingtalk_id": who.openID, "reaction_name": "👍", "operation_type": "add"})
	case k < 20:
		s.say(v, who, "image", "", nil)
	case k < 22:
		s.say(v, who, "voice", "", nil)
	case k < 26 && !v.single:
		s.shareFile(v, who)
	case k < 28:
		s.newApproval("")
	case k < 30:
		s.advanceApproval()
	case k < 38 && last != nil && !last.recalled:
		s.say(v, who, "text", liveLine(r), last)
	default:
		s.say(v, who, "text", liveLine(r), nil)
	}
}

// shareFile puts a new file into the group's space and says so.
func (s *Simulator) shareFile(v *conversation, who *person) {
	t := s.tenant
	if v.space == nil {
		s.do(operation{Op: "open-space", Conv: v.id, Space: t.id(), Time: s.now().UnixMilli()})
	}
	name := fileName(s.rng)
	base, ext, _ := cutExt(name)
	if ext == "adoc" {
		ext = "docx"
	}
	op := operation{Op: "upload", ID: t.id(), UUID: s.newID("u"), Space: v.space.id, Parent: "0", Name: base + "." + ext, User: who.unionID, Time: s.now().UnixMilli()}
	op.Data = base64.StdEncoding.EncodeToString(generate(ext, s.rng.Uint64(), base))
	s.do(op)
	d := v.space.dentries[op.ID]
	s.storageEvent("storage_dentry_create", d, who)
	s.say(v, who, "file", "fileName: "+d.name+" fileId: "+d.id+" spaceId: "+v.space.id, nil)
}
