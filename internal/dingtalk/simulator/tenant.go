package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tenant is the organisation's whole state. Whatever changes it after the
// start goes through operations, so that a state directory can replay it.
type tenant struct {
	seed     uint64
	epoch    time.Time
	corpID   string
	corpName string

	people    []*person // roster in order of hiring; those who left stay, marked
	byUser    map[string]*person
	byUnion   map[string]*person
	byOpen    map[string]*person
	outside   map[string]*person // external senders by name
	admin     *person
	depts     []*department // parents before children
	byDept    map[int64]*department
	roles     []roleGroup
	convs     []*conversation // in order of creation; deleted ones are removed
	byConv    map[string]*conversation
	byChat    map[string]*conversation
	msgs      map[string]*message
	media     map[string]*media
	spaces    []*space
	bySpace   map[string]*space
	byUUID    map[string]*dentry
	bin       []*recycled
	forms     []*form
	insts     []*instance // in order of creation
	byInst    map[string]*instance
	attached  map[string]*content // approval attachments by fileId
	imported  map[string]string   // importUuid to what it made
	nextID    int64
	toShare   int // files still to be announced in chats
	shareOdds float64
}

type department struct {
	id, parent int64
	name       string
	brief      string
	order      int64
	group      *conversation
	managers   []string
	removed    bool
}

type person struct {
	userID, unionID, openID string
	name, title, language   string
	avatar, mobile, email   string
	jobNumber               string
	depts                   []int64
	leads                   []int64
	hired                   int64
	admin, boss             bool
	external                bool
	left                    int64 // epoch ms; 0 while employed
	roles                   []int64
	convs                   []*conversation
}

func (p *person) gone() bool { return p == nil || p.left != 0 }

func buildTenant(opt Options, epoch time.Time) (*tenant, error) {
	t := &tenant{
		seed: opt.Seed, epoch: epoch,
		corpID:   "ding" + fmt.Sprintf("%032x", digest(opt.Seed, "corp"))[:31],
		corpName: "濠江貿易有限公司 / Hou Kong Trading Lda.",
		byUser:   map[string]*person{}, byUnion: map[string]*person{}, byOpen: map[string]*person{}, outside: map[string]*person{},
		byDept: map[int64]*department{}, byConv: map[string]*conversation{}, byChat: map[string]*conversation{},
		msgs: map[string]*message{}, media: map[string]*media{}, bySpace: map[string]*space{}, byUUID: map[string]*dentry{},
		byInst: map[string]*instance{}, attached: map[string]*content{}, imported: map[string]string{},
		nextID: 183746500000 + int64(opt.Seed%1000)*1000000,
	}
	if t.toShare = 260; opt.BigDepartment {
		t.toShare = 500
	}
	t.addDepartments()
	t.addPeople(opt.People)
	if opt.ChatsFile != "" {
		if err := t.addChatsFromFile(opt.ChatsFile); err != nil {
			return nil, err
		}
	} else {
		t.addGroups(opt)
		t.addMessages(opt)
	}
	t.addFiles(opt)
	t.addApprovals()
	return t, nil
}

// id hands out the decimal ids of dentries, spaces and tasks.
func (t *tenant) id() string {
	t.nextID += 7
	return strconv.FormatInt(t.nextID, 10)
}

// user returns an employee who has not left.
func (t *tenant) user(userID string) *person {
	if p := t.byUser[userID]; p != nil && !p.gone() {
		return p
	}
	return nil
}

// union returns the operator that a unionId names.
func (t *tenant) union(unionID string) *person {
	if p := t.byUnion[unionID]; p != nil && !p.gone() {
		return p
	}
	return nil
}

// children lists the departments below id.
func (t *tenant) children(id int64) []*department {
	var out []*department
	for _, d := range t.depts {
		if d.parent == id && !d.removed && d.id != 1 {
			out = append(out, d)
		}
	}
	return out
}

// subtree is a department and all below it.
func (t *tenant) subtree(id int64) []int64 {
	out := []int64{id}
	for _, d := range t.children(id) {
		out = append(out, t.subtree(d.id)...)
	}
	return out
}

// staff lists the employees directly in a department.
func (t *tenant) staff(id int64) []*person {
	var out []*person
	for _, p := range t.people {
		if !p.gone() && slices.Contains(p.depts, id) {
			out = append(out, p)
		}
	}
	return out
}

// digest is the root of every generated id: it depends on the seed, a label
// and a counter and on nothing else.
func digest(seed uint64, label string, n ...int) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, seed)
	b = append(b, label...)
	for _, v := range n {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return sha256.Sum256(b)
}

// newRand is a generator of its own for one thing, so that changing how one
// thing is made does not change the others.
func newRand(seed uint64, label string, n ...int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(label))
	for _, v := range n {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(v)))
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// token64 is n bytes of a digest as the base64 text of a DingTalk id, without
// "/" because some ids stand in paths.
func token64(n int, seed uint64, label string, k ...int) string {
	d := digest(seed, label, k...)
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(d[:n]), "/", "x")
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
