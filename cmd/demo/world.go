package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// world is the three programs and the folder they live in.
type world struct {
	o    options
	sim  *process
	node *process
	app  *process

	claim string // set-up code, while nobody owns the appliance
	print string // fingerprint of the console's certificate

	counts  map[string]int // items held, by "department/kind"
	samples [][]byte       // texts and file contents, to be looked for at rest
}

func newWorld(o options) *world { return &world{o: o} }

func (w *world) url() string      { return "https://127.0.0.1:" + strconv.Itoa(w.o.port) }
func (w *world) simURL() string   { return "http://127.0.0.1:" + strconv.Itoa(w.o.port+1) }
func (w *world) nodeAddr() string { return "127.0.0.1:" + strconv.Itoa(w.o.port+2) }
func (w *world) config() string {
	if w.o.installed != "" {
		return w.o.installed
	}
	return filepath.Join(w.o.dir, "appliance", "farol.yaml")
}

// process is a program under way whose output is kept for looking at.
type process struct {
	cmd  *exec.Cmd
	log  string // file of its error output
	in   io.WriteCloser
	done chan struct{}
	err  error

	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func spawn(logFile string, name string, args ...string) (*process, error) {
	p := &process{log: logFile, cmd: exec.Command(name, args...), done: make(chan struct{}), more: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches us, and we stop them in order
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	p.cmd.Stderr = f
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	go func() { // ends with the program
		for sc := bufio.NewScanner(out); sc.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, sc.Text())
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
		}
		p.err = p.cmd.Wait()
		f.Close()
		close(p.done)
	}()
	return p, nil
}

// lastLine is the last line of a log: why a program ended.
func lastLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "its log cannot be read"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// expect waits for a line with the prefix, from line number from on.
func (p *process) expect(ctx context.Context, prefix string, from int, within time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		p.mu.Lock()
		for _, l := range p.lines[min(from, len(p.lines)):] {
			if rest, ok := strings.CutPrefix(l, prefix); ok {
				p.mu.Unlock()
				return strings.TrimSpace(rest), nil
			}
		}
		more := p.more
		p.mu.Unlock()
		select {
		case <-more:
		case <-p.done:
			return "", fmt.Errorf("%s ended: %v: %s", filepath.Base(p.cmd.Path), p.err, lastLine(p.log))
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q: %w", filepath.Base(p.cmd.Path), prefix, ctx.Err())
		}
	}
}

func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

func (p *process) stop() error {
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s did not stop in 20 s and was killed", filepath.Base(p.cmd.Path)), p.cmd.Process.Kill())
	}
}

// kill is kill -9.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	return err
}

func (w *world) start(ctx context.Context) error {
	for _, d := range []string{"dingtalk", "node", "appliance"} {
		if err := os.MkdirAll(filepath.Join(w.o.dir, d), 0o700); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
	}
	args := []string{"-listen", strings.TrimPrefix(w.simURL(), "http://"), "-state", filepath.Join(w.o.dir, "dingtalk"), "-traffic", fmt.Sprint(w.o.traffic)}
	if w.o.chats != "" {
		args = append(args, "-chats", w.o.chats)
	} else {
		args = append(args, "-people", strconv.Itoa(w.o.people), "-messages", strconv.Itoa(w.o.msgs))
	}
	var err error
	if w.sim, err = spawn(filepath.Join(w.o.dir, "dingtalk.log"), filepath.Join(w.o.bin, "dingtalk-sim"), args...); err != nil {
		return err
	}
	if _, err := w.sim.expect(ctx, "dingtalk-sim listening", 0, time.Minute); err != nil {
		return err
	}
	if w.o.installed != "" {
		w.readClaim(ctx)
		return nil
	}
	if w.node, err = spawn(filepath.Join(w.o.dir, "node.log"), filepath.Join(w.o.bin, "farol"), "node", "--dir", filepath.Join(w.o.dir, "node"), "--listen", w.nodeAddr()); err != nil {
		return err
	}
	return w.startAppliance(ctx)
}

func (w *world) writeConfig() error {
	dir := filepath.Join(w.o.dir, "appliance")
	if err := os.MkdirAll(filepath.Join(dir, "host"), 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	text := fmt.Sprintf("state_dir: %q\narchive_dir: %q\nhost_key: %q\nlisten: \"127.0.0.1:%d\"\nreserve_bytes: 100000000\n",
		filepath.Join(dir, "state"), filepath.Join(dir, "archive"), filepath.Join(dir, "host", "host.key"), w.o.port)
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

func (w *world) startAppliance(ctx context.Context) error {
	if err := w.writeConfig(); err != nil {
		return err
	}
	var err error
	if w.app, err = spawn(filepath.Join(w.o.dir, "appliance.log"), filepath.Join(w.o.bin, "farol"), "serve", "--config", w.config()); err != nil {
		return err
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(30 * time.Millisecond) {
		if w.healthy(ctx) {
			break
		}
		select {
		case <-w.app.done:
			return fmt.Errorf("the appliance ended: %v: %s", w.app.err, lastLine(w.app.log))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(end) {
			return errors.New("the appliance did not become ready in 2 minutes")
		}
	}
	w.readClaim(ctx)
	return nil
}

// readClaim asks for the set-up code; there is none where somebody owns the
// appliance.
func (w *world) readClaim(ctx context.Context) {
	var v struct{ Code, Fingerprint string }
	if err := w.farol(ctx, &v, "setup-code"); err == nil {
		w.claim, w.print = v.Code, v.Fingerprint
	}
}

func (w *world) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url()+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := insecure.Do(rq)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// farol runs a verb of the command line and decodes its JSON.
func (w *world) farol(ctx context.Context, out any, args ...string) error {
	b, err := w.farolText(ctx, append(args, "--json", "--config", w.config())...)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal([]byte(b), out); err != nil {
		return fmt.Errorf("farol %s: %w", args[0], err)
	}
	return nil
}

// exitError is a verb that ended with another code than 0.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return fmt.Sprintf("exit %d: %s", e.code, e.text) }

func (w *world) farolText(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, filepath.Join(w.o.bin, "farol"), args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			return stdout.String(), &exitError{ee.ExitCode(), oneLine(stderr.String())}
		}
		return "", err
	}
	return stdout.String(), nil
}

// nodeCode asks the node for a fresh enrolment code by pressing Enter.
func (w *world) nodeCode(ctx context.Context) (string, error) {
	if w.node.count() > 2 {
		from := w.node.count()
		if _, err := io.WriteString(w.node.in, "\n"); err != nil {
			return "", err
		}
		return w.node.expect(ctx, "enrolment code:", from, 10*time.Second)
	}
	return w.node.expect(ctx, "enrolment code:", 0, 10*time.Second)
}

// ask speaks to the simulator's control interface.
func (w *world) ask(ctx context.Context, method, path string, body, out any) error {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		rd = bytes.NewReader(b)
	}
	rq, err := http.NewRequestWithContext(ctx, method, w.simURL()+path, rd)
	if err != nil {
		return err
	}
	rq.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(rq)
	if err != nil {
		return fmt.Errorf("ask the simulator: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // for the message only
		return fmt.Errorf("the simulator answered %d: %s", resp.StatusCode, oneLine(string(b)))
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (w *world) stopAll() error {
	err := errors.Join(w.app.stop(), w.node.stop(), w.sim.stop())
	w.app, w.node, w.sim = nil, nil, nil
	return err
}

// wait blocks until the person or one of the programs ends.
func (w *world) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.app.done:
		return fmt.Errorf("the appliance ended: %v", w.app.err)
	case <-w.node.done:
		return fmt.Errorf("the node ended: %v", w.node.err)
	case <-w.sim.done:
		return fmt.Errorf("the simulator ended: %v", w.sim.err)
	}
}
