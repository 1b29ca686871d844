package appliance

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
)

// Logger writes to stderr at the configured level, and nowhere else: there are no
// log files of ours to rotate. Where stderr is the journal's, each line says its
// priority and leaves the time to the journal.
func Logger(level string) *slog.Logger { return logger(level, os.Stderr) }

func logger(level string, to *os.File) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	opt := slog.HandlerOptions{Level: l}
	if !journals(to) {
		return slog.New(slog.NewTextHandler(to, &opt))
	}
	opt.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}
	var h journalHandler
	var mu sync.Mutex
	for i, p := range priorities {
		h[i] = slog.NewTextHandler(&prefixed{to: to, prefix: fmt.Sprintf("<%d>", p.number), mu: &mu}, &opt)
	}
	return slog.New(h)
}

// journals reports that a file is the stream systemd connected to its journal.
func journals(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// priorities are syslog's, of sd-daemon(3), gravest first.
var priorities = [...]struct {
	from   slog.Level
	number int
}{{slog.LevelError, 3}, {slog.LevelWarn, 4}, {slog.LevelInfo, 6}, {slog.LevelDebug - 1000, 7}}

// journalHandler has a handler for each of the priorities.
type journalHandler [len(priorities)]slog.Handler

func (h journalHandler) Enabled(ctx context.Context, l slog.Level) bool { return h[0].Enabled(ctx, l) }

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	i := 0
	for i < len(priorities)-1 && r.Level < priorities[i].from {
		i++
	}
	return h[i].Handle(ctx, r)
}

func (h journalHandler) WithAttrs(as []slog.Attr) slog.Handler {
	for i := range h {
		h[i] = h[i].WithAttrs(as)
	}
	return h
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	for i := range h {
		h[i] = h[i].WithGroup(name)
	}
	return h
}

// prefixed writes each line with its priority in one piece.
type prefixed struct {
	to     io.Writer
	prefix string
	mu     *sync.Mutex // of all priorities: lines must not mix
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.to.Write(append([]byte(p.prefix), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}
