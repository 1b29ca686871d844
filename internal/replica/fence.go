package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Errors of a take-over.
var (
	ErrSuperseded = errors.New("another appliance has taken over: the node takes nothing more from this one")
	ErrLapsed     = errors.New("the take-over was not decided in time, and the appliance may have gone on: begin again")
	ErrTakingOver = errors.New("another appliance is taking over: the node takes nothing until that is decided")
)

// fence stands in a vault's folder once another appliance takes over: from then
// on only who bears its epoch, or a later one, may write. It is a file of its own
// because the node need not run for it, and heeds it at the next request when it
// does.
type fence struct {
	Epoch   uint32    `json:"epoch"`   // of the archive that took over last; 0: none has
	Pending bool      `json:"pending"` // another take-over began and is not decided
	Since   time.Time `json:"since"`
}

const fenceName = "fence.json"

func readFence(dir string) (f fence, err error) {
	b, err := os.ReadFile(filepath.Join(dir, fenceName))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read the fence: %w", err)
	}
	return f, nil
}

func writeFence(dir string, f fence) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = replaceFile(filepath.Join(dir, fenceName), b)
	}
	if err != nil {
		return fmt.Errorf("write the fence: %w", err)
	}
	return nil
}

// pendingLife is how long a take-over may take to be decided. One that was
// killed in between must not keep the appliance from its off-site copy.
const pendingLife = 10 * time.Minute

// waits tells whether a take-over is being decided.
func (f fence) waits(now time.Time) bool { return f.Pending && now.Sub(f.Since).Abs() < pendingLife }

// admits says whether a client that bears an epoch may write.
func (f fence) admits(epoch uint32, now time.Time) error {
	switch {
	case f.waits(now):
		return ErrTakingOver
	case epoch < f.Epoch:
		return ErrSuperseded
	}
	return nil
}

// enter begins a change to the vault by a client that bears an epoch, once its
// bytes are there: no take-over begins before leave, and none has.
func (v *vault) enter(epoch uint32) (leave func(), err error) {
	unlock, err := lockVault(v.dir, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	f, err := readFence(v.dir)
	if err == nil {
		err = f.admits(epoch, time.Now())
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// clientOf is what is known of the client of a request.
func (v *vault) clientOf(r *http.Request) clientOf {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return clientOf{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.about.Clients[Fingerprint(r.TLS.PeerCertificates[0].Raw)]
}

// lockVault waits for the vault's lock: shared for who changes something,
// exclusive for who raises the fence, in whatever process.
func lockVault(dir string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the vault: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the vault: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing lets go of the lock
}
