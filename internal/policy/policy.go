// Package policy decides: how secret a record is, and who may do what to it
// for which purpose. It only decides; it reads no content of its own accord,
// opens no archive and writes no log.
package policy

import (
	"errors"
	"slices"
	"time"

	"farol/internal/record"
)

// Action is something a person may be allowed to do.
type Action string

// The actions.
const (
	Operate   Action = "operate"   // run and watch backups, health, counts; no content
	Configure Action = "configure" // scope, tenant, storage, off-site
	Read      Action = "read"      // open records
	Search    Action = "search"
	Export    Action = "export"  // take records out of the appliance
	Restore   Action = "restore" // put records back into DingTalk
	Approve   Action = "approve" // decide on what others ask for
	Audit     Action = "audit"   // read and export the audit log
	Accounts  Action = "accounts"
)

// Actions lists them in the order of the tables.
var Actions = []Action{Operate, Configure, Read, Search, Export, Restore, Approve, Audit, Accounts}

// Content reports whether the action opens content: it then needs a purpose
// and happens inside a scope.
func (a Action) Content() bool { return a == Read || a == Search || a == Export || a == Restore }

// Grant is a permission: departments × kinds × highest class × closed circles
// × actions × purposes, until a time.
type Grant struct {
	Depts    []int64       `json:"depts,omitempty"` // with all below them; nil with All
	All      bool          `json:"all,omitempty"`
	Kinds    []record.Kind `json:"kinds,omitempty"`
	Class    record.Class  `json:"class"`
	Realms   record.Realms `json:"realms,omitempty"`  // closed circles that are open to it
	Private  bool          `json:"private,omitempty"` // 1:1 conversations, for a legal purpose only
	Custody  bool          `json:"-"`                 // 1:1 conversations for every purpose: the machine's custodian, who moves records without reading them
	Actions  []Action      `json:"actions"`
	Own      bool          `json:"-"` // only records of Names: a member's, see [Member]
	Names    []string      `json:"-"` // person keys of one person
	Purposes []Purpose     `json:"purposes,omitempty"`
	Until    time.Time     `json:"until,omitzero"` // zero: no end
}

// Purpose is why content is opened.
type Purpose string

// The purposes that the purpose bar offers.
const (
	Investigation Purpose = "investigation"
	Dispute       Purpose = "dispute"
	Handover      Purpose = "handover"
	Request       Purpose = "request" // by the person concerned
	Recovery      Purpose = "recovery"
	Verification  Purpose = "verification"
)

// Self is the purpose of a member of the company who reads what is his own. No
// account declares it: it is not among [Purposes].
const Self Purpose = "self"

// Purposes lists them in the order of the page.
var Purposes = []Purpose{Recovery, Investigation, Dispute, Handover, Request, Verification}

// Legal reports whether 1:1 conversations may be opened for the purpose.
func (p Purpose) Legal() bool {
	return p == Investigation || p == Dispute || p == Request || p == Self
}

// Subject is the person who asks.
type Subject struct {
	Account string
	Role    string
	Grants  []Grant
}

// ErrDenied means that no grant covers the request.
var ErrDenied = errors.New("not permitted")

// ErrPurpose means that content was asked for without a purpose.
var ErrPurpose = errors.New("a purpose is needed to read content")

// May reports whether the subject may do something at all.
func May(s Subject, a Action, now time.Time) bool {
	return slices.ContainsFunc(s.Grants, func(g Grant) bool { return g.live(now) && slices.Contains(g.Actions, a) })
}

// live reports whether the grant has not ended.
func (g Grant) live(now time.Time) bool { return g.Until.IsZero() || now.Before(g.Until) }

// Org is the organisation as far as a decision looks at it.
type Org struct {
	Below   func([]int64) []int64     // departments with all below them
	Circles map[record.Realms][]int64 // departments that belong to a closed circle, besides those whose names say so
}

func (o Org) closed(realms record.Realms) []int64 {
	var ids []int64
	for realm, depts := range o.Circles {
		if realm&realms != 0 {
			ids = append(ids, depts...)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return o.Below(ids)
}

// Allow answers the scope inside which the subject may do a content action for
// a purpose. It returns [ErrPurpose] or [ErrDenied] when there is none.
//
// Each grant is an alternative of its own: the class of one never meets the
// departments of another.
func Allow(s Subject, a Action, p Purpose, now time.Time, org Org) (record.Scope, error) {
	if !May(s, a, now) {
		return record.Scope{}, ErrDenied
	}
	if p == "" {
		return record.Scope{}, ErrPurpose
	}
	var out record.Scope
	for _, g := range s.Grants {
		if !g.live(now) || !slices.Contains(g.Actions, a) || !slices.Contains(g.Purposes, p) {
			continue
		}
		sc := record.Scope{All: g.All, Kinds: g.Kinds, Class: g.Class, Realms: g.Realms, Private: g.Private && p.Legal() || g.Custody, Own: g.Own, Authors: g.Names}
		if !g.All {
			sc.Depts = org.Below(g.Depts)
		}
		sc.Except = org.closed(record.AllRealms &^ g.Realms)
		if !sc.Nothing() {
			out = out.With(sc)
		}
	}
	if out.Nothing() {
		return record.Scope{}, ErrDenied
	}
	return out, nil
}
