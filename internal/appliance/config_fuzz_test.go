package appliance

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfig reads farol.yaml: it is taken whole or refused with words.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"", "state_dir: /var/lib/farol\n", "listen: [1,2]\n", "unknown: 1\n", "a: &a [*a]\n", "reserve: 1e400\n", "\t"} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "farol.yaml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadConfig(path)
		if err == nil && c.StateDir == "" {
			t.Errorf("%q is taken and names no folder", b)
		}
	})
}
