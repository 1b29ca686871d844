package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"farol/internal/catalog"
)

// metrics are the figures of a running appliance for a monitor: counts, sizes
// and times. Labels are words of ours and numbers, never the name of anybody or
// anything that was captured. What is not known is absent, never 0.
type metrics struct {
	a      *Appliance
	reg    *prometheus.Registry
	failed prometheus.Gauge // parts that could not be read at the last look

	answers  *prometheus.CounterVec
	took     prometheus.Histogram
	failures prometheus.Counter

	mu     sync.Mutex // guards below
	counts []catalog.Count
	at     time.Time // of counts, zero before the first
}

func newMetrics(a *Appliance) *metrics {
	m := &metrics{a: a, reg: prometheus.NewRegistry(),
		failed:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "farol_metrics_unreadable", Help: "Parts whose figures could not be read at this look, and are absent."}),
		answers:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "farol_console_requests_total", Help: "Requests the console answered, by class of status. Streams are left out."}, []string{"code"}),
		took:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "farol_console_request_duration_seconds", Help: "How long the console took to answer. Streams are left out.", Buckets: []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 10}}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "farol_sign_in_failures_total", Help: "Sign-ins that failed since the start, of accounts and of members at their own records."})}
	m.reg.MustRegister(m, m.answers, m.took, m.failures, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// answered hears of each answer of the console.
func (m *metrics) answered(status int, took time.Duration) {
	m.answers.WithLabelValues(fmt.Sprintf("%dxx", status/100)).Inc()
	m.took.Observe(took.Seconds())
}

// noted hears of each entry that a request left in the audit log.
func (m *metrics) noted(operation string) {
	if operation == "login.failed" || operation == "member.login.failed" {
		m.failures.Inc()
	}
}

// handler answers one look after another: two monitors are enough.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 2, Timeout: 20 * time.Second,
		ErrorLog: slog.NewLogLogger(m.a.log.Handler(), slog.LevelWarn)})
}

// countEvery is how often what is held is counted, at most: the count reads
// every record's row, which no look may wait for.
const countEvery = time.Minute

// count keeps how much of each kind is held, after each change.
func (m *metrics) count(ctx context.Context) error {
	var seen uint64
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		began, seq := time.Now(), m.a.archive.LastSeq()
		if wait == 0 || seq != seen {
			if err := m.countNow(ctx); err != nil && ctx.Err() == nil {
				m.a.log.WarnContext(ctx, "what is held was not counted", "err", err)
			} else {
				seen = seq
			}
		}
		wait = max(countEvery, 100*time.Since(began))
	}
}

func (m *metrics) countNow(ctx context.Context) error {
	counts, err := m.a.catalog.Counts(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.counts, m.at = counts, time.Now()
	m.mu.Unlock()
	return nil
}

// leastToken is how long a token for the metrics is at least.
const leastToken = 16

// metricsToken reads what opens the metrics to another machine, "" for nothing.
func (c Config) metricsToken() (string, error) {
	if c.Metrics == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.Metrics)
	if err != nil {
		return "", fmt.Errorf("read the token for the metrics (metrics_token_file): %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < leastToken {
		return "", fmt.Errorf("the token in metrics_token_file has %d characters, at least %d are needed: openssl rand -hex 24 makes one", len(token), leastToken)
	}
	return token, nil
}

// figure is one kind of figure that is read at each look.
type figure struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

var figures []figure // all of them, filled below

func gauge(name, help string, labels ...string) figure {
	return described(prometheus.GaugeValue, name, help, labels)
}

func counter(name, help string, labels ...string) figure {
	return described(prometheus.CounterValue, name, help, labels)
}

func described(kind prometheus.ValueType, name, help string, labels []string) figure {
	f := figure{prometheus.NewDesc("farol_"+name, help, labels, nil), kind}
	figures = append(figures, f)
	return f
}

// Describe names every figure.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.Desc
	}
	m.failed.Describe(ch)
}

// Collect looks at everything. A part that cannot be read keeps the others from
// nothing.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l := look{ctx: ctx, ch: ch}
	l.put(figBuildInfo, 1, Version, runtime.Version())
	failed := 0
	for _, p := range parts {
		if err := p.read(m, l); err != nil {
			failed++
			m.a.log.WarnContext(ctx, "figures could not be read", "part", p.name, "err", err)
		}
	}
	m.failed.Set(float64(failed))
	m.failed.Collect(ch)
}

// look is one reading of all figures.
type look struct {
	ctx context.Context
	ch  chan<- prometheus.Metric
}

func (l look) put(f figure, v float64, labels ...string) {
	l.ch <- prometheus.MustNewConstMetric(f.Desc, f.kind, v, labels...)
}

// when puts a time, unless it is none.
func (l look) when(f figure, t time.Time, labels ...string) {
	if !t.IsZero() && t.Unix() > 0 {
		l.put(f, float64(t.UnixMilli())/1000, labels...)
	}
}

func (l look) is(f figure, yes bool, labels ...string) {
	v := 0.0
	if yes {
		v = 1
	}
	l.put(f, v, labels...)
}
