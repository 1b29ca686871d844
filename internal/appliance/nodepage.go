package appliance

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"farol/internal/replica"
	"farol/internal/web"
)

// pageCode is the file with the SHA-256 of what opens a node's page.
const pageCode = "page.code"

// NewPageCode makes a new code for the page of the node in dir and prints it,
// once. The old one stops working, also in a node that runs.
func NewPageCode(dir string, out io.Writer) error {
	if _, err := os.Stat(filepath.Join(dir, "node.json")); err != nil {
		return fmt.Errorf("there is no node in %s: %w", dir, err)
	}
	code := rand.Text()[:25] // 125 bits
	sum := sha256.Sum256([]byte(code))
	path := filepath.Join(dir, pageCode)
	if err := os.WriteFile(path+".tmp", sum[:], 0o600); err != nil {
		return fmt.Errorf("keep the code of the page: %w", err)
	}
	if info, err := os.Stat(dir); err == nil { // made by root for the service's user
		if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := os.Chown(path+".tmp", int(st.Uid), int(st.Gid)); err != nil {
				return fmt.Errorf("keep the code of the page: %w", err)
			}
		}
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("keep the code of the page: %w", err)
	}
	var groups []string
	for i := 0; i < len(code); i += 5 {
		groups = append(groups, code[i:i+5])
	}
	_, err := fmt.Fprintf(out, "code of the node's page: %s\n", strings.Join(groups, "-"))
	return err
}

// nodeReady says in one word why a node in dir takes nothing now.
func nodeReady(dir string) string {
	var st syscall.Statfs_t
	switch _, err := os.Stat(filepath.Join(dir, "node.json")); {
	case err != nil:
		return "folder"
	case syscall.Statfs(dir, &st) != nil, st.Flags&syscall.MS_RDONLY != 0:
		return "disk"
	case st.Bavail == 0:
		return "full"
	}
	return ""
}

// nodePage is what a browser sees at a node.
func nodePage(n *replica.Node, dir string, log *slog.Logger) http.Handler {
	return web.NodeConsole{
		Facts: func() (web.NodeFacts, error) {
			f := web.NodeFacts{Fingerprint: n.Fingerprint()}
			list, err := n.Held()
			if err != nil {
				return f, err
			}
			for _, h := range list {
				f.Archives = append(f.Archives, web.NodeArchive{ID: h.Archive, Heard: h.Heard, Silent: h.Silent, Refused: h.Refused, LastRefused: h.LastRefused, Used: h.Used, Quota: h.Quota, Witnessed: h.Witnessed, Conflicts: h.Conflicts, Replaced: h.Replaced, Full: h.Full, Verified: h.Verified, VerifiedFiles: h.VerifiedFiles, Damaged: h.Damaged})
			}
			var st syscall.Statfs_t
			if err := syscall.Statfs(dir, &st); err != nil {
				return f, fmt.Errorf("look at the disk: %w", err)
			}
			f.Free, f.Total = int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
			return f, nil
		},
		Ready: func() string { return nodeReady(dir) },
		Code: func() ([]byte, error) {
			b, err := os.ReadFile(filepath.Join(dir, pageCode))
			if errors.Is(err, os.ErrNotExist) {
				return nil, nil
			}
			return b, err
		},
		Version: Version, Log: log, Now: time.Now,
	}.Handler()
}
