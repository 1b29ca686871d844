package appliance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The manual's commands run in a folder that stands for a machine. What is not
// in them, because it would need root or systemd, this program is itself when it
// is called by these names: farol with the machine's configuration, sudo without
// another user, systemctl and journalctl for the two units.
func manualTool() (code int, ok bool) {
	root, args := os.Getenv("FAROL_MANUAL_ROOT"), os.Args[1:]
	if root == "" {
		return 0, false
	}
	switch filepath.Base(os.Args[0]) {
	case "farol":
		if len(args) > 0 && args[0] == "node" {
			args = append(args, "--dir", filepath.Join(root, "var/lib/farol-node"))
		} else if len(args) > 0 && args[0] == "promote" {
			args = append(args, "--node-dir", filepath.Join(root, "var/lib/farol-node"))
		}
		return become(filepath.Join(root, "real", "farol"), append(args, "--config", filepath.Join(root, "etc/farol/farol.yaml"))...), true
	case "sudo":
		if args[0] == "-u" {
			args = args[2:]
		}
		if args[0] == "install" { // the service's user is not here
			args = slices.DeleteFunc(args, func(s string) bool { return s == "-o" || s == "-g" || s == "farol" })
		}
		if args[0] == "chown" {
			return 0, true
		}
		return become(args[0], args[1:]...), true
	case "systemctl":
		hc := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", filepath.Join(root, "units.sock"))
		}}}
		resp, err := hc.Post("http://units/", "text/plain", strings.NewReader(strings.Join(args, " ")))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		defer resp.Body.Close()
		io.Copy(os.Stdout, resp.Body) //nolint:errcheck // the reader is a test
		return map[bool]int{true: 0, false: 1}[resp.StatusCode == http.StatusOK], true
	case "journalctl":
		i := slices.Index(args, "-u")
		b, err := os.ReadFile(filepath.Join(root, "log", args[i+1]))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		os.Stdout.Write(b) //nolint:errcheck // the reader is a test
		return 0, true
	}
	return 0, false
}

// become is exec: what is not there is 127, as in a shell.
func become(name string, args ...string) int {
	path, err := exec.LookPath(name)
	if err == nil {
		err = syscall.Exec(path, append([]string{name}, args...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 127
}

// units are the two services of a machine.
type units struct {
	t    *testing.T
	root string
	args map[string][]string
	runs map[string]*exec.Cmd
}

func newUnits(t *testing.T, root string, args map[string][]string) *units {
	u := &units{t: t, root: root, args: args, runs: map[string]*exec.Cmd{}}
	ln, err := net.Listen("unix", filepath.Join(root, "units.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = u.systemctl(strings.Fields(string(b)))
		}
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprintln(w, err)
		}
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); srv.Serve(ln) }() //nolint:errcheck // ends with the test
	t.Cleanup(func() {
		srv.Close()
		<-ended
		for unit := range u.args {
			if err := u.stop(unit); err != nil {
				t.Error(err)
			}
		}
	})
	return u
}

func (u *units) systemctl(args []string) error {
	verb := args[0]
	var now bool
	for _, a := range args[1:] {
		unit := strings.TrimSuffix(a, ".service")
		if a == "--now" {
			now = true
			continue
		}
		if unit == "farol.socket" {
			continue
		}
		if u.args[unit] == nil {
			return fmt.Errorf("%s: no such unit", a)
		}
		var err error
		switch {
		case verb == "start" || verb == "enable" && now:
			err = u.start(unit)
		case verb == "stop" || verb == "disable" && now:
			err = u.stop(unit)
		case verb == "restart":
			if err = u.stop(unit); err == nil {
				err = u.start(unit)
			}
		case verb == "status" || verb == "is-active":
			if u.runs[unit] == nil {
				err = fmt.Errorf("%s does not run", unit)
			}
		default:
			err = fmt.Errorf("systemctl %s is not known here", verb)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start starts a service and returns when it says that it is ready.
func (u *units) start(unit string) error {
	if u.runs[unit] != nil {
		return nil
	}
	sock := filepath.Join(u.root, unit+".notify")
	os.Remove(sock) //nolint:errcheck // of the start before
	pc, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer pc.Close()
	log, err := os.OpenFile(filepath.Join(u.root, "log", unit), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(u.root, "real", "farol"), u.args[unit]...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+sock)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	u.runs[unit] = cmd
	b := make([]byte, 4096)
	if err := pc.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	for {
		n, err := pc.Read(b)
		if err != nil {
			said, _ := os.ReadFile(filepath.Join(u.root, "log", unit)) // for the message
			return fmt.Errorf("%s did not become ready: %w\n%s", unit, err, said)
		}
		if bytes.Contains(b[:n], []byte("READY=1")) {
			return nil
		}
	}
}

func (u *units) stop(unit string) error {
	cmd := u.runs[unit]
	if cmd == nil {
		return nil
	}
	delete(u.runs, unit)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", unit, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s ended: %w", unit, err)
	}
	return nil
}
