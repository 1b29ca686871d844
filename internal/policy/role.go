package policy

import (
	"slices"
	"time"

	"farol/internal/record"
)

// Role is a preset. Grants are what everybody of the role has; Template is
// what a person of it is given for departments, and until a time, that are
// chosen for the person.
type Role struct {
	Name     string
	Grants   []Grant
	Template *Grant
	Longest  time.Duration // the template's longest term, 0 = no end needed
}

// Roles are the presets, in the order of the pages.
//
// "owner" is the account that claimed the appliance: it may do everything, and
// everything it reads is in the audit log. "it" runs the machine and never sees
// content. "hr" sees the personnel circle and nothing else; nobody else but the
// owner sees that circle. "manager" is who is named for finance.
var Roles = []Role{
	{Name: "owner", Grants: []Grant{{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true, Purposes: Purposes, Actions: Actions}}},
	{Name: "it", Grants: []Grant{{All: true, Actions: []Action{Operate, Configure, Accounts}}}},
	{Name: "legal", Grants: []Grant{
		{All: true, Kinds: record.Kinds, Class: record.Confidential, Private: true,
			Purposes: []Purpose{Investigation, Dispute, Request, Verification}, Actions: []Action{Read, Search, Export}},
		{All: true, Actions: []Action{Approve, Audit}}},
		// for one case: what it needs beyond, also of closed circles
		Template: &Grant{Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true,
			Purposes: []Purpose{Investigation, Dispute, Request}, Actions: []Action{Read, Search, Export}}, Longest: 180 * 24 * time.Hour},
	{Name: "manager", Grants: []Grant{{All: true, Actions: []Action{Operate, Approve}}},
		Template: &Grant{Kinds: record.Kinds, Class: record.Confidential, Realms: record.Finance,
			Purposes: []Purpose{Recovery, Investigation, Dispute, Handover}, Actions: []Action{Read, Search, Export, Restore}}},
	{Name: "auditor", Grants: []Grant{{All: true, Actions: []Action{Audit, Operate}}}},
	{Name: "hr", Template: &Grant{Kinds: record.Kinds, Class: record.Confidential, Realms: record.Personnel,
		Purposes: []Purpose{Investigation, Dispute, Handover, Request}, Actions: []Action{Read, Search, Export}}},
	{Name: "head", Template: &Grant{Kinds: []record.Kind{record.Chat, record.Files, record.Approvals}, Class: record.Confidential,
		Purposes: []Purpose{Recovery, Handover}, Actions: []Action{Read, Search, Restore}}},
	{Name: "reader", Template: &Grant{Kinds: []record.Kind{record.Chat, record.Files}, Class: record.Internal,
		Purposes: []Purpose{Handover}, Actions: []Action{Read, Search}}, Longest: 90 * 24 * time.Hour},
}

// Machine is what root on the appliance itself may do with the command line:
// everything, for it holds the key anyway. Each act is in the audit log.
var Machine = []Grant{{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true, Custody: true, Purposes: Purposes, Actions: Actions}}

// RoleOf finds a preset.
func RoleOf(name string) (Role, bool) {
	i := slices.IndexFunc(Roles, func(r Role) bool { return r.Name == name })
	if i < 0 {
		return Role{}, false
	}
	return Roles[i], true
}

// GrantsOf is what everybody of a role has; nothing for a role that is none.
func GrantsOf(role string) []Grant {
	r, _ := RoleOf(role)
	return r.Grants
}

// Eyes is how many others have to agree to a content action on records of a
// class: exports of confidential records need two, other exports and giving
// back into DingTalk one. Reading needs none.
func Eyes(a Action, class record.Class) int {
	switch {
	case a == Export && class >= record.Confidential:
		return 2
	case a == Export || a == Restore:
		return 1
	}
	return 0
}
