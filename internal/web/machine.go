package web

import (
	"context"
	"time"

	"farol/internal/auth"
	"farol/internal/growth"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/verify"
)

// Machine is what the appliance itself does for the console. Errors that a
// person may read are *i18n.Error.
type Machine interface {
	Claim() *auth.Claim
	Version() string
	Fingerprint() string // of the TLS certificate
	Health(ctx context.Context) (Health, error)
	Ready(ctx context.Context) string // one word why it does not work now, "" when it does
	// Bind checks the credentials with DingTalk and keeps them sealed.
	Bind(ctx context.Context, b Binding) error
	// ConsentURL is DingTalk's consent page; its "state" is made by the machine
	// and good for one answer.
	ConsentURL(ctx context.Context, redirect string) (string, error)
	CompleteConsent(ctx context.Context, state, code string) (Consented, error)
	Coverage(ctx context.Context) ([]CoverageRow, error)
	Enrol(ctx context.Context, address, code string) error // the off-site node
	Offsite(ctx context.Context) Offsite
	// The second witness gets the audit log alone. TransferWitness is to it what
	// TransferOffsite is to the node.
	Witness(ctx context.Context) Witness
	AddWitness(ctx context.Context, by, address, code string, t record.Transfer) error
	RemoveWitness(ctx context.Context, by string) error
	TransferWitness(ctx context.Context, by string, t record.Transfer) error
	LimitOffsite(ctx context.Context, l settings.OffsiteLimit) error // from now on
	// TransferOffsite keeps where the node lies and what lets the bytes leave
	// Macau for it; TransferCopy the same of a further copy. While something is
	// missing nothing is sent there.
	TransferOffsite(ctx context.Context, by string, t record.Transfer) error
	TransferCopy(ctx context.Context, by, id string, t record.Transfer) error
	PriceCopy(ctx context.Context, by, id string, p record.Price) error // the zero price forgets it
	// Kit splits the root key into n shares of which any k open it. They are
	// shown once; the kit counts only after ConfirmKit.
	Kit(ctx context.Context, by string, n, k int) ([]keys.Share, error)
	ConfirmKit(ctx context.Context, by string, typed []string) error
	// NewKit splits a new root key, which takes the place of the present one
	// when its shares are typed back.
	NewKit(ctx context.Context, by string, n, k int) ([]keys.Share, error)
	KeyCheck() string // tells which root key this is; see kit.Kit.Root
	// Locks compares the lock of each copy with that of the archive, which
	// comes first; Opened means that they are the same.
	Locks(ctx context.Context) ([]Lock, error)
	// Rehearse puts the key together from shares and tries it on every copy.
	Rehearse(ctx context.Context, by string, typed []string) (Rehearsal, error)
	FinishSetup(ctx context.Context) error
	Verify(ctx context.Context, by string) error // starts an integrity check; Health tells
	Verified(ctx context.Context) (Verified, error)
	Points(ctx context.Context) ([]Point, error) // points in time that can be looked at

	// Retention of points. PlanPoints changes nothing; a point has another id
	// after it was held or let go.
	Retention(ctx context.Context) (Retention, error)
	PlanPoints(ctx context.Context, r Rules) ([]Verdict, error)
	KeepRules(ctx context.Context, by string, r Rules) error
	HoldPoint(ctx context.Context, by, id, reason string) error
	UnholdPoint(ctx context.Context, by, id string) error

	// Further copies. Verifying and retiring go on by themselves; Copies tells.
	Copies(ctx context.Context) ([]Copy, error)
	AddCopy(ctx context.Context, by string, n NewCopy) error
	VerifyCopy(ctx context.Context, by, id string) error
	// RetireCopy ends the use of a place; forget is for one that does not come
	// back.
	RetireCopy(ctx context.Context, by, id string, erase, forget bool) error
}

// Binding is what an administrator types to bind DingTalk.
type Binding struct {
	Region       string // china, international, custom
	BaseURL      string // with region custom
	ClientID     string
	ClientSecret string
}

// Consented is a member who agreed.
type Consented struct {
	Person, Name, Corp string
	First              bool // the first one: his rights are used for drive access
}

// CoverageRow says of one kind by one route what can be had.
type CoverageRow struct {
	Kind   record.Kind
	Route  string
	State  string // captured, partial, unavailable, consent
	Reason string // message id
	Args   []any
	N, M   int // members who consented, of how many
}

// Rehearsal is what shares of the recovery kit opened.
type Rehearsal struct {
	At    time.Time
	Locks []Lock // of the archive first, then of each copy
}

// Lock is what the key is tried on.
type Lock struct {
	Name   string // of the copy, "" for the archive itself
	Opened bool
	Away   bool // could not be read
}

// Offsite is how the off-site node stands.
type Offsite struct {
	Set, Connected bool
	Address        string
	Lag            time.Duration
	BehindBytes    int64
	LastAck        time.Time
	CheckpointSize int64     // log entries that the node has witnessed
	Verified       time.Time // when the node last read everything back; zero: not yet, or it is older
	VerifiedFiles  int64
	Damaged        int    // files that it asks for
	Problem        string // message id
	Superseded     bool   // another appliance has taken over: this one takes nothing in
	SlowKbit       int64  // the limit that is why it lags, 0 = none is
	SlowUntil      time.Time
}

// Witness is how the second witness of the audit log stands.
type Witness struct {
	Set, Connected bool
	Address        string
	LastAck        time.Time // when it last had the whole log
	CheckpointSize int64     // log entries that it has witnessed
	Problem        string    // message id
}

// Point is a moment the archive can be seen at.
type Point struct {
	ID      string
	Seq     uint64
	Time    time.Time
	Records int64
	Bytes   int64
	Held    string // the reason why it must stay, "" = it need not
}

// Rules say for how many days points stay, and between which hours of the
// night in Macau they go.
type Rules struct {
	All, Daily, Weekly, Monthly int
	From, To                    int
}

// Retention is the rules that hold; Stopped while an alarm stands.
type Retention struct {
	Rules
	Stopped bool
}

// Verdict is what rules say of a point.
type Verdict struct {
	Point
	Why  string // message id below "retention."
	Goes bool
}

// Verified is what was read back: the last runs, newest first, and the parts
// of the newest one that read everything.
type Verified struct {
	Runs  []verify.Run
	Parts []verify.Part
}

// Place is one disk of the archive.
type Place struct {
	Path                       string
	Total, Free, Used, Reserve int64
}

// Health is the state of the archive.
type Health struct {
	Places         []Place
	JournalBytes   int64
	JournalCommits int64
	LastFold       time.Time
	Outlook        growth.Outlook // when the archive's disk is full
	Points         int
	Damage         int

	Checking              bool
	CheckDone, CheckTotal int64
	CheckedAt             time.Time
	CheckTook             time.Duration
	CheckedRecords        int64
	CheckedBytes          int64
}

// NewCopy is what an administrator types to add a further copy.
type NewCopy struct {
	Kind, Name, Path           string // kind: dir, s3, sftp
	Host, Bucket, Region, User string
	Secret, HostKey, CA        string
	Plain                      bool
	Price                      record.Price
	LockDays                   int // s3: 0 none
	LockStrict                 bool
	record.Transfer
}

// CopyLock is the object lock of a bucket, and what a sample of its files said
// when it was last verified.
type CopyLock struct {
	Days        int
	Strict      bool
	Asked, Open int       // asked, and of them not locked
	First, Last time.Time // until when the others are
}

// Copy is a further copy of the archive as people may see it: no secret.
type Copy struct {
	ID, Name, Kind, Where string
	Price                 record.Price // zero where nobody said
	Lock                  CopyLock
	record.Transfer
	State           string // new, filling, current, waiting, retired
	Done, Total     int64
	Free, Size      int64 // of its disk, 0 where nobody says
	Answer, Whole   time.Time
	Verified        time.Time
	VerifiedFiles   int64
	VerifiedDamaged int
	SameDisk        bool   // as the archive
	Problem         string // message id; ".advice" says what to do

	Work                string // verify, retire, "" nothing
	WorkDone, WorkTotal int64
	WorkProblem         string // message id: why the last one did not end well

	Ended  time.Time // when it was retired
	Erased bool
}
