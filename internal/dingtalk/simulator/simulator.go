// Package simulator is a DingTalk tenant on one port: the new API, the legacy
// API, the consent page, the member's own chat gateway (route A), both event
// streams and the signed object store, told apart by path alone.
//
// It promises three things. It is deterministic: the same seed gives the same
// people, ids, texts and file bytes, and an item is served with the same JSON
// bytes on every call, so that an archive can be compared with it by hash. It
// is stricter than DingTalk: a caller that breaks the documented contract gets
// the documented error and is written into a list of violations. And it fails
// on request: faults, a lapsing clock, a spent quota and a deleted department
// are one call to /_sim/ away.
//
// It never talks to the network by itself and never links the product.
package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options say which tenant to play. The zero value is the default tenant
// without a rate limit and without state on disk.
type Options struct {
	Seed     uint64 // same seed, same tenant; 0 means 1
	People   int    // employees; 0 means 186
	Messages int    // generated chat messages; 0 means 12,000

	// BigDepartment puts every group and 500 files into one department, for
	// measuring how fast a department comes back.
	BigDepartment bool

	// ChatsFile names a gzipped NDJSON file (conversation, sender, text, time
	// or turn) whose rows replace the generated chats, one message each.
	ChatsFile string

	Edition string // standard, professional (default) or exclusive
	QPS     int    // calls per second, app and API; 0 means no limit

	// MonthlyCalls replaces the edition's monthly quota when not 0.
	MonthlyCalls int

	AppTokenLife      time.Duration // 0 means 7200 s
	UserTokenLife     time.Duration // 0 means 7200 s
	DownloadSeconds   int           // life of signed download headers; 0 means 900
	RetryAfter        []time.Duration
	PingEvery         time.Duration // stream pings; 0 means 30 s
	RedirectURIs      []string      // registered redirects besides loopback ones
	StateDir          string        // where live changes are kept; empty means memory only
	ColdFiles         bool          // a few files must thaw before they can be downloaded
	ClientID          string
	ClientSecret      string
	Now               func() time.Time
	Epoch             time.Time // what the tenant's history counts back from; zero means today, or the state's
	OpenControlToPeer bool      // let other machines use /_sim/ too
}

// Simulator is one tenant. It is an http.Handler and starts no goroutine
// until a stream connects or Traffic runs.
type Simulator struct {
	opt   Options
	epoch time.Time

	mu     sync.Mutex // guards everything below
	skew   time.Duration
	tenant *tenant
	rng    *rand.Rand // for what need not repeat: request ids, which connection gets an event
	routes []route
	byPath map[string][]int // first literal segments to candidate routes

	tokens  tokens
	grants  grants
	limits  limits
	faults  faults
	refused map[string]bool // permission codes taken away
	wrongs  []violation

	hub     hub
	uploads map[string]*upload
	journal *journal
	thawed  map[string]time.Time

	ctx    context.Context // ends with Close; stream goroutines hang on it
	cancel context.CancelFunc
}

// New builds the tenant and replays the changes kept in the state directory.
func New(opt Options) (*Simulator, error) {
	if opt.Seed == 0 {
		opt.Seed = 1
	}
	if opt.People == 0 {
		opt.People = 186
	}
	if opt.Messages == 0 {
		opt.Messages = 12000
	}
	if opt.Edition == "" {
		opt.Edition = "professional"
	}
	if _, ok := editionCalls[opt.Edition]; !ok {
		return nil, fmt.Errorf("unknown edition %q", opt.Edition)
	}
	if opt.People < 12 {
		return nil, fmt.Errorf("people: want at least 12, got %d", opt.People)
	}
	if opt.AppTokenLife == 0 {
		opt.AppTokenLife = 7200 * time.Second
	}
	if opt.UserTokenLife == 0 {
		opt.UserTokenLife = 7200 * time.Second
	}
	if opt.DownloadSeconds == 0 {
		opt.DownloadSeconds = 900
	}
	if opt.RetryAfter == nil {
		opt.RetryAfter = []time.Duration{10 * time.Second, 30 * time.Second}
	}
	if opt.PingEvery == 0 {
		opt.PingEvery = 30 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.ClientID == "" {
		opt.ClientID = "dingsim7x2kq9v4m1"
	}
	if opt.ClientSecret == "" {
		opt.ClientSecret = "simulated-secret-not-for-production"
	}
	s := &Simulator{
		opt:     opt,
		rng:     rand.New(rand.NewPCG(opt.Seed, 0x5151)),
		tokens:  newTokens(),
		grants:  newGrants(),
		limits:  newLimits(),
		refused: map[string]bool{},
		uploads: map[string]*upload{},
		thawed:  map[string]time.Time{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.chooseEpoch(); err != nil {
		return nil, err
	}
	t, err := buildTenant(opt, s.epoch)
	if err != nil {
		return nil, err
	}
	s.tenant = t
	s.hub = newHub()
	s.addRoutes()
	if opt.StateDir != "" {
		if err := s.openJournal(opt.StateDir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// chooseEpoch fixes the moment from which the tenant's history counts back.
// A state directory remembers it, or a restart tomorrow would shift the past.
func (s *Simulator) chooseEpoch() error {
	s.epoch = s.opt.Epoch
	if s.epoch.IsZero() {
		s.epoch = s.opt.Now().In(macau).Truncate(time.Hour)
	}
	if s.opt.StateDir == "" {
		return nil
	}
	if err := os.MkdirAll(s.opt.StateDir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	name := filepath.Join(s.opt.StateDir, "tenant.json")
	mine := stateHead{s.opt.Seed, s.opt.People, s.opt.Messages, s.opt.BigDepartment, filepath.Base(s.opt.ChatsFile), s.epoch.UnixMilli()}
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return os.WriteFile(name, mustJSON(mine), 0o600)
	}
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	var kept stateHead
	if err := json.Unmarshal(b, &kept); err != nil {
		return fmt.Errorf("read state %s: %w", name, err)
	}
	if mine.Epoch = kept.Epoch; mine != kept {
		return fmt.Errorf("state %s belongs to another tenant: %s", name, b)
	}
	s.epoch = time.UnixMilli(kept.Epoch)
	return nil
}

// stateHead says which tenant a state directory's operations belong to.
type stateHead struct {
	Seed             uint64
	People, Messages int
	BigDepartment    bool
	Chats            string
	Epoch            int64
}

// ClientID is the app key that the simulated app was given.
func (s *Simulator) ClientID() string { return s.opt.ClientID }

// ClientSecret is the app secret.
func (s *Simulator) ClientSecret() string { return s.opt.ClientSecret }

// CorpID is the simulated organisation.
func (s *Simulator) CorpID() string { return s.tenant.corpID }

// AdminUserID is the organisation's main administrator.
func (s *Simulator) AdminUserID() string { return s.tenant.admin.userID }

// Close ends the streams and closes the state.
func (s *Simulator) Close() error {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.closeAll()
	return s.journal.close()
}

// now is the simulated clock. Callers hold mu.
func (s *Simulator) now() time.Time { return s.opt.Now().Add(s.skew) }

// macau is the zone of every text time that carries none.
var macau = time.FixedZone("UTC+8", 8*3600)

var _ http.Handler = (*Simulator)(nil)
