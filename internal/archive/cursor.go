package archive

// Cursor is one cursor of the latest commit that set it, "" when none did.
func (a *Archive) Cursor(key string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursors[key]
}

// Epoch counts the adoptions of the archive: positions in the put log are of
// one epoch only.
func (a *Archive) Epoch() uint32 { return a.epoch }

// SetOffsite says whether a node takes copies: folded journal files then stay
// until [Archive.Shipped] covers them.
func (a *Archive) SetOffsite(on bool) {
	a.mu.Lock()
	a.opt.Offsite = on
	a.mu.Unlock()
}
