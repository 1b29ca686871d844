// Package settings keeps what the customer chose: the bound tenant, the scope,
// the places, the members' consents. Secrets are sealed before they reach the
// database, and no setting is ever written to a log.
package settings

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"farol/internal/db"
)

// Box seals secrets at rest.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Settings reads and writes choices. It is safe for concurrent use.
type Settings struct {
	db  *db.DB
	box Box

	mu    sync.Mutex
	locks map[string]*sync.Mutex // one per person, held while tokens are refreshed
}

// New returns the settings of a control database.
func New(d *db.DB, box Box) *Settings {
	return &Settings{db: d, box: box, locks: map[string]*sync.Mutex{}}
}

// Names of settings.
const (
	SetupDone        = "setup.done"      // RFC 3339 time
	SetupStep        = "setup.step"      // furthest step reached
	Hosts            = "tenant.hosts"    // JSON of dingtalk.Hosts
	ClientID         = "tenant.client"   // AppKey
	ClientSecret     = "tenant.secret"   // sealed
	CorpID           = "tenant.corp"     // DingTalk's id of the organisation
	CorpName         = "tenant.name"     // sealed: a name
	Operator         = "tenant.operator" // unionId of the employee named for drive access
	OperatorUser     = "tenant.operator.user"
	OffsiteURL       = "offsite.url"
	OffsiteID        = "offsite.identity"   // sealed: our certificate and key, the node's certificate
	WitnessURL       = "witness.url"        // of the second witness
	WitnessID        = "witness.identity"   // sealed, as the node's
	WitnessTransfer  = "witness.transfer"   // JSON of record.Transfer: where it lies
	Superseded       = "offsite.superseded" // RFC 3339 time: another appliance has taken over
	OffsiteLimited   = "offsite.limit"      // JSON of OffsiteLimit
	OffsiteTransfer  = "offsite.transfer"   // JSON of record.Transfer: where the node lies
	SignInByDingTalk = "signin.dingtalk"    // "on": DingTalk may be an account's first factor
	SelfService      = "self.service"       // "on": members may read what is their own
	BackupPaused     = "backup.paused"
	ScheduleNight    = "schedule.incremental" // cron, Asia/Macau
	ScheduleWeek     = "schedule.full"
	VerifyNight      = "verify.night"         // cron, Asia/Macau: the sample
	VerifyWeek       = "verify.week"          // cron: everything
	VerifyMinutes    = "verify.night.minutes" // budget of the sample
	VerifyHours      = "verify.week.hours"    // budget of everything, a night
)

// Get reads a setting, "" when it was never set.
func (s *Settings) Get(ctx context.Context, name string) (string, error) {
	var out string
	err := s.db.View(ctx, func(tx *db.Tx) error {
		var v []byte
		var sealed bool
		err := tx.QueryRowContext(ctx, "SELECT value, sealed FROM setting WHERE name=?", name).Scan(&v, &sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		if sealed {
			if v, err = s.box.Open(v, aad(name)); err != nil {
				return err
			}
		}
		out = string(v)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read setting %s: %w", name, err)
	}
	return out, nil
}

func aad(name string) []byte { return []byte("farol setting " + name) }

// Set writes settings in one transaction.
func (s *Settings) Set(ctx context.Context, values map[string]string) error {
	return s.SetAll(ctx, values, nil)
}

// SetSecret writes settings sealed.
func (s *Settings) SetSecret(ctx context.Context, values map[string]string) error {
	return s.SetAll(ctx, nil, values)
}

// SetAll writes what belongs together, some of it sealed, in one transaction.
func (s *Settings) SetAll(ctx context.Context, plain, secret map[string]string) error {
	err := s.db.Update(ctx, func(tx *db.Tx) error {
		put := func(name string, b []byte, sealed bool) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO setting(name,value,sealed,at) VALUES(?,?,?,?)
				ON CONFLICT(name) DO UPDATE SET value=excluded.value, sealed=excluded.sealed, at=excluded.at`, name, b, sealed, tx.Now.UnixMilli())
			return err
		}
		for name, v := range plain {
			if err := put(name, []byte(v), false); err != nil {
				return err
			}
		}
		for name, v := range secret {
			if err := put(name, s.box.Seal([]byte(v), aad(name)), true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// GetJSON reads a setting into v; it reports whether it was set.
func (s *Settings) GetJSON(ctx context.Context, name string, v any) (bool, error) {
	text, err := s.Get(ctx, name)
	if err != nil || text == "" {
		return false, err
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return false, fmt.Errorf("read setting %s: %w", name, err)
	}
	return true, nil
}
