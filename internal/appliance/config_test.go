package appliance

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnUnknownKeyIsNamedAndNothingStarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "farol.yaml")
	for text, want := range map[string]string{
		"state_dri: /x\n": "state_dri", "listen: nonsense\nlog_level: loud\n": "log_level", "reserve_bytes: -1\n": "reserve_bytes", "listen: [1]\n": "line 1", "a: b: c": "mapping",
		"memory_mb: 12\n": "memory_mb must be 0", "cpus: -1\n": "cpus must be 0", "memory_mb: much\n": "line 1",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadConfig(path)
		var ce *ConfigError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheConfigurationsDocIsAConfiguration(t *testing.T) {
	var b bytes.Buffer
	if err := ConfigDoc(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "farol.yaml")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := LoadConfig(path)
	want := DefaultConfig()
	if verr := want.Validate(); err != nil || verr != nil || got != want {
		t.Fatalf("%+v %v", got, err)
	}
}
