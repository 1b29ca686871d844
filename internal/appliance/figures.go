package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/dingtalk"
	"farol/internal/growth"
	"farol/internal/record"
	"farol/internal/verify"
	"farol/internal/watch"
)

// parts are read at each look, each from whoever keeps the figures for the
// console too: the two cannot differ.
var parts = []struct {
	name string
	read func(*metrics, look) error
}{
	{"appliance", (*metrics).readSelf}, {"archive", (*metrics).readArchive}, {"growth", (*metrics).readGrowth}, {"off-site", (*metrics).readOffsite}, {"second witness", (*metrics).readWitness}, {"places", (*metrics).readPlaces},
	{"runs", (*metrics).readRuns}, {"completeness", (*metrics).readComplete}, {"held", (*metrics).readHeld}, {"verify", (*metrics).readVerify}, {"alarms", (*metrics).readAlarms},
	{"log", (*metrics).readLog}, {"dingtalk", (*metrics).readUpstream}, {"sessions", (*metrics).readSessions},
}

var (
	figBuildInfo = gauge("build_info", "1, with the version in its labels.", "version", "goversion")
	figReady     = gauge("ready", "Whether the appliance does its work: what /readyz says.")
	figStarted   = gauge("start_time_seconds", "When the program was started, in seconds since 1970.")
	figCertEnds  = gauge("certificate_expiry_timestamp_seconds", "When the console's certificate ends.")
)

func (m *metrics) readSelf(l look) error {
	l.is(figReady, m.a.Ready(l.ctx) == "")
	l.when(figStarted, processStart)
	m.a.mu.Lock()
	ends := m.a.certEnds
	m.a.mu.Unlock()
	l.when(figCertEnds, ends)
	return nil
}

// processStart is when this process came up, as near as it can tell by itself.
var processStart = time.Now()

var (
	figCommits     = counter("commits_total", "Commits of the archive since it was made.")
	figLastCommit  = gauge("last_commit_timestamp_seconds", "When the last commit was on disk.")
	figJournalSize = gauge("journal_bytes", "Bytes of the journal files on disk.")
	figUnfolded    = gauge("journal_unfolded_bytes", "Bytes in the journal, in plaintext, that no point in time covers yet.")
	figUnfoldedN   = gauge("journal_unfolded_commits", "Commits in the journal that no point in time covers yet.")
	figLastFold    = gauge("last_fold_timestamp_seconds", "When the journal was last folded into the archive.")
	figFoldTook    = gauge("last_fold_duration_seconds", "How long the last fold since the start took.")
	figArchiveSize = gauge("archive_bytes", "Bytes of the archive's repository.")
	figDamages     = gauge("archive_damaged", "Damaged places of the archive that were met since the start, healed or not.")
	figDiskFree    = gauge("disk_free_bytes", "Free bytes of a disk: of the archive, the state folder, the off-site node, or a storage place by its number in farol place list.", "place")
	figDiskSize    = gauge("disk_size_bytes", "Bytes of a disk.", "place")
	figReserve     = gauge("disk_reserve_bytes", "Free bytes on the archive's disk below which no new data is taken.")
)

func (m *metrics) readArchive(l look) error {
	st := m.a.archive.Status()
	l.put(figCommits, float64(st.LastSeq))
	l.when(figLastCommit, st.LastCommit)
	l.put(figJournalSize, float64(st.JournalBytes))
	l.put(figUnfolded, float64(st.UnfoldedBytes))
	l.put(figUnfoldedN, float64(st.Unfolded))
	l.when(figLastFold, st.LastFold.Time)
	if st.FoldTook > 0 {
		l.put(figFoldTook, st.FoldTook.Seconds())
	}
	l.put(figArchiveSize, float64(st.Repository))
	l.put(figDamages, float64(st.Damage))
	if st.Disk > 0 {
		l.put(figDiskFree, float64(st.DiskFree), "archive")
		l.put(figDiskSize, float64(st.Disk), "archive")
	}
	l.put(figReserve, float64(m.a.cfg.Reserve))
	var fs syscall.Statfs_t
	if err := syscall.Statfs(m.a.cfg.StateDir, &fs); err != nil {
		return err
	}
	l.put(figDiskFree, float64(fs.Bavail)*float64(fs.Bsize), "state")
	l.put(figDiskSize, float64(fs.Blocks)*float64(fs.Bsize), "state")
	return nil
}

var figDiskLeft = gauge("disk_full_in_seconds", "In about how long the archive's disk reaches its reserve at the pace of the last months. Absent where that cannot be told.")

func (m *metrics) readGrowth(l look) error {
	days, err := growth.Days(l.ctx, m.a.control, time.Now())
	if err != nil {
		return err
	}
	switch o := growth.Look(days, m.a.archive.Status().DiskFree-m.a.cfg.Reserve); o.State {
	case growth.Until:
		l.put(figDiskLeft, o.Left.Seconds())
	case growth.Full:
		l.put(figDiskLeft, 0)
	}
	return nil
}

var (
	figOffsiteSet  = gauge("offsite_enrolled", "Whether there is an off-site node.")
	figOffsiteOn   = gauge("offsite_connected", "Whether the off-site node answers.")
	figSuperseded  = gauge("offsite_superseded", "Whether another appliance has taken over, so that this one takes nothing in.")
	figOffsiteLag  = gauge("offsite_lag_seconds", "Age of the oldest byte of the journal that is not off-site.")
	figOffsiteLeft = gauge("offsite_unsent_bytes", "Bytes that are still to be sent to the off-site node, as far as known.")
	figOffsiteAck  = gauge("offsite_last_complete_timestamp_seconds", "When the off-site node last acknowledged everything there was, since the start.")
	figWitnessed   = gauge("offsite_witnessed_entries", "Entries of the audit log that the off-site node has signed for.")
	figWitnessedAt = gauge("offsite_last_witness_timestamp_seconds", "When the off-site node last signed for the audit log.")
)

func (m *metrics) readOffsite(l look) error {
	l.is(figSuperseded, m.a.archive.Frozen())
	s := m.a.currentSender()
	l.is(figOffsiteSet, s != nil)
	if s == nil {
		return nil
	}
	st := s.Status()
	l.is(figOffsiteOn, st.Connected)
	l.put(figOffsiteLag, st.Lag.Seconds())
	l.put(figOffsiteLeft, float64(st.Behind))
	l.when(figOffsiteAck, st.LastAck)
	if st.Checkpoint > 0 {
		l.put(figWitnessed, float64(st.Checkpoint))
	}
	if st.DiskSize > 0 {
		l.put(figDiskFree, float64(st.DiskFree), "node")
		l.put(figDiskSize, float64(st.DiskSize), "node")
	}
	return l.whenWritten(figWitnessedAt, filepath.Join(m.a.logDir(), audit.NodeWitness.File()))
}

var (
	figSecond     = gauge("second_witness_enrolled", "Whether there is a second witness of the audit log.")
	figSecondOn   = gauge("second_witness_connected", "Whether the second witness answers.")
	figSecondSize = gauge("second_witness_entries", "Entries of the audit log that the second witness has signed for.")
	figSecondAt   = gauge("second_witness_last_timestamp_seconds", "When the second witness last signed for the audit log.")
)

func (m *metrics) readWitness(l look) error {
	w := m.a.currentWitness()
	l.is(figSecond, w != nil)
	if w == nil {
		return nil
	}
	st := w.Status()
	l.is(figSecondOn, st.Connected)
	if st.Checkpoint > 0 {
		l.put(figSecondSize, float64(st.Checkpoint))
	}
	return l.whenWritten(figSecondAt, filepath.Join(m.a.logDir(), audit.SecondWitness.File()))
}

// whenWritten puts when a file was written last; one that is not there was not.
func (l look) whenWritten(f figure, path string) error {
	fi, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	l.when(f, fi.ModTime())
	return nil
}

var (
	figPlaceHeld     = gauge("place_held_bytes", "Bytes that a storage place holds, as far as they were counted.", "place")
	figPlaceWhole    = gauge("place_last_complete_timestamp_seconds", "When a storage place last held everything.", "place")
	figPlaceVerified = gauge("place_last_verified_timestamp_seconds", "When a storage place was last read again.", "place")
)

func (m *metrics) readPlaces(l look) error {
	facts, err := m.a.placeFacts(l.ctx)
	if err != nil {
		return err
	}
	m.a.mu.Lock()
	places := slices.Clone(m.a.places)
	m.a.mu.Unlock()
	for i, p := range places {
		n, st := strconv.Itoa(i+1), p.Status()
		f := facts[p.Config().ID].with(st)
		if st.State != "new" {
			l.put(figPlaceHeld, float64(st.Done), n)
		}
		l.when(figPlaceWhole, f.Whole, n)
		l.when(figPlaceVerified, f.Verified, n)
		if st.Size > 0 {
			l.put(figDiskFree, float64(st.Free), n)
			l.put(figDiskSize, float64(st.Size), n)
		}
	}
	return nil
}

var (
	figRunsEnded   = counter("backup_runs_total", "Backup runs that have ended, by lane (full, incremental) and outcome.", "lane", "outcome")
	figRunNow      = gauge("backup_running", "Whether a backup runs.")
	figLastGood    = gauge("backup_last_success_timestamp_seconds", "When a kind of data was last backed up without a failure, as far as the history shown goes back.", "kind")
	figEventDelays = figure{Desc: prometheus.NewDesc("farol_event_commit_delay_seconds", "How long events took from DingTalk's time of them until they were on disk, since the start.", nil, nil)}
)

func init() { figures = append(figures, figEventDelays) }

func (m *metrics) readRuns(l look) error {
	e := m.a.engine
	d := e.Delays()
	buckets := map[float64]uint64{}
	for i, b := range backup.DelayBounds {
		buckets[b.Seconds()] = uint64(d.UpTo[i])
	}
	l.ch <- prometheus.MustNewConstHistogram(figEventDelays.Desc, uint64(d.Events), d.Sum.Seconds(), buckets)
	l.is(figRunNow, e.Progress().Running)
	tallies, err := e.Tallies(l.ctx)
	if err != nil {
		return err
	}
	for _, t := range tallies {
		l.put(figRunsEnded, float64(t.N), t.What, t.State)
	}
	runs, err := e.Runs(l.ctx, 50)
	if err != nil {
		return err
	}
	good := e.LastGood()
	for _, r := range runs {
		for _, k := range r.Kinds {
			if _, ok := good[k.Kind]; !ok && k.State == backup.Done && !r.Ended.IsZero() {
				good[k.Kind] = r.Ended
			}
		}
	}
	for _, k := range record.Kinds {
		l.when(figLastGood, good[k], string(k))
	}
	return nil
}

var (
	figListed   = gauge("completeness_listed_records", "Records that DingTalk listed at the last complete walks.", "kind")
	figArchived = gauge("completeness_archived_records", "Of the listed records, those that are held.", "kind")
	figWalkedAt = gauge("completeness_oldest_walk_timestamp_seconds", "When the oldest of the walks behind the two figures was made.", "kind")
)

func (m *metrics) readComplete(l look) error {
	all, err := m.a.engine.Completeness(l.ctx)
	if err != nil {
		return err
	}
	sums := map[record.Kind]backup.Completeness{}
	for _, c := range all {
		s, ok := sums[c.Kind]
		s.Listed, s.Archived = s.Listed+c.Listed, s.Archived+c.Archived
		if !ok || c.At.Before(s.At) {
			s.At = c.At
		}
		sums[c.Kind] = s
	}
	for k, s := range sums {
		l.put(figListed, float64(s.Listed), string(k))
		l.put(figArchived, float64(s.Archived), string(k))
		l.when(figWalkedAt, s.At, string(k))
	}
	return nil
}

var (
	figRecords   = gauge("records", "Current records that are held.", "kind")
	figContent   = gauge("records_bytes", "Bytes of all versions as they were received, with their files.", "kind")
	figCountedAt = gauge("records_counted_timestamp_seconds", "When the records were last counted.")
)

func (m *metrics) readHeld(l look) error {
	m.mu.Lock()
	counts, at := m.counts, m.at
	m.mu.Unlock()
	if at.IsZero() {
		return nil
	}
	items, bytes := map[record.Kind]int64{}, map[record.Kind]int64{}
	for _, c := range counts {
		items[c.Kind] += c.Items
		bytes[c.Kind] += c.Bytes
	}
	for _, k := range record.Kinds {
		l.put(figRecords, float64(items[k]), string(k))
		l.put(figContent, float64(bytes[k]), string(k))
	}
	l.when(figCountedAt, at)
	return nil
}

var (
	figVerified    = gauge("verify_last_timestamp_seconds", "When held data was last read back to the end, by what was read (all, sample).", "what")
	figDifferences = gauge("verify_last_differences", "Differences that the last reading found and nothing healed.", "what")
	figReadRecords = gauge("verify_last_records", "Records that the last reading read.", "what")
	figReadTook    = gauge("verify_last_duration_seconds", "How long the last reading worked.", "what")
)

func (m *metrics) readVerify(l look) error {
	for _, what := range []string{verify.All, verify.Sample} {
		r, ok, err := m.a.verify.Last(l.ctx, what)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		l.when(figVerified, r.Ended, what)
		l.put(figDifferences, float64(r.Bad), what)
		l.put(figReadRecords, float64(r.Records), what)
		l.put(figReadTook, r.Took.Seconds(), what)
	}
	return nil
}

var figAlarms = gauge("alarms_open", "Alarms that wait for a person, by cause and the kind of data (none where it is of no one kind).", "cause", "kind")

func (m *metrics) readAlarms(l look) error {
	open, err := m.a.watch.Standing(l.ctx)
	if err != nil {
		return err
	}
	for _, c := range watch.Causes {
		if len(open[c]) == 0 {
			l.put(figAlarms, 0, string(c), "none")
		}
		for k, n := range open[c] {
			if k == "" {
				k = "none"
			}
			l.put(figAlarms, float64(n), string(c), string(k))
		}
	}
	return nil
}

var (
	figEntries    = counter("audit_entries_total", "Entries of the audit log since it was begun.")
	figCheckpoint = gauge("audit_checkpoint_timestamp_seconds", "When the audit log's checkpoint was last signed.")
)

func (m *metrics) readLog(l look) error {
	l.put(figEntries, float64(m.a.audit.Size()))
	return l.whenWritten(figCheckpoint, filepath.Join(m.a.logDir(), "checkpoint"))
}

var (
	figCalls      = counter("dingtalk_calls_total", "Calls of DingTalk's API since it was bound or the start, each try for itself, by outcome.", "outcome")
	figQuota      = counter("dingtalk_quota_calls_total", "Calls that count against the monthly quota, since the same time.")
	figWaits      = counter("dingtalk_rate_limit_waits_total", "Calls that our own limit held back, since the same time.")
	figWaited     = counter("dingtalk_rate_limit_wait_seconds_total", "How long all of them waited together.")
	figLastAnswer = gauge("dingtalk_last_answer_timestamp_seconds", "When DingTalk last answered anything, since the start.")
)

func (m *metrics) readUpstream(l look) error {
	c := m.a.Client()
	if c == nil {
		return nil
	}
	n := c.Calls()
	for i, word := range dingtalk.Outcomes {
		l.put(figCalls, float64(n.By[i]), word)
	}
	l.put(figQuota, float64(c.Counted()))
	l.put(figWaits, float64(n.Waits))
	l.put(figWaited, n.Waited.Seconds())
	l.when(figLastAnswer, c.LastAnswer())
	return nil
}

var figSessions = gauge("sessions", "Sessions of the console that are signed in now.")

func (m *metrics) readSessions(l look) error {
	n, err := m.a.accounts.Live(l.ctx)
	if err != nil {
		return err
	}
	l.put(figSessions, float64(n))
	return nil
}
