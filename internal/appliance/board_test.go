package appliance

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
)

func boardAndRules(t *testing.T, fs map[string]*dto.MetricFamily) {}
