package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
	"farol/internal/web"
)

// openSender makes the sender when a node is enrolled.
func (a *Appliance) openSender(ctx context.Context) error {
	var p replica.Peer
	ok, err := a.settings.GetJSON(ctx, settings.OffsiteID, &p)
	if err != nil || !ok {
		return err
	}
	return a.setSender(ctx, p)
}

func (a *Appliance) setSender(ctx context.Context, p replica.Peer) error {
	c, err := replica.NewClient(p)
	if err != nil {
		return err
	}
	limit, err := a.settings.OffsiteLimit(ctx)
	if err != nil {
		return err
	}
	transfer, err := a.settings.OffsiteTransfer(ctx)
	if err != nil {
		return err
	}
	s := replica.NewSender(c, a.log, nil)
	s.SetLimit(replica.Limit(limit))
	s.SetTransfer(transfer)
	s.OnSuperseded(a.superseded)
	s.OnRefused(func(ctx context.Context, err error) { a.refused(ctx, audit.NodeWitness, err) })
	s.OnBranch(func(ctx context.Context, files int) {
		_, err := a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "replication.failover", Object: "node", Outcome: "ok", Detail: map[string]string{"what": "earlier moment", "files": strconv.Itoa(files)}})
		if err != nil {
			a.log.ErrorContext(ctx, "note what the node holds of another history", "err", err)
		}
	})
	s.OnHealed(func(ctx context.Context, files int) {
		_, err := a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "integrity.heal", Object: "node", Outcome: "ok", Detail: map[string]string{"what": "off-site", "files": strconv.Itoa(files)}})
		if err != nil {
			a.log.ErrorContext(ctx, "note what was sent to the node again", "err", err)
		}
	})
	a.mu.Lock()
	a.sender = s
	a.mu.Unlock()
	return nil
}

// LimitOffsite keeps how fast the node is sent to, and does so from now on.
func (a *Appliance) LimitOffsite(ctx context.Context, l settings.OffsiteLimit) error {
	if err := a.settings.SetOffsiteLimit(ctx, l); err != nil {
		return err
	}
	if s := a.currentSender(); s != nil {
		s.SetLimit(replica.Limit(l))
	}
	if w := a.currentWitness(); w != nil {
		w.SetLimit(replica.Limit(l))
	}
	return nil
}

// TransferOffsite keeps where the node lies and what lets the bytes leave for it.
// While that is incomplete nothing is sent.
func (a *Appliance) TransferOffsite(ctx context.Context, by string, t record.Transfer) error {
	if err := a.transferEntry(ctx, by, "node", t); err != nil {
		return err
	}
	if err := a.settings.SetOffsiteTransfer(ctx, t); err != nil {
		return err
	}
	if s := a.currentSender(); s != nil {
		s.SetTransfer(t)
	}
	return nil
}

// TransferCopy does the same for a storage place.
func (a *Appliance) TransferCopy(ctx context.Context, by, id string, t record.Transfer) error {
	p := a.place(id)
	if p == nil || p.Config().Retired {
		return &i18n.Error{ID: "place.unknown"}
	}
	if err := a.transferEntry(ctx, by, "place/"+id, t); err != nil {
		return err
	}
	cfg := p.Config()
	cfg.Transfer = t
	if err := a.keepPlace(ctx, cfg); err != nil {
		return err
	}
	p.SetTransfer(t)
	return nil
}

func (a *Appliance) transferEntry(ctx context.Context, by, object string, t record.Transfer) error {
	_, err := a.audit.Append(context.WithoutCancel(ctx), audit.Event{Actor: by, Operation: "replication.policy.change", Object: object, Outcome: "ok",
		Detail: map[string]string{"country": t.Country, "basis": t.Basis, "filing": t.Filing, "filed": t.Filed, "until": t.Until}})
	return err
}

func (a *Appliance) currentSender() *replica.Sender {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sender
}

func (a *Appliance) appended(file string, off int64, b []byte) {
	if s := a.currentSender(); s != nil {
		s.Appended(file, off, b)
	}
}

func (a *Appliance) wakeSender() {
	if s := a.currentSender(); s != nil {
		s.Wake()
	}
}

// haltSender ends what is shipped now.
func (a *Appliance) haltSender() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
}

// runSender ships until ctx ends or another node is enrolled.
func (a *Appliance) runSender() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sender == nil || a.sendersCtx == nil {
		return
	}
	if a.stop != nil {
		a.stop()
	}
	ctx, cancel := context.WithCancel(a.sendersCtx)
	a.stop = cancel
	s := a.sender
	go func() { // ends with sendersCtx
		if err := s.Run(ctx, a.archive, a.audit); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "off-site copy", "err", err)
		}
	}()
}

// Enrol makes this appliance known to an off-site node.
func (a *Appliance) Enrol(ctx context.Context, address, code string) error {
	var witness replica.Peer
	if _, err := a.settings.GetJSON(ctx, settings.WitnessID, &witness); err != nil {
		return err
	}
	a.haltSender() // its certificate ends here, which it would take for a take-over
	p, _, err := replica.Enrol(ctx, address, code, replica.Enrolment{Archive: a.archive.ID(), Epoch: a.archive.Epoch(), LogKey: a.logKey, Other: witness.NodeCert})
	if err != nil {
		a.runSender()
		return notEnrolled(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := a.settings.SetAll(ctx, map[string]string{settings.OffsiteURL: p.Address}, map[string]string{settings.OffsiteID: string(b)}); err != nil {
		return err
	}
	if err := a.setSender(ctx, p); err != nil {
		return err
	}
	a.archive.SetOffsite(true)
	a.runSender()
	_, err = a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "node.enrol", Object: "node", Outcome: "ok"})
	return err
}

// notEnrolled says why a node was not enrolled with.
func notEnrolled(err error) error {
	for id, target := range map[string]error{"offsite.superseded": replica.ErrSuperseded, "offsite.takingover": replica.ErrTakingOver, "offsite.code": replica.ErrCode, "offsite.impostor": replica.ErrImpostor, "offsite.conflict": replica.ErrConflict, "offsite.noanswer": replica.ErrNode,
		"offsite.old": replica.ErrTooOld, "offsite.node.old": replica.ErrNodeTooOld, "witness.same": replica.ErrSameNode} {
		if errors.Is(err, target) {
			return &i18n.Error{ID: id, Err: err}
		}
	}
	return &i18n.Error{ID: "problem.other", Err: err}
}

// superseded ends writing: another appliance has taken over, and what this one
// still took in nobody would ever see. Reading and the log go on.
func (a *Appliance) superseded(ctx context.Context) {
	if a.archive.Frozen() {
		return
	}
	a.archive.Freeze()
	a.log.ErrorContext(ctx, "another appliance has taken over: this one takes nothing in any more")
	err := a.settings.Set(ctx, map[string]string{settings.Superseded: time.Now().UTC().Format(time.RFC3339)})
	if err == nil {
		_, err = a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "replication.failover", Object: "node", Outcome: "ok", Detail: map[string]string{"what": "superseded"}})
	}
	if err != nil {
		a.log.ErrorContext(ctx, "note that another appliance has taken over", "err", err)
	}
}

// Offsite tells how the off-site copy stands.
func (a *Appliance) Offsite(ctx context.Context) web.Offsite {
	s := a.currentSender()
	if s == nil {
		return web.Offsite{Superseded: a.archive.Frozen()}
	}
	st := s.Status()
	o := web.Offsite{Set: true, Connected: st.Connected, Address: a.peerAddress(ctx, settings.OffsiteURL), Problem: nodeProblem(st.Err), Lag: st.Lag, BehindBytes: st.Behind, LastAck: st.LastAck, CheckpointSize: st.Checkpoint, Verified: st.Verified, VerifiedFiles: st.VerifiedFiles, Damaged: st.Damaged, SlowKbit: st.SlowKbit, SlowUntil: st.SlowUntil}
	if a.archive.Frozen() { // whether or not the node answers
		o.Superseded, o.Problem = true, "offsite.superseded"
	}
	return o
}

// nodeProblem is the message that says why nothing is sent to a node, "" when
// something is.
func nodeProblem(err error) string {
	if err == nil {
		return ""
	}
	for id, target := range map[string]error{"offsite.superseded": replica.ErrSuperseded, "offsite.takingover": replica.ErrTakingOver, "offsite.stranger": replica.ErrStranger, "offsite.impostor": replica.ErrImpostor, "offsite.rolledback": replica.ErrRolledBack, "offsite.full": replica.ErrNodeFull, "offsite.conflict": replica.ErrConflict, "offsite.gate": replica.ErrGate,
		"offsite.quota": replica.ErrQuota, "offsite.old": replica.ErrTooOld, "offsite.node.old": replica.ErrNodeTooOld} {
		if errors.Is(err, target) {
			return id
		}
	}
	return "offsite.unreachable"
}

// final are the reasons for which the node takes nothing until a person has
// done something.
var final = []error{replica.ErrSuperseded, replica.ErrStranger, replica.ErrImpostor, replica.ErrRolledBack, replica.ErrNodeFull, replica.ErrQuota, replica.ErrConflict, replica.ErrGate}

// patience is how long a final reason stands before it is believed: a sender
// that has just begun may still get over it.
const patience = 3 * time.Second

// caughtUp waits until the node holds everything there is now. What no waiting
// mends ends it.
func (a *Appliance) caughtUp(ctx context.Context) error {
	s := a.currentSender()
	if s == nil {
		return errors.New("no off-site node is enrolled")
	}
	from := time.Now()
	good := from // when there was no final reason
	for {
		st := s.Status()
		if st.Connected && st.LastAck.After(from) && st.Lag == 0 {
			return nil
		}
		if !slices.ContainsFunc(final, func(e error) bool { return errors.Is(st.Err, e) }) {
			good = time.Now()
		} else if o := a.Offsite(ctx); o.Problem != "" && time.Since(good) > patience {
			return &i18n.Error{ID: o.Problem}
		}
		s.Wake()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
