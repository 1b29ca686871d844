package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
)

// Eyes are the other people that an act may need.
type Eyes struct {
	Approvals *approval.Book
	Access    *access.Book
}

// Asked is what others agree to: a selection for a purpose.
type Asked struct {
	Selection Selection
	Purpose   policy.Purpose
}

// ReadAsked reads the payload of a request of ours.
func ReadAsked(payload []byte) (a Asked, err error) {
	if err = json.Unmarshal(payload, &a); err != nil {
		return a, fmt.Errorf("read what was asked for: %w", err)
	}
	return a, nil
}

// Unagreed means that others have to agree first. Payload is what they would
// agree to; the act is tried again with [Request.Approval].
type Unagreed struct {
	What    approval.What
	Need    int
	Class   record.Class
	Payload []byte
	One     *One // what is asked for is this one record
}

// One is a record as those read of it who decide on it: nothing of its content.
type One struct {
	Hit       catalog.Hit
	Container catalog.ContainerInfo
}

func (u *Unagreed) Error() string { return fmt.Sprintf("%d others have to agree first", u.Need) }

// machine is the role of root on the appliance itself, who holds the key and
// needs nobody; each act is in the log.
const machine = "machine"

// need is how many others have to agree. Where fewer others may decide than
// the class asks for, all of them are enough; where there is nobody else, the
// act goes on alone and its entry says so.
func (d *Door) need(ctx context.Context, rq Request, a policy.Action, class record.Class) (need int, alone bool, err error) {
	want := policy.Eyes(a, class)
	if want == 0 || rq.Subject.Role == machine || d.d.Eyes.Access == nil {
		return 0, false, nil
	}
	names, err := d.d.Eyes.Access.Approvers(ctx, d.d.Now())
	if err != nil {
		return 0, false, err
	}
	others := 0
	for _, n := range names {
		if !strings.EqualFold(n, rq.Subject.Account) {
			others++
		}
	}
	return min(want, others), others == 0, nil
}

// agreed sees to it that others have agreed to a selection where they must. It
// returns [*Unagreed] when they have yet to, and takes their agreement when
// they have.
func (d *Door) agreed(ctx context.Context, rq Request, a policy.Action, sel Selection) (detail map[string]string, err error) {
	scope, err := d.allow(ctx, rq, a)
	if err != nil || !rq.Fresh {
		return nil, nil // refused, and entered, by enter
	}
	if scope, err = d.narrow(ctx, scope, sel); err != nil {
		return nil, nil //nolint:nilerr // the caller meets it again behind the entry
	}
	class, one, err := d.highest(ctx, scope, sel)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	need, alone, err := d.need(ctx, rq, a, class)
	switch {
	case err != nil:
		return nil, err
	case alone:
		return map[string]string{"four_eyes": "alone"}, nil
	case need == 0:
		return nil, nil
	}
	payload, err := json.Marshal(Asked{sel, rq.Purpose})
	if err != nil {
		return nil, fmt.Errorf("write down a selection: %w", err)
	}
	what := approval.Export
	if a == policy.Restore {
		what = approval.Restore
	}
	if rq.Approval == "" {
		return nil, &Unagreed{What: what, Need: need, Class: class, Payload: payload, One: one}
	}
	return nil, d.d.Eyes.Approvals.Use(ctx, rq.Approval, rq.Subject.Account, what, need, payload)
}

// highest is the highest class in a selection, with its record where it is one.
func (d *Door) highest(ctx context.Context, scope record.Scope, sel Selection) (record.Class, *One, error) {
	if sel.Record == 0 {
		class, err := d.d.Catalog.Highest(ctx, scope, sel.AsOf, sel.From, sel.To)
		return class, nil, err
	}
	hit, err := d.d.Catalog.Get(ctx, scope, sel.Record, sel.AsOf)
	if err != nil {
		return 0, nil, err
	}
	info, err := d.container(ctx, scope, hit.Container, sel.AsOf)
	return hit.Class, &One{hit, info}, err
}

// agreedToTake sees to it that others have agreed before a confidential record
// or an attachment of it is taken away: one by one is an export too. What is
// not confidential is taken with a fresh code alone.
func (d *Door) agreedToTake(ctx context.Context, rq Request, id int64) (detail map[string]string, err error) {
	scope, err := d.allow(ctx, rq, policy.Export)
	if err != nil {
		return nil, nil //nolint:nilerr // refused, and entered, by enter
	}
	hit, err := d.d.Catalog.Get(ctx, scope, id, 0)
	if err != nil || hit.Class < record.Confidential {
		return nil, nil //nolint:nilerr // the caller meets it again behind the entry
	}
	return d.agreed(ctx, rq, policy.Export, Selection{Record: id})
}
