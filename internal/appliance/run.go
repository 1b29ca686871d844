package appliance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"farol/internal/web"
)

// Run serves until ctx ends. Open must have returned before.
func (a *Appliance) Run(ctx context.Context) error {
	if err := a.loadClient(ctx); err != nil {
		return err
	}
	cert, err := a.certificate(ctx)
	if err != nil {
		return err
	}
	token, err := a.cfg.metricsToken()
	if err != nil {
		return err
	}
	ln, err := a.listener()
	if err != nil {
		return err
	}
	srv, err := web.New(web.Deps{Accounts: a.accounts, Door: a.door, Engine: a.engine, Settings: a.settings, Audit: a.audit, Catalog: a.catalog, Watch: a.watch, Machine: a, Access: a.access, Approvals: a.approvals, Matters: a.matters, Kit: a.kits, Members: a.members(), Log: a.log,
		Figures: a.metrics.handler(), FiguresToken: token, Answered: a.metrics.answered, Noted: a.metrics.noted})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	ctl, err := a.controlListener()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	a.mu.Lock()
	a.sendersCtx = ctx
	a.mu.Unlock()
	a.runSender()
	a.runWitness()
	a.runPlaces()
	g.Go(func() error { return a.engine.Run(ctx) })
	g.Go(func() error { return a.archive.Run(ctx) })
	g.Go(func() error {
		return srv.Serve(ctx, tls.NewListener(ln, consoleTLS(cert)))
	})
	g.Go(func() error { return a.serveControl(ctx, ctl) })
	g.Go(func() error { return a.copyControl(ctx) })
	g.Go(func() error { return a.keepCatalogCopy(ctx) })
	g.Go(func() error { return a.sweep().Run(ctx) })
	g.Go(func() error { return a.watch.Run(ctx) })
	g.Go(func() error { return a.verify.Run(ctx) })
	g.Go(func() error { return a.noteDamage(ctx) })
	g.Go(func() error { return a.weigh(ctx) })
	g.Go(func() error { return a.metrics.count(ctx) })
	g.Go(func() error { return a.watchCatalog(ctx) })
	g.Go(func() error { return a.watchClock(ctx) })
	g.Go(func() error { return a.watchLog(ctx) })
	g.Go(func() error { return a.watchFiles(ctx) })
	g.Go(func() error { return watchdog(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-a.broken:
			return err
		}
	})
	a.log.InfoContext(ctx, "farol is ready", "address", ln.Addr().String(), "version", Version)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		a.log.WarnContext(ctx, "tell the service manager", "err", err)
	}
	close(a.ready)
	err = g.Wait()
	if _, nerr := daemon.SdNotify(false, daemon.SdNotifyStopping); nerr != nil {
		a.log.DebugContext(ctx, "tell the service manager", "err", nerr)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// listener takes the socket that the service manager hands over, else its own.
func (a *Appliance) listener() (net.Listener, error) {
	lns, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the handed-over socket: %w", err)
	}
	if len(lns) > 0 {
		return lns[0], nil
	}
	ln, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the console: %w", err)
	}
	return ln, nil
}

// Fingerprint is the console certificate as people compare it.
func (a *Appliance) Fingerprint() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.print
}

// copyControl puts a sealed copy of the control database into the archive
// within 30 s of a change: it goes off-site with the journal.
func (a *Appliance) copyControl(ctx context.Context) error {
	last := int64(-1)
	for {
		if v := a.control.Version(); v != last && !a.archive.Frozen() {
			if err := a.sealControl(ctx); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				a.log.WarnContext(ctx, "the control database was not copied into the archive", "err", err)
			} else {
				last = v
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Second):
		}
	}
}

// sealedControl is the name of the sealed copy in the archive.
const sealedControl = "control.db"

func (a *Appliance) sealControl(ctx context.Context) error {
	dir, err := os.MkdirTemp(a.cfg.StateDir, "copy-*")
	if err != nil {
		return fmt.Errorf("make a copy: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "control.db")
	if err := a.control.Copy(ctx, path); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	return a.archive.PutSealed(ctx, sealedControl, b)
}

// stillStarting asks the service manager for more time: a catalog of millions
// of records takes longer to make than a start may usually last.
func stillStarting() {
	_, _ = daemon.SdNotify(false, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (5*time.Minute).Microseconds()))
}

// watchdog tells the service manager that the process still turns.
func watchdog(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every / 3):
			if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
				return fmt.Errorf("watchdog: %w", err)
			}
		}
	}
}
