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
	Audit     Action = "audit"   // read and export the audit log
	Accounts  Action = "accounts"
)

// Grant is a permission: departments × kinds × highest class × actions ×
// purposes, until a time.
type Grant struct {
	Depts    []int64 // with all below them; nil with All
	All      bool
	Kinds    []record.Kind
	Class    record.Class
	Private  bool // 1:1 conversations, for a legal purpose only
	Custody  bool // 1:1 conversations for every purpose: the machine's custodian, who moves records without reading them
	Actions  []Action
	Purposes []Purpose
	Until    time.Time // zero: no end
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

// Purposes lists them in the order of the page.
var Purposes = []Purpose{Recovery, Investigation, Dispute, Handover, Request, Verification}

// Legal reports whether 1:1 conversations may be opened for the purpose.
func (p Purpose) Legal() bool { return p == Investigation || p == Dispute || p == Request }

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

// Roles are the presets. "owner" is the account that claimed the appliance:
// it may do everything, and everything it reads is in the audit log. "it" runs
// the machine and never sees content.
var Roles = map[string][]Grant{
	"owner": {{All: true, Kinds: record.Kinds, Class: record.Secret, Private: true, Purposes: Purposes,
		Actions: []Action{Operate, Configure, Read, Search, Export, Restore, Audit, Accounts}}},
	"it":      {{All: true, Actions: []Action{Operate, Configure, Accounts}}},
	"auditor": {{All: true, Actions: []Action{Audit, Operate}}},
	"legal": {{All: true, Kinds: record.Kinds, Class: record.Confidential, Private: true,
		Purposes: []Purpose{Investigation, Dispute, Request, Verification}, Actions: []Action{Read, Search, Export, Audit}}},
}

// Machine is what root on the appliance itself may do with the command line:
// everything, for it holds the key anyway. Each act is in the audit log.
var Machine = []Grant{{All: true, Kinds: record.Kinds, Class: record.Secret, Private: true, Custody: true, Purposes: Purposes,
	Actions: []Action{Operate, Configure, Read, Search, Export, Restore, Audit, Accounts}}}

// May reports whether the subject may do something at all.
func May(s Subject, a Action, now time.Time) bool {
	return slices.ContainsFunc(s.Grants, func(g Grant) bool { return g.live(now) && slices.Contains(g.Actions, a) })
}

func (g Grant) live(now time.Time) bool { return g.Until.IsZero() || now.Before(g.Until) }

// Allow answers the scope inside which the subject may do a content action for
// a purpose. It returns [ErrPurpose] or [ErrDenied] when there is none.
// expand gives a department with all below it.
func Allow(s Subject, a Action, p Purpose, now time.Time, expand func([]int64) []int64) (record.Scope, error) {
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
		// Grants are not joined: the widest that applies is used, so that a
		// class of one grant never meets the departments of another.
		sc := record.Scope{All: g.All, Kinds: g.Kinds, Class: g.Class, Private: g.Private && p.Legal() || g.Custody}
		if !g.All {
			sc.Depts = expand(g.Depts)
		}
		if out.Nothing() || sc.All && !out.All || sc.All == out.All && len(sc.Depts) > len(out.Depts) {
			out = sc
		}
	}
	if out.Nothing() {
		return record.Scope{}, ErrDenied
	}
	return out, nil
}
