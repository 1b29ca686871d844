package simulator

import (
	"os"
	"path/filepath"
	"testing"
)

// shared finds a file of the documentation beside the repository.
func shared(t *testing.T, parts ...string) string {
	t.Helper()
	name := filepath.Join(append([]string{"..", "..", "..", "..", "shared"}, parts...)...)
	if _, err := os.Stat(name); err != nil {
		t.Skip("the shared documentation is not beside this repository")
	}
	return name
}

func readSample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(shared(t, "dingtalk", "samples", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
