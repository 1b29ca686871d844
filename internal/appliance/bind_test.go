package appliance

import (
	"errors"
	"testing"

	"farol/internal/i18n"
	"farol/internal/web"
)

func TestOnlyASimulatorIsSpokenToWithoutTLS(t *testing.T) {
	a, stop := runs(t, bench(t))
	defer stop()
	for _, address := range []string{"http://api.dingtalk.com", "http://10.1.2.3", "http://localhost.evil.example", "ftp://127.0.0.1", "//x", "api.dingtalk.com"} {
		err := a.Bind(t.Context(), web.Binding{Region: "custom", BaseURL: address, ClientID: "id", ClientSecret: "secret"})
		if said := (*i18n.Error)(nil); !errors.As(err, &said) || said.ID != "bind.address" {
			t.Errorf("%s: %v", address, err)
		}
	}
}
