package replica

import "io"

// bound is how many bytes the archive may take, 0 for what the disk holds. The
// caller holds the lock.
func (v *vault) bound() int64 {
	if v.about.Quota > 0 {
		return v.about.Quota
	}
	return v.quota
}

// room returns [ErrQuota] when n more bytes are too many. The caller holds the
// lock.
func (v *vault) room(n int64) error {
	if b := v.bound(); b > 0 && v.used+v.coming+n > b {
		return ErrQuota
	}
	return nil
}

// arriving counts a blob against the quota while it comes, so that a flood of
// them at once does not pass it.
type arriving struct {
	r io.Reader
	v *vault
	n int64
}

func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	a.v.mu.Lock()
	defer a.v.mu.Unlock()
	if rerr := a.v.room(int64(n)); rerr != nil {
		return 0, rerr
	}
	a.n += int64(n)
	a.v.coming += int64(n)
	return n, err
}

// done takes it off what is coming.
func (a *arriving) done() {
	a.v.mu.Lock()
	defer a.v.mu.Unlock()
	a.v.coming -= a.n
}
