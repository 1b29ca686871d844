package appliance

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThePackagesConfigurationIsTheDefault: the file that an installation
// begins with says what the program does without it, key by key.
func TestThePackagesConfigurationIsTheDefault(t *testing.T) {
	path := filepath.Join("..", "..", "packaging", "farol.yaml")
	got, err := LoadConfig(path)
	want := DefaultConfig()
	if verr := want.Validate(); err != nil || verr != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc bytes.Buffer
	if err := ConfigDoc(&doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(strings.TrimSpace(string(b)), strings.TrimSpace(doc.String())) {
		t.Error("packaging/farol.yaml is not what `farol config doc` prints; put that below its first lines")
	}
}
