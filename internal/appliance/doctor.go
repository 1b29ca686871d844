package appliance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"farol/internal/dingtalk"
)

// Finding is what `farol doctor` found of one thing. Then says what to do.
type Finding struct {
	Thing string `json:"thing"`
	State string `json:"state"` // ok, warn, bad
	Said  string `json:"said"`
	Then  string `json:"then,omitempty"`
}

// ErrUnwell is that the doctor found something bad.
var ErrUnwell = errors.New("something has to be mended: see above")

// doctor looks at a machine. It changes nothing and reads no content.
type doctor struct {
	cfg  Config
	api  string // of DingTalk, "" for none
	now  func() time.Time
	list []Finding
}

func (d *doctor) say(thing, state, then, format string, args ...any) {
	if state == "ok" {
		then = ""
	}
	d.list = append(d.list, Finding{thing, state, fmt.Sprintf(format, args...), then})
}

// Doctor looks at what a Farol needs of its machine: folders and their owners,
// room, key, clock, names, port, certificate, and whether the daemon answers. It
// returns [ErrUnwell] when something is bad.
func Doctor(ctx context.Context, cfg Config, asJSON bool, out io.Writer) error {
	d := &doctor{cfg: cfg, api: dingtalk.China.API, now: time.Now}
	d.look(ctx)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d.list); err != nil {
			return err
		}
	} else {
		for _, f := range d.list {
			if _, err := fmt.Fprintf(out, "%-5s %s: %s\n", f.State, f.Thing, f.Said); err != nil {
				return err
			}
			if f.Then != "" {
				if _, err := fmt.Fprintf(out, "      %s\n", f.Then); err != nil {
					return err
				}
			}
		}
	}
	for _, f := range d.list {
		if f.State == "bad" {
			return ErrUnwell
		}
	}
	return nil
}

func (d *doctor) look(ctx context.Context) {
	d.folder("state folder", d.cfg.StateDir)
	d.folder("archive folder", d.cfg.ArchiveDir)
	d.room("state folder's disk", d.cfg.StateDir, 256<<20)
	d.room("archive's disk", d.cfg.ArchiveDir, d.cfg.Reserve)
	d.key()
	running := d.daemon(ctx)
	d.port(running)
	d.upstream(ctx)
}

// folder checks that a folder is there and closed to others.
func (d *doctor) folder(thing, dir string) {
	const none = "Start the daemon once, or check the configuration: a mount that is missing looks like this. Do not make the folder by hand over a missing mount."
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.say(thing, "bad", none, "%s is not there", dir)
	case errors.Is(err, fs.ErrPermission):
		d.say(thing, "warn", "Run it as root, or as the service's user.", "%s may not be looked at by this user", dir)
	case err != nil:
		d.say(thing, "bad", "Look at the disk: journalctl -k, smartctl.", "%s: %v", dir, errors.Unwrap(err))
	case !info.IsDir():
		d.say(thing, "bad", none, "%s is no folder", dir)
	case info.Mode().Perm()&0o077 != 0:
		d.say(thing, "bad", "chmod 0700 "+dir, "%s is open to others (%04o)", dir, info.Mode().Perm())
	default:
		d.say(thing, "ok", "", "%s", dir)
	}
}

func (d *doctor) room(thing, dir string, least int64) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return // said already
	}
	free, inodes := int64(st.Bavail)*st.Bsize, st.Ffree
	const more = "Make room or enlarge the disk; farol place add keeps a further copy elsewhere. What is held stays safe, new data waits at DingTalk."
	switch {
	case st.Flags&syscall.MS_RDONLY != 0:
		d.say(thing, "bad", "A file system that turned read-only has met an error: journalctl -k, then fsck or a new disk.", "read-only")
	case free < least:
		d.say(thing, "bad", more, "%d MB free, at least %d MB are needed", free>>20, least>>20)
	case st.Files > 0 && inodes < 10_000:
		d.say(thing, "bad", more, "room for %d more files only", inodes)
	case free < 5*least:
		d.say(thing, "warn", more, "%d MB free", free>>20)
	default:
		d.say(thing, "ok", "", "%d MB free", free>>20)
	}
}

// key checks the files that an unattended start needs.
func (d *doctor) key() {
	sealed := filepath.Join(d.cfg.StateDir, "root-key.sealed")
	if _, err := os.Stat(sealed); errors.Is(err, fs.ErrNotExist) {
		d.say("root key", "ok", "", "not made yet, or handed over by the service manager")
		return
	} else if err != nil {
		d.say("root key", "warn", "Run it as root, or as the service's user.", "the sealed root key may not be looked at by this user")
		return
	}
	info, err := os.Stat(d.cfg.HostKey)
	switch {
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("FAROL_PASSPHRASE") == "":
		d.say("host key", "bad", "Put the file back from its copy, or farol recover --in-place with the recovery kit.", "%s is not there: the next start cannot open the root key", d.cfg.HostKey)
	case err != nil:
		d.say("host key", "warn", "Run it as root, or as the service's user.", "%s may not be looked at by this user", d.cfg.HostKey)
	case info.Mode().Perm()&0o077 != 0:
		d.say("host key", "bad", "chmod 0600 "+d.cfg.HostKey, "%s is open to others (%04o)", d.cfg.HostKey, info.Mode().Perm())
	case sameDevice(sealed, d.cfg.HostKey):
		d.say("host key", "warn", "Move it to another disk and name it in farol.yaml (host_key), or use a systemd credential.", "it lies on the disk of the sealed root key: who takes the disk has both")
	default:
		d.say("host key", "ok", "", "%s", d.cfg.HostKey)
	}
}

func sameDevice(a, b string) bool {
	var x, y syscall.Stat_t
	return syscall.Stat(a, &x) == nil && syscall.Stat(b, &y) == nil && x.Dev == y.Dev
}

// daemon asks the running appliance.
func (d *doctor) daemon(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var st struct {
		Version string
		Gaps    int
		Mended  []Mended
	}
	if err := Control(ctx, d.cfg, "status", nil, &st); err != nil {
		d.say("daemon", "bad", "systemctl status farol; journalctl -u farol -n 50", "it does not answer: %v", err)
		return false
	}
	d.say("daemon", "ok", "", "version %s answers", st.Version)
	if len(st.Mended) > 0 {
		d.say("databases", "warn", "Look at the disk: journalctl -k, smartctl.", "%d of them were lost or damaged and were made anew at the start", len(st.Mended))
	}
	return true
}

// port checks who answers at the console's address, and its certificate.
func (d *doctor) port(running bool) {
	host, port, err := net.SplitHostPort(d.cfg.Listen)
	if err != nil {
		d.say("port", "bad", "Set listen to host:port in farol.yaml.", "%q is no address", d.cfg.Listen)
		return
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, port)
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", at, &tls.Config{InsecureSkipVerify: true}) // looked at, not trusted
	if err != nil {
		if l, lerr := net.Listen("tcp", at); lerr == nil {
			l.Close() //nolint:errcheck // only tried
			if running {
				d.say("port", "bad", "systemctl status farol.socket; ss -ltnp", "nobody answers at %s", at)
			}
			return
		}
		d.say("port", "bad", "ss -ltnp shows who has it; give Farol another in farol.yaml (listen) and farol.socket.", "%s is taken by a program that is not the console", at)
		return
	}
	certs := c.ConnectionState().PeerCertificates
	c.Close() //nolint:errcheck // only looked at
	if len(certs) == 0 {
		d.say("certificate", "bad", "Look at tls_cert in farol.yaml.", "the console shows none")
		return
	}
	d.certificate(certs[0])
}

func (d *doctor) certificate(c *x509.Certificate) {
	const then = "Renew the certificate of tls_cert and restart; a self-made one is made anew when its file in the state folder is removed."
	switch left := c.NotAfter.Sub(d.now()); {
	case d.now().Before(c.NotBefore):
		d.say("certificate", "bad", "Check the clock.", "it is valid from %s on only", c.NotBefore.UTC().Format(time.DateOnly))
	case left < 0:
		d.say("certificate", "bad", then, "it ended on %s", c.NotAfter.UTC().Format(time.DateOnly))
	case left < 30*24*time.Hour:
		d.say("certificate", "warn", then, "it ends on %s", c.NotAfter.UTC().Format(time.DateOnly))
	default:
		d.say("certificate", "ok", "", "until %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
}

// upstream looks the API's name up, asks it for its time and compares the clock.
func (d *doctor) upstream(ctx context.Context) {
	u, err := url.Parse(d.api)
	if err != nil || u.Host == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, u.Hostname()); err != nil {
		d.say("names", "bad", "Check the resolver: resolvectl status, /etc/resolv.conf. Behind a proxy set HTTPS_PROXY for the service.", "%s is not found", u.Hostname())
		return
	}
	d.say("names", "ok", "", "%s is found", u.Hostname())
	rq, err := http.NewRequestWithContext(ctx, http.MethodHead, d.api, nil)
	if err != nil {
		return
	}
	asked := d.now()
	resp, err := http.DefaultClient.Do(rq)
	if err != nil {
		d.say("DingTalk", "bad", "Check firewall and proxy: port 443 to "+u.Hostname()+" must be open. What is held stays readable meanwhile.", "%s cannot be reached", u.Hostname())
		return
	}
	resp.Body.Close() //nolint:errcheck // only its head was asked for
	d.say("DingTalk", "ok", "", "%s answers", u.Hostname())
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		d.say("clock", "warn", "timedatectl shows whether the clock is kept.", "it could not be compared")
		return
	}
	mine := asked.Add(d.now().Sub(asked) / 2)
	switch off := mine.Sub(theirs).Abs(); {
	case off > 30*time.Second:
		d.say("clock", "bad", "timedatectl set-ntp true; one-time codes and signatures fail with a wrong clock.", "it is %v off", off.Round(time.Second))
	default:
		d.say("clock", "ok", "", "within %v", max(off.Round(time.Second), time.Second))
	}
}
