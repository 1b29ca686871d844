package policy

import "farol/internal/record"

// RoleMember is what the log calls a member of the company who reads his own.
// It is no preset: no account has it.
const RoleMember = "member"

// OwnKinds are the kinds of which something can be a member's own.
var OwnKinds = []record.Kind{record.Chat, record.Files, record.Approvals}

// Names are the person keys under which a member's records of a kind stand.
// They are kept apart by kind, because DingTalk names people by another sort of
// key in each, and one of them is chosen by the company's administrators.
type Names map[record.Kind][]string

// Member is the subject of a member of the company at his own records. ref is
// how the log names him. Of a kind in which he has no name he reaches nothing.
//
// Whose a record is decides alone: its class, its closed circle and its
// department keep others out, not him who wrote it (ADR 0010).
func Member(ref string, names Names) Subject {
	s := Subject{Account: ref, Role: RoleMember}
	for _, k := range OwnKinds {
		s.Grants = append(s.Grants, Grant{All: true, Kinds: []record.Kind{k}, Class: record.Secret, Realms: record.AllRealms, Private: true,
			Own: true, Names: names[k], Actions: []Action{Read, Search, Export}, Purposes: []Purpose{Self}})
	}
	return s
}
