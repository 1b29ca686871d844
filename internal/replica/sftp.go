package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// sftpTarget is a folder behind an SSH server whose host key is pinned. It
// dials anew after a broken connection.
type sftpTarget struct {
	cfg  PlaceConfig
	base string
	auth []ssh.AuthMethod
	host ssh.PublicKey

	mu   sync.Mutex // guards below
	conn *ssh.Client
	c    *sftp.Client
}

func openSFTP(cfg PlaceConfig) (*sftpTarget, error) {
	s := &sftpTarget{cfg: cfg, base: path.Clean(cfg.Path)}
	var err error
	if s.host, _, _, _, err = ssh.ParseAuthorizedKey([]byte(cfg.HostKey)); err != nil {
		return nil, fmt.Errorf("read the server's host key: %w: %w", ErrKey, err)
	}
	if strings.HasPrefix(strings.TrimSpace(cfg.Secret), "-----BEGIN") {
		key, err := ssh.ParsePrivateKey([]byte(cfg.Secret))
		if err != nil {
			return nil, fmt.Errorf("read the private key: %w: %w", ErrKey, err)
		}
		s.auth = []ssh.AuthMethod{ssh.PublicKeys(key)}
	} else {
		s.auth = []ssh.AuthMethod{ssh.Password(cfg.Secret)}
	}
	return s, nil
}

// pinned lets only the server through whose key was given.
func (s *sftpTarget) pinned(_ string, _ net.Addr, key ssh.PublicKey) error {
	if !bytes.Equal(key.Marshal(), s.host.Marshal()) {
		return ErrHostKey
	}
	return nil
}

func (s *sftpTarget) client(ctx context.Context) (*sftp.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		return s.c, nil
	}
	addr := s.cfg.Host
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(addr, "22")
	}
	var d net.Dialer
	d.Timeout = 20 * time.Second
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, addr, &ssh.ClientConfig{User: s.cfg.User, Auth: s.auth, HostKeyCallback: s.pinned,
		HostKeyAlgorithms: []string{s.host.Type()}, Timeout: 20 * time.Second})
	if err != nil {
		if strings.Contains(err.Error(), "unable to authenticate") { // the library has no error value for it
			err = fmt.Errorf("%w: %w", ErrLogin, err)
		}
		return nil, errors.Join(err, ignoreClosed(raw.Close()))
	}
	cl := ssh.NewClient(conn, chans, reqs)
	c, err := sftp.NewClient(cl, sftp.UseConcurrentWrites(true))
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	s.conn, s.c = cl, c
	return c, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// done looks at an error of the connection's: after a broken one the next call
// dials anew.
func (s *sftpTarget) done(err error) error {
	if err == nil {
		return nil
	}
	var status *sftp.StatusError
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if !errors.As(err, &status) {
		s.mu.Lock()
		if s.c != nil {
			err = errors.Join(err, ignoreClosed(s.c.Close()), ignoreClosed(s.conn.Close()))
		}
		s.c, s.conn = nil, nil
		s.mu.Unlock()
	}
	return err
}

func (s *sftpTarget) check(ctx context.Context) error {
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	if _, err := c.Stat(s.base); errors.Is(err, fs.ErrNotExist) {
		return ErrGone
	} else if err != nil {
		return s.done(err)
	}
	return nil
}

func (s *sftpTarget) put(ctx context.Context, name string, b []byte, mtime time.Time) error {
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	to := path.Join(s.base, name)
	tmp := to + tempSuffix
	f, err := c.Create(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		// base itself is never made: without it the place is gone
		if err := s.mkdir(c, path.Dir(name)); err != nil {
			return s.done(err)
		}
		f, err = c.Create(tmp)
	}
	if err != nil {
		return s.done(err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync() // an extension of OpenSSH's
		var status *sftp.StatusError
		if errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxOpUnsupported {
			err = nil // the server promises no more
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.Chtimes(tmp, mtime, mtime)
	}
	if err == nil {
		err = c.PosixRename(tmp, to)
	}
	return s.done(err)
}

func (s *sftpTarget) mkdir(c *sftp.Client, dir string) error {
	if dir == "." {
		return nil
	}
	if err := s.mkdir(c, path.Dir(dir)); err != nil {
		return err
	}
	full := path.Join(s.base, dir)
	if _, err := c.Stat(full); err == nil {
		return nil
	}
	return c.Mkdir(full)
}

func (s *sftpTarget) get(ctx context.Context, name string) ([]byte, time.Time, error) {
	c, err := s.client(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	f, err := c.Open(path.Join(s.base, name))
	if err != nil {
		return nil, time.Time{}, s.done(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, s.done(err)
	}
	b, err := io.ReadAll(f)
	return b, fi.ModTime(), s.done(err)
}

func (s *sftpTarget) list(ctx context.Context, prefix string, fn func(string, int64) error) error {
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	for w := c.Walk(path.Join(s.base, prefix)); w.Step(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors.Is(w.Err(), fs.ErrNotExist) {
			continue
		}
		if w.Err() != nil {
			return s.done(w.Err())
		}
		if fi := w.Stat(); fi.Mode().IsRegular() && !strings.HasSuffix(w.Path(), tempSuffix) {
			if err := fn(strings.TrimPrefix(strings.TrimPrefix(w.Path(), s.base), "/"), fi.Size()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sftpTarget) remove(ctx context.Context, name string) error {
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	if err := c.Remove(path.Join(s.base, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.done(err)
	}
	return nil
}

func (s *sftpTarget) space() (free, size int64) {
	s.mu.Lock()
	c := s.c
	s.mu.Unlock()
	if c == nil {
		return 0, 0
	}
	st, err := c.StatVFS(s.base)
	if err != nil {
		return 0, 0
	}
	return int64(st.Bavail * st.Frsize), int64(st.Blocks * st.Frsize)
}

func (s *sftpTarget) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		return nil
	}
	err := errors.Join(ignoreClosed(s.c.Close()), ignoreClosed(s.conn.Close()))
	s.c, s.conn = nil, nil
	return err
}
