package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// Config is farol.yaml. Every key is optional; an unknown one is an error.
type Config struct {
	StateDir   string `yaml:"state_dir" doc:"Folder of the databases, the audit log and the sealed root key. Owned by the service user, mode 0700."`
	ArchiveDir string `yaml:"archive_dir" doc:"Folder of the archive: journal and repository. Empty: <state_dir>/archive. Put it on the large disk."`
	HostKey    string `yaml:"host_key" doc:"File of the key that opens the sealed root key at an unattended start. Keep it on another disk than state_dir. Not used where the service manager hands over the root key."`
	Listen     string `yaml:"listen" doc:"Address of the console, host:port. A socket handed over by the service manager wins."`
	TLSCert    string `yaml:"tls_cert" doc:"File of the console's certificate with its chain, PEM. Empty: a self-made one, whose fingerprint farol setup-code prints. Read at start."`
	TLSKey     string `yaml:"tls_key" doc:"File of that certificate's private key, PEM, readable by the service user alone."`
	Metrics    string `yaml:"metrics_token_file" doc:"File of the token with which a monitor on another machine may read /metrics (Authorization: Bearer), 16 characters at least, readable by the service user alone. Empty: programs on this machine only. A proxy on this machine that hides for whom it asks must not pass /metrics on. Read at start."`
	RunDir     string `yaml:"run_dir" doc:"Folder of the control socket. Empty: <state_dir>/run."`
	Reserve    int64  `yaml:"reserve_bytes" doc:"Free bytes on the archive's disk below which no new data is taken, so that searching and sending go on."`
	LogLevel   string `yaml:"log_level" doc:"debug, info, warn or error."`
	MemoryMB   int    `yaml:"memory_mb" doc:"Memory the program tries to stay below, in MiB, at least 128. It slows down rather than fail. 0: a quarter of what the machine or its container has, at most 320."`
	CPUs       int    `yaml:"cpus" doc:"Processor cores it uses, which is also how much is read and packed at the same time. 0: all that the machine or its container has."`
	Parity     bool   `yaml:"parity" doc:"Keep beside each file of the archive what mends bad sectors, about 3 percent more space. Turn it off on ZFS, btrfs or RAID with checksums."`
}

// DefaultConfig is the configuration of an installed package.
func DefaultConfig() Config {
	return Config{StateDir: "/var/lib/farol", HostKey: "/etc/farol/host.key", Listen: ":8443", Reserve: 1 << 30, LogLevel: "info", Parity: true}
}

// LoadConfig reads the file at path over the defaults. An empty path gives the
// defaults. The error lists every fault with its line.
func LoadConfig(path string) (Config, error) {
	c := DefaultConfig()
	if path == "" {
		return c, c.Validate()
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		var te *yaml.TypeError
		if errors.As(err, &te) {
			return c, &ConfigError{Path: path, Faults: te.Errors}
		}
		return c, &ConfigError{Path: path, Faults: []string{err.Error()}}
	}
	if err := c.Validate(); err != nil {
		return c, &ConfigError{Path: path, Faults: strings.Split(err.Error(), "\n")}
	}
	return c, nil
}

// ConfigError lists what is wrong in a configuration file.
type ConfigError struct {
	Path   string
	Faults []string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s: %s\nNothing was started or changed. `farol config doc` lists every key.", e.Path, strings.Join(e.Faults, "; "))
}

// Validate checks the values and joins all faults.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.StateDir == "" {
		bad("state_dir must not be empty")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen must be host:port, for example :8443")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("tls_cert and tls_key go together")
	}
	if c.Reserve < 0 {
		bad("reserve_bytes must not be negative")
	}
	if err := c.Bounds().Validate(); err != nil {
		errs = append(errs, err)
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad("log_level must be debug, info, warn or error")
	}
	if c.ArchiveDir == "" {
		c.ArchiveDir = filepath.Join(c.StateDir, "archive")
	}
	if c.RunDir == "" {
		c.RunDir = filepath.Join(c.StateDir, "run")
	}
	return errors.Join(errs...)
}

// ConfigDoc prints every key with its meaning and default, as YAML comments.
func ConfigDoc(w io.Writer) error {
	d := reflect.ValueOf(DefaultConfig())
	for i := range d.NumField() {
		f := d.Type().Field(i)
		if _, err := fmt.Fprintf(w, "# %s\n%s: %v\n\n", f.Tag.Get("doc"), f.Tag.Get("yaml"), d.Field(i).Interface()); err != nil {
			return err
		}
	}
	return nil
}
