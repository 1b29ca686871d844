package replica

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/record"
)

// disk is the node's, and may fail at one of the next steps.
type disk struct {
	t testing.TB

	mu      sync.Mutex // guards below
	rnd     *rand.Rand
	fault   string // that strikes next, "" for none
	skip    int    // steps that it spares first
	struck  chan string
	dead    bool             // the process was killed
	stopped bool             // Serve has returned
	before  map[string]int64 // size of a file before what is written to it now
}

var diskFaults = []string{"disk full", "fsync failed", "killed", "restarted"}

// errKilled unwinds a request of a process that is no more: nothing is tidied up.
var errKilled = http.ErrAbortHandler

func (d *disk) step(name, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped && !d.dead {
		d.t.Errorf("a request was at %q of %s after the node had stopped", name, filepath.Base(path))
	}
	if d.dead {
		panic(errKilled)
	}
	if info, err := os.Stat(path); err == nil && name == "write" {
		d.before[path] = info.Size()
	}
	synced := name == "sync" || name == "syncdir" || name == "save" || name == "witness"
	if d.fault == "" || name == "cut" || d.fault == "disk full" && name != "write" && name != "save" && name != "witness" || d.fault == "fsync failed" && !synced {
		return nil
	}
	if d.skip > 0 {
		d.skip--
		return nil
	}
	f := d.fault
	d.fault = ""
	defer func() { d.struck <- f }()
	switch f {
	case "disk full":
		if name == "write" { // some of it still went
			d.some(path)
		}
		return syscall.ENOSPC
	case "fsync failed":
		return syscall.EIO
	case "killed":
		d.dead = true
		if was, ok := d.before[path]; ok && name == "sync" { // no fsync: any part may be there
			if info, err := os.Stat(path); err == nil && info.Size() > was {
				_ = os.Truncate(path, was+d.rnd.Int64N(info.Size()-was+1))
			}
		}
		panic(errKilled)
	}
	return nil
}

func (d *disk) some(path string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return // not there yet
	}
	defer f.Close()
	_, _ = f.Write(bytes.Repeat([]byte{0x55}, 1+d.rnd.IntN(500)))
}

// cuts is a pair with a bad link between its sides and a bad disk on the node.
type cuts struct {
	*pair
	link  *link
	disk  atomic.Pointer[disk]
	rnd   *rand.Rand
	said  map[string]bool
	held  int64 // checkpoint that was seen on the node
	count map[string]int
}

func newCuts(t *testing.T, seed uint64) *cuts {
	c := &cuts{pair: newPair(t), said: map[string]bool{}, count: map[string]int{}}
	rnd := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	c.rnd = rnd(0)
	c.stopNode()
	c.link = newLink(c.sender.client, "", rnd(1))
	c.link.dead = func() bool {
		d := c.disk.Load()
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.dead
	}
	c.sender.retry = time.Millisecond
	c.open()
	return c
}

func (c *cuts) vaultDir() string { return filepath.Join(c.dir, "vaults", c.a.ID()) }

// open starts the node on what lies in its folder.
func (c *cuts) open() {
	c.t.Helper()
	n, err := OpenNode(c.dir, nil, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	d := &disk{t: c.t, rnd: rand.New(rand.NewPCG(c.rnd.Uint64(), 2)), struck: make(chan string, 1), before: map[string]int64{}}
	c.disk.Store(d)
	v := n.vaults[c.a.ID()]
	v.fault = d.step
	c.keepsItsWord(v)
	c.node = n
	c.addr, c.stopNode = serve(c.t, n)
	c.link.move(strings.TrimPrefix(c.addr, "https://"))
}

// close ends the node, and looks whether it counted as a restart does.
func (c *cuts) close(killed bool) {
	c.t.Helper()
	c.link.move("")
	c.stopNode()
	d := c.disk.Load()
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	if killed {
		return
	}
	was := c.node.vaults[c.a.ID()]
	was.mu.Lock()
	defer was.mu.Unlock()
	now, err := openVault(was.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	if now.used != was.used || now.blobs != was.blobs || now.entries != was.entries || now.about.PutPos != was.about.PutPos || was.coming != 0 {
		c.t.Errorf("the node counted %d bytes, %d blobs, %d entries, put %d and %d coming; a restart counts %d, %d, %d, %d",
			was.used, was.blobs, was.entries, was.about.PutPos, was.coming, now.used, now.blobs, now.entries, now.about.PutPos)
	}
	for f, n := range now.journal {
		if n != was.journal[f] {
			c.t.Errorf("journal %s: %d bytes were counted, a restart counts %d", f, was.journal[f], n)
		}
	}
}

// keepsItsWord looks in a vault just opened for all that the node ever said it
// holds.
func (c *cuts) keepsItsWord(v *vault) {
	c.t.Helper()
	h := &c.link.told
	h.mu.Lock()
	defer h.mu.Unlock()
	for f, n := range h.journal {
		if v.journal[f] < n {
			c.t.Errorf("journal %s: the node said %d bytes and holds %d", f, n, v.journal[f])
		}
	}
	for b := range h.blobs {
		if _, err := os.Stat(filepath.Join(v.dir, "blobs", b)); err != nil {
			c.t.Errorf("a blob that the node said it holds: %v", err)
		}
	}
	if at := (putAt{v.about.Epoch, v.about.PutPos}); at != h.put && !h.put.before(at) {
		c.t.Errorf("the node said it holds the blobs up to %v and knows of %v", h.put, at)
	}
	if size := witnessed(v.dir, v.about.LogKey); v.entries < h.entries || size < h.size {
		c.t.Errorf("the node said %d entries and a checkpoint of %d, and holds %d and %d", h.entries, h.size, v.entries, size)
	}
}

// never looks at what may never go back, and that the appliance knows of no
// checkpoint that is not held.
func (c *cuts) never() {
	c.t.Helper()
	at := c.sender.Status().Checkpoint
	held := witnessed(c.vaultDir(), c.logKey)
	if held < c.held || at > held {
		c.t.Fatalf("the node held a checkpoint of %d, then of %d; the appliance knows of %d", c.held, held, at)
	}
	c.held = held
	c.link.told.mu.Lock()
	defer c.link.told.mu.Unlock()
	for name := range c.link.told.blobs { // at no moment is one missing
		if _, err := os.Stat(filepath.Join(c.vaultDir(), "blobs", name)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// work is some of an appliance's day.
func (c *cuts) work() {
	c.t.Helper()
	ctx := c.t.Context()
	for range 1 + c.rnd.IntN(3) {
		id := strconv.Itoa(len(c.said))
		c.said[id] = true
		c.say(id, 20<<c.rnd.IntN(10))
	}
	for range c.rnd.IntN(4) {
		if _, err := c.log.Append(ctx, someEvent); err != nil {
			c.t.Fatal(err)
		}
	}
	switch c.rnd.IntN(12) {
	case 0:
		if _, err := c.a.Fold(ctx); err != nil {
			c.t.Fatal(err)
		}
	case 1, 2, 3:
		c.maintain()
	case 4:
		id := strconv.Itoa(len(c.said))
		c.said[id] = true
		b := make([]byte, 300<<10)
		for i := range b {
			b[i] = byte(c.rnd.Uint32())
		}
		blob, err := c.a.PutBlob(ctx, "f.bin", -1, bytes.NewReader(b))
		if err != nil {
			c.t.Fatal(err)
		}
		if _, err := c.a.Commit(ctx, archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: id}, Time: time.Now().UTC(), Raw: []byte(`{}`), Blobs: []record.Blob{blob}}}}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// maintain makes kopia overwrite a file of its own.
func (c *cuts) maintain() {
	c.t.Helper()
	if err := c.a.Maintain(c.t.Context(), false); err != nil {
		c.t.Fatal(err)
	}
}

// meet works until a fault has struck.
func (c *cuts) meet(fault string) {
	c.t.Helper()
	struck := c.link.struck
	if slices.Contains(diskFaults, fault) {
		d := c.disk.Load()
		struck = d.struck
		d.mu.Lock()
		d.fault, d.skip = fault, c.rnd.IntN(12)
		d.mu.Unlock()
	} else {
		c.link.arm(fault)
	}
	for began := time.Now(); ; {
		c.work()
		if fault == blobLate {
			c.maintain()
		}
		select {
		case <-struck:
		case <-time.After(100 * time.Millisecond):
			if time.Since(began) > 30*time.Second {
				c.t.Fatalf("%q strikes nothing: %+v", fault, c.sender.Status())
			}
			continue
		}
		break
	}
	c.count[fault]++
	switch fault {
	case "killed", "restarted":
		c.close(fault == "killed")
		c.open()
	case "slow":
		c.work()
	case blobLate:
		c.maintain() // a newer one
	}
	c.link.heal()
	if fault != blobLate && fault != signLate && c.rnd.IntN(3) == 0 {
		c.link.release()
	}
	c.never()
}

// whole waits until the node has all.
func (c *cuts) whole() {
	c.t.Helper()
	from := time.Now()
	c.said["last"] = true
	c.say("last", 100)
	c.until("all is off-site", 30*time.Second, func(st Status) bool {
		return caughtUp(st) && st.Checkpoint == c.log.Size() && st.LastAck.After(from)
	})
}

// TestCutsLoseNothing: whatever happens between an appliance and its node, and
// to the node, what the node said it holds it holds, and in the end it holds all.
func TestCutsLoseNothing(t *testing.T) {
	faults, seed := 40, rand.Uint64()
	if s := os.Getenv("FAROL_CUTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		faults = n
	}
	if s := os.Getenv("FAROL_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("FAROL_SEED=%d", seed)
	c := newCuts(t, seed)
	stop := c.run()
	kinds := slices.Concat(linkFaults, diskFaults)
	for i := range faults {
		c.meet(kinds[(i+c.rnd.IntN(3))%len(kinds)])
		if t.Failed() {
			t.Fatalf("after %d faults: %v", i+1, c.count)
		}
	}
	c.meet(blobLate)
	c.meet(signLate)
	c.whole()
	c.link.release()
	c.link.late.Wait()
	c.whole()
	c.never()
	stop()
	c.close(false)
	c.sameBytes()
	c.sameCheckpoint()
	v, err := openVault(c.vaultDir())
	if err != nil {
		t.Fatal(err)
	}
	c.keepsItsWord(v)
	n, addr := startNode(t, c.dir)
	b := adopted(t, n, addr, c.root)
	got := map[string]bool{}
	if err := b.Walk(t.Context(), func(r record.Record, _ record.Loc, _ uint64, _ int) error { got[r.ID] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, c.said) {
		t.Errorf("%d of %d messages come back", len(got), len(c.said))
	}
	t.Logf("%d faults, %d messages, %d entries: %v", faults, len(c.said), c.log.Size(), c.count)
}

func (c *cuts) sameCheckpoint() {
	c.t.Helper()
	there, err := os.ReadFile(filepath.Join(c.vaultDir(), "log", "checkpoint"))
	if err != nil {
		c.t.Fatal(err)
	}
	here := c.log.Checkpoint()
	if !bytes.HasPrefix(there, here) { // the node adds its line below
		c.t.Errorf("the checkpoint here\n%s\nthere\n%s", here, there)
	}
}
