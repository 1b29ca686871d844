package simulator

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"
)

// ransomExt is what an attack adds to the names of the files it encrypts.
const ransomExt = ".lockbit"

// ransom is an attack by a member's machine that synchronises a drive: each
// file gets a new version that nobody can read, under a new name, and a note
// lies beside them.
func (s *Simulator) ransom(b controlBody) (any, error) {
	files, who, err := s.targets(b)
	if err != nil {
		return nil, err
	}
	for _, d := range files {
		s.do(operation{Op: "encrypt-dentry", ID: d.id, Space: d.space.id, User: who.unionID, Name: d.name + ransomExt, Seed: s.rng.Uint64(), Time: s.now().UnixMilli()})
		s.storageEvent("storage_dentry_update", d, who)
	}
	c := &call{s: s}
	if _, err := c.place(files[0].space.root, who, "HOW_TO_DECRYPT_FILES.txt", "", "", []byte("All your files are encrypted.\r\n")); err != nil {
		return nil, err
	}
	return map[string]any{"spaceId": files[0].space.id, "encrypted": len(files)}, nil
}

// massDelete throws a space's files into the recycle bin.
func (s *Simulator) massDelete(b controlBody) (any, error) {
	files, who, err := s.targets(b)
	if err != nil {
		return nil, err
	}
	for _, d := range files {
		s.do(operation{Op: "delete-dentry", ID: d.id, Space: d.space.id, User: who.unionID, Time: s.now().UnixMilli(), Token: s.tenant.id()})
		s.storageEvent("storage_dentry_delete", d, who)
	}
	return map[string]any{"spaceId": files[0].space.id, "deleted": len(files)}, nil
}

// targets are the first Count files (all for 0) of a space that can be
// downloaded, and who strikes. Without a space the one with most files is meant.
func (s *Simulator) targets(b controlBody) ([]*dentry, *person, error) {
	var best []*dentry
	for _, sp := range s.tenant.spaces {
		if b.SpaceID != "" && sp.id != b.SpaceID {
			continue
		}
		var files []*dentry
		for _, d := range sp.order {
			if !d.folder && !d.gone() && d.driver == "DINGTALK" {
				files = append(files, d)
			}
		}
		if len(files) > len(best) {
			best = files
		}
	}
	if len(best) == 0 || b.Count < 0 {
		return nil, nil, errors.New("no such space, or no file in it")
	}
	if b.Count > 0 {
		best = best[:min(b.Count, len(best))]
	}
	who := s.tenant.admin
	if p := s.tenant.user(b.UserID); p != nil {
		who = p
	}
	return best, who, nil
}

func (t *tenant) applyEncrypt(op operation) {
	sp := t.bySpace[op.Space]
	if sp == nil || sp.dentries[op.ID] == nil {
		return
	}
	d := sp.dentries[op.ID]
	last := d.versions[len(d.versions)-1]
	// The length stays near the file's own, as encryption leaves it; the seed
	// is kept instead of the bytes.
	d.versions = append(d.versions, version{last.n + 1, &content{kind: "noise", seed: op.Seed, title: sizeTitle(last.content.length())}, op.User, op.Time})
	d.name, d.modified, d.modifier = op.Name, op.Time, op.User
	sp.modified = max(sp.modified, op.Time)
}

// sizeTitle carries the length of noise where other content has its title.
func sizeTitle(n int64) string { return strconv.FormatInt(n, 10) }

// makeNoise makes bytes like those of an encrypted file.
func makeNoise(r *rand.Rand, size string) []byte {
	n, _ := strconv.Atoi(size)
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}
