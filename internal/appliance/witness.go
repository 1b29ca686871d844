package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
	"farol/internal/web"
)

// The second witness is a node of somebody else's. It gets the audit log alone, and
// runs beside the off-site node: neither waits for the other.

// openWitness makes the link to it when one is enrolled.
func (a *Appliance) openWitness(ctx context.Context) error {
	var p replica.Peer
	ok, err := a.settings.GetJSON(ctx, settings.WitnessID, &p)
	if err != nil || !ok {
		return err
	}
	return a.setWitness(ctx, p)
}

func (a *Appliance) setWitness(ctx context.Context, p replica.Peer) error {
	c, err := replica.NewClient(p)
	if err != nil {
		return err
	}
	limit, err := a.settings.OffsiteLimit(ctx)
	if err != nil {
		return err
	}
	transfer, err := a.settings.WitnessTransfer(ctx)
	if err != nil {
		return err
	}
	w := replica.NewWitness(c, a.log, nil)
	w.SetLimit(replica.Limit(limit))
	w.SetTransfer(transfer)
	w.OnRefused(func(ctx context.Context, err error) { a.refused(ctx, audit.SecondWitness, err) })
	a.mu.Lock()
	a.witness = w
	a.mu.Unlock()
	return nil
}

func (a *Appliance) currentWitness() *replica.Witness {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.witness
}

// haltWitness ends what is shipped to it now.
func (a *Appliance) haltWitness() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopWitness != nil {
		a.stopWitness()
		a.stopWitness = nil
	}
}

// runWitness ships to it until ctx ends or it is removed.
func (a *Appliance) runWitness() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.witness == nil || a.sendersCtx == nil {
		return
	}
	if a.stopWitness != nil {
		a.stopWitness()
	}
	ctx, cancel := context.WithCancel(a.sendersCtx)
	a.stopWitness = cancel
	w := a.witness
	go func() { // ends with sendersCtx
		if err := w.Run(ctx, a.audit); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "second witness", "err", err)
		}
	}()
}

// AddWitness makes this appliance known to a second witness, which lies where t
// says. The one before has to be removed first: nobody is replaced in silence.
func (a *Appliance) AddWitness(ctx context.Context, by, address, code string, t record.Transfer) error {
	if a.currentWitness() != nil {
		return &i18n.Error{ID: "witness.already"}
	}
	var node replica.Peer
	if _, err := a.settings.GetJSON(ctx, settings.OffsiteID, &node); err != nil {
		return err
	}
	if err := a.TransferWitness(ctx, by, t); err != nil { // first: abroad nothing is sent before its papers are there
		return err
	}
	p, _, err := replica.Enrol(ctx, address, code, replica.Enrolment{Archive: a.archive.ID(), Epoch: a.archive.Epoch(), LogKey: a.logKey, Other: node.NodeCert})
	if err != nil {
		return notEnrolled(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := a.settings.SetAll(ctx, map[string]string{settings.WitnessURL: p.Address}, map[string]string{settings.WitnessID: string(b)}); err != nil {
		return err
	}
	if err := a.setWitness(ctx, p); err != nil {
		return err
	}
	a.runWitness()
	_, err = a.audit.Append(ctx, audit.Event{Actor: by, Operation: "node.enrol", Object: string(audit.SecondWitness), Outcome: "ok"})
	return err
}

// RemoveWitness ends its use. What it has signed stays here, and goes on being
// compared with the log; what it holds stays there.
func (a *Appliance) RemoveWitness(ctx context.Context, by string) error {
	if a.currentWitness() == nil {
		return &i18n.Error{ID: "witness.none"}
	}
	if _, err := a.audit.Append(ctx, audit.Event{Actor: by, Operation: "node.remove", Object: string(audit.SecondWitness), Outcome: "ok"}); err != nil {
		return err
	}
	if err := dropWitness(ctx, a.settings); err != nil {
		return err
	}
	a.haltWitness()
	a.mu.Lock()
	a.witness = nil
	a.mu.Unlock()
	return nil
}

// dropWitness forgets the identity at the second witness. Where there is none
// nothing is written: what comes home is to the letter what was there.
func dropWitness(ctx context.Context, set *settings.Settings) error {
	if was, err := set.Get(ctx, settings.WitnessID); err != nil || was == "" {
		return err
	}
	return set.SetAll(ctx, map[string]string{settings.WitnessURL: ""}, map[string]string{settings.WitnessID: ""})
}

// TransferWitness keeps where it lies and what lets the log's bytes leave for it.
func (a *Appliance) TransferWitness(ctx context.Context, by string, t record.Transfer) error {
	if err := a.transferEntry(ctx, by, string(audit.SecondWitness), t); err != nil {
		return err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write where the witness lies: %w", err)
	}
	if err := a.settings.Set(ctx, map[string]string{settings.WitnessTransfer: string(b)}); err != nil {
		return err
	}
	if w := a.currentWitness(); w != nil {
		w.SetTransfer(t)
	}
	return nil
}

// Witness tells how the second witness stands.
func (a *Appliance) Witness(ctx context.Context) web.Witness {
	w := a.currentWitness()
	if w == nil {
		return web.Witness{}
	}
	st := w.Status()
	problem := nodeProblem(st.Err)
	if errors.Is(st.Err, replica.ErrSuperseded) { // which ends nothing here
		problem = "witness.superseded"
	}
	return web.Witness{Set: true, Connected: st.Connected, Address: a.peerAddress(ctx, settings.WitnessURL), LastAck: st.LastAck, CheckpointSize: st.Checkpoint, Problem: problem}
}

// witnessErrs is why each witness that there is takes nothing now.
func (a *Appliance) witnessErrs() map[audit.Witness]error {
	out := map[audit.Witness]error{}
	if s := a.currentSender(); s != nil {
		out[audit.NodeWitness] = s.Status().Err
	}
	if w := a.currentWitness(); w != nil {
		out[audit.SecondWitness] = w.Status().Err
	}
	return out
}

// peerAddress is a node's host and port, for people.
func (a *Appliance) peerAddress(ctx context.Context, setting string) string {
	address, err := a.settings.Get(ctx, setting)
	if err != nil {
		return ""
	}
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// offsiteStatus is what `farol offsite status` shows.
type offsiteStatus struct {
	web.Offsite
	Witness web.Witness
}

func (a *Appliance) ctlOffsite(r *http.Request) (any, error) {
	return offsiteStatus{a.Offsite(r.Context()), a.Witness(r.Context())}, nil
}

func (a *Appliance) ctlWitnessAdd(r *http.Request) (any, error) {
	var q struct {
		Node     string          `json:"node"`
		Code     string          `json:"code"`
		Transfer record.Transfer `json:"transfer"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if q.Node == "" || q.Code == "" {
		return nil, errors.New("--node and --code are needed: the witness's address, and the enrolment code that it shows")
	}
	if err := a.AddWitness(r.Context(), machineUser, q.Node, q.Code, q.Transfer); err != nil {
		return nil, err
	}
	return a.ctlOffsite(r)
}

func (a *Appliance) ctlWitnessRemove(r *http.Request) (any, error) {
	if err := a.RemoveWitness(r.Context(), machineUser); err != nil {
		return nil, err
	}
	return a.ctlOffsite(r)
}
