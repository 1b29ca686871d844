package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// contender is one column of an interleaved measurement.
type contender struct {
	name  string
	ready func(round string) error
	run   func(round string) (took, error)
}

// interleave runs every contender once a round, in an order that rotates.
func (b *bench) interleave(name string, cs []contender) (map[string][]took, error) {
	// Nothing is removed before the whole lane is done: ext4 looks past each
	// inode freed in the last minutes, so that who makes files after a removal
	// pays several times the price.
	out := map[string][]took{}
	for r := range b.rounds {
		for i := range cs {
			c := cs[(i+r)%len(cs)]
			dir := filepath.Join(b.dir, fmt.Sprintf("%s-%s-%d", name, c.name, r))
			if c.ready != nil {
				if err := c.ready(dir); err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
			}
			unix.Sync() // nobody pays for what another left to be written
			t, err := c.run(dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			out[c.name] = append(out[c.name], t)
			fmt.Fprintf(os.Stderr, "  %s round %d %-7s %7.2f s %4d MiB\n", name, r+1, c.name, t.time.Seconds(), t.rss>>20)
		}
	}
	return out, nil
}

// ratios divides in each round and gives min, median and max.
func ratios(of, by []took) (lo, mid, hi float64) {
	var rs []float64
	for i := range min(len(of), len(by)) {
		rs = append(rs, of[i].time.Seconds()/by[i].time.Seconds())
	}
	if len(rs) == 0 {
		return 0, 0, 0
	}
	slices.Sort(rs)
	return rs[0], rs[len(rs)/2], rs[len(rs)-1]
}

func speed(bytes int64, ts []took) string {
	if len(ts) == 0 {
		return "–"
	}
	d := make([]time.Duration, len(ts))
	for i := range ts {
		d[i] = ts[i].time
	}
	return fmt.Sprintf("%.0f MB/s", float64(bytes)/1e6/quantile(d, 0.5).Seconds())
}

// against is a peer's column: its speed, and how many times as fast we are.
func against(p peer, shown string, ours, theirs []took) string {
	if p.path == "" {
		return "absent: " + p.why
	}
	lo, mid, hi := ratios(theirs, ours)
	return fmt.Sprintf("%s; ours is %.2f (%.2f–%.2f) ×", shown, mid, lo, hi)
}

func maxRSS(ts []took) (n int64) {
	for _, t := range ts {
		n = max(n, t.rss)
	}
	return n >> 20
}

func (b *bench) bulk(ctx context.Context) error {
	chat, files := filepath.Join(b.dir, "chat"), filepath.Join(b.dir, "bin")
	_, chatBytes, err := b.text.writeSegments(chat, b.chatMB)
	if err != nil {
		return err
	}
	fileBytes, err := writeFiles(files, b.files)
	if err != nil {
		return err
	}
	for _, in := range []struct {
		name, src, work string
		bytes           int64
		records         bool
	}{
		{"chat", chat, fmt.Sprintf("bulk ingest, %d MB of chat segments", chatBytes/1e6), chatBytes, true},
		{"files", files, fmt.Sprintf("bulk ingest, %d × 100 kB files", b.files), fileBytes, false},
	} {
		cs := []contender{{"ours",
			func(dir string) error { _, err := child(ctx, job{Do: "init", Dir: dir}, nil); return err },
			func(dir string) (took, error) {
				return child(ctx, job{Do: "files", Dir: dir, Src: in.src}, nil)
			}}}
		if in.records {
			cs = append(cs, contender{"records", cs[0].ready,
				func(dir string) (took, error) {
					return child(ctx, job{Do: "records", Dir: dir, Src: in.src}, nil)
				}})
		}
		cs = append(cs, contender{"bare",
			func(dir string) error { _, err := child(ctx, job{Do: "init", Dir: dir, Bare: true}, nil); return err },
			func(dir string) (took, error) {
				return child(ctx, job{Do: "files", Dir: dir, Src: in.src, Bare: true}, nil)
			}})
		stores := map[string]store{}
		if b.restic.path != "" {
			cs = append(cs, contender{"restic",
				func(dir string) (err error) { stores[dir], err = b.newRestic(ctx, dir); return err },
				func(dir string) (took, error) { return b.resticBackup(ctx, stores[dir], in.src) }})
		}
		if b.kopia.path != "" {
			cs = append(cs, contender{"kopia",
				func(dir string) (err error) { stores[dir], err = b.newKopia(ctx, dir); return err },
				func(dir string) (took, error) { return b.kopiaBackup(ctx, stores[dir], in.src) }})
		}
		cs = append(cs, contender{"limit", nil, func(dir string) (took, error) { return child(ctx, job{Do: "limit", Dir: dir, Src: in.src}, nil) }})
		if _, err := child(ctx, job{Do: "limit", Dir: filepath.Join(b.dir, "warm"), Src: in.src}, nil); err != nil {
			return err
		}
		ts, err := b.interleave(in.name, cs)
		if err != nil {
			return err
		}
		columns := func(ours []took) (string, string) {
			return against(b.restic, speed(in.bytes, ts["restic"]), ours, ts["restic"]), against(b.kopia, speed(in.bytes, ts["kopia"]), ours, ts["kopia"])
		}
		restic, kopia := columns(ts["ours"])
		b.row(in.work, fmt.Sprintf("%s, every blob fsynced", speed(in.bytes, ts["ours"])), restic, kopia+", no fsync", "≥ 1.4 × restic, ≥ 1.0 × kopia")
		restic, kopia = columns(ts["bare"])
		b.row("… without parity files, as the peers", speed(in.bytes, ts["bare"]), restic, kopia, "")
		if in.records {
			restic, kopia = columns(ts["records"])
			b.row("… the same messages as records: commit, journal, fold", speed(in.bytes, ts["records"]), restic, kopia, "")
		}
		lo, mid, hi := ratios(ts["limit"], ts["ours"])
		b.row("… limit of the machine (hash, compress, seal, write)", fmt.Sprintf("%s; ours reaches %.2f (%.2f–%.2f) of it", speed(in.bytes, ts["limit"]), mid, lo, hi), "", "", "printed")
		mem := fmt.Sprintf("%d MiB", maxRSS(ts["ours"]))
		if in.records {
			mem += fmt.Sprintf("; as records %d MiB", maxRSS(ts["records"]))
		}
		b.row("… peak memory", mem, fmt.Sprintf("%d MiB", maxRSS(ts["restic"])), fmt.Sprintf("%d MiB", maxRSS(ts["kopia"])), "≤ 400 MiB")
		if err := b.restores(ctx, in.name, in.src, in.bytes, stores); err != nil {
			return err
		}
	}
	return nil
}

// restores gives back what the last round of an ingest left.
func (b *bench) restores(ctx context.Context, name, src string, bytes int64, stores map[string]store) error {
	last := func(who string) string { return filepath.Join(b.dir, fmt.Sprintf("%s-%s-%d", name, who, b.rounds-1)) }
	var inside []took
	cs := []contender{
		{"ours", nil, func(dir string) (took, error) {
			var d time.Duration
			t, err := child(ctx, job{Do: "restore", Dir: dir, Src: last("ours")}, &d)
			inside = append(inside, took{time: d})
			return t, err
		}},
		{"copy", nil, func(dir string) (took, error) { return child(ctx, job{Do: "copy", Dir: dir, Src: src}, nil) }},
	}
	if b.restic.path != "" {
		cs = append(cs, contender{"restic", nil, func(dir string) (took, error) { return b.resticRestore(ctx, stores[last("restic")], dir) }})
	}
	if b.kopia.path != "" {
		cs = append(cs, contender{"kopia", nil, func(dir string) (took, error) { return b.kopiaRestore(ctx, stores[last("kopia")], src, dir) }})
	}
	ts, err := b.interleave(name+"-restore", cs)
	if err != nil {
		return err
	}
	lo, mid, hi := ratios(ts["copy"], inside)
	_, whole, _ := ratios(ts["copy"], ts["ours"])
	b.row("full restore of it, hashes compared", fmt.Sprintf("%s; in the daemon %.2f (%.2f–%.2f) of plain copy + hash, %.2f with opening", speed(bytes, inside), mid, lo, hi, whole),
		against(b.restic, speed(bytes, ts["restic"]), ts["ours"], ts["restic"]), against(b.kopia, speed(bytes, ts["kopia"]), ts["ours"], ts["kopia"]), "≥ 0.7 of the copy")
	return nil
}
