// Command farol is the appliance, the off-site node, and the operator's verbs.
//
// Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 something did
// not verify, 4 another process works on the same folders.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && appliance.Version == "dev" { // a package's build has set it
		appliance.Version = info.Main.Version
	}
	forgetKopia()
	err := root().ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "farol:", appliance.Words(err))
	}
	os.Exit(exitCode(err))
}

// forgetKopia takes away what is meant for the stock program in the same shell:
// its library reads some of it too, and with a folder for a cache, which Farol's
// archive does not keep, it would not open the archive.
func forgetKopia() {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "KOPIA_") {
			os.Unsetenv(name)
		}
	}
}

type usageError struct{ error }

func exitCode(err error) int {
	var ce *appliance.ConfigError
	var ue usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, appliance.ErrNotVerified):
		return 3
	case errors.Is(err, appliance.ErrInUse), errors.Is(err, appliance.ErrRunning):
		return 4
	case errors.As(err, &ce), errors.As(err, &ue), strings.HasPrefix(err.Error(), "unknown command"), strings.Contains(err.Error(), "arg(s)"):
		return 2
	}
	return 1
}

// further are verbs that only a build with a tag has.
var further []func() *cobra.Command

// options are the flags that every verb has.
type options struct {
	config string
	json   bool
}

// installed is the configuration that the packages bring. Who types a verb on
// such a machine means that appliance, wherever its archive lies.
const installed = "/etc/farol/farol.yaml"

func (o *options) load() (appliance.Config, error) {
	path := o.config
	if path == "" {
		if _, err := os.Stat(installed); err == nil {
			path = installed
		}
	}
	return appliance.LoadConfig(path)
}

func root() *cobra.Command {
	var o options
	c := &cobra.Command{Use: "farol", Short: "Keeps a company's DingTalk data safe", SilenceUsage: true, SilenceErrors: true, Version: appliance.Version}
	c.PersistentFlags().StringVarP(&o.config, "config", "c", "", "configuration file (default: "+installed+" where there is one, else the built-in defaults)")
	c.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.AddCommand(serve(&o), node(&o), setupCode(&o), unlock(&o), status(&o), doctorCmd(&o), supportCmd(&o), backupCmd(&o), fold(&o), archiveCmd(&o), verify(&o), search(&o), export(&o), offsite(&o), auditCmd(&o), proofCmd(&o), recoverCmd(&o), promoteCmd(&o), mergeCmd(&o), rebuildCmd(&o), placeCmd(&o), configCmd())
	for _, make := range further {
		c.AddCommand(make())
	}
	return c
}
