package replica

import (
	"errors"
	"testing"
)

func TestWithoutTLSOnlyThisMachineIsAStoragePlace(t *testing.T) {
	for host, ok := range map[string]bool{
		"127.0.0.1:9000": true, "127.9.8.7": true, "[::1]:9000": true,
		"192.168.1.5:9000": false, "10.0.0.1": false, "0.0.0.0:9000": false, "nas.local:9000": false, "localhost:9000": false, "127.0.0.1.example:9000": false, "": false,
	} {
		cfg := PlaceConfig{Kind: "s3", Host: host, Bucket: "farol", User: "u", Secret: "s", Plain: true}
		if _, err := openTarget(cfg); errors.Is(err, ErrPlain) == ok {
			t.Errorf("%q without TLS: %v", host, err)
		}
		if cfg.Plain = false; host != "" {
			if _, err := openTarget(cfg); err != nil {
				t.Errorf("%q with TLS: %v", host, err)
			}
		}
	}
}
