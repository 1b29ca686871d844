package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func serve(o *options) *cobra.Command {
	return &cobra.Command{Use: "serve", Short: "Run the appliance", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		cfg, err := o.load()
		if err != nil {
			return err
		}
		return appliance.Serve(cmd.Context(), cfg, os.Stdout)
	}}
}

func node(o *options) *cobra.Command {
	var dir, listen, level, seed string
	var quota int64
	var silent time.Duration
	var status, code, verify bool
	var b appliance.Bounds
	c := &cobra.Command{Use: "node", Short: "Run the off-site node: it keeps sealed copies and has no key", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := b.Validate(); err != nil {
			return usageError{err}
		}
		if quota < 0 || silent <= 0 {
			return usageError{errors.New("--quota-gb must not be negative, --silent-after must be more than 0")}
		}
		if seed != "" {
			return appliance.TakeSeed(cmd.Context(), dir, seed, quota<<30, appliance.Logger(level), cmd.OutOrStdout())
		}
		if code {
			return appliance.NewPageCode(dir, cmd.OutOrStdout())
		}
		if verify {
			return appliance.VerifyNode(cmd.Context(), dir, silent, o.json, appliance.Logger(level), cmd.OutOrStdout())
		}
		if status {
			return appliance.NodeStatus(dir, silent, o.json, cmd.OutOrStdout())
		}
		return appliance.ServeNode(cmd.Context(), dir, listen, quota<<30, silent, b, appliance.Logger(level), os.Stdin, os.Stdout)
	}}
	c.Flags().StringVar(&dir, "dir", "/var/lib/farol-node", "folder of the copies")
	c.Flags().StringVar(&listen, "listen", ":8444", "address, host:port")
	c.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	c.Flags().Int64Var(&quota, "quota-gb", 0, "GiB that each archive may take, 0: what the disk holds; an archive's own stands in its vault.json as bytes")
	c.Flags().DurationVar(&silent, "silent-after", 15*time.Minute, "after how long an appliance that says nothing is an alarm")
	c.Flags().BoolVar(&status, "status", false, "print how each archive stands and end, with a failure when somebody should look")
	c.Flags().StringVar(&seed, "take-seed", "", "take a first copy that farol offsite seed wrote onto a drive, and end; the node must be stopped")
	c.Flags().BoolVar(&verify, "verify", false, "read back everything that is held, print how it stands and end, with a failure when somebody should look; the node must be stopped: while it runs it does so itself once a week")
	c.Flags().BoolVar(&code, "page-code", false, "make a new code for the node's page, print it and end")
	c.Flags().IntVar(&b.MemoryMB, "memory-mb", 0, "memory to stay below, in MiB; 0: a quarter of the machine's, at most 320")
	c.Flags().IntVar(&b.CPUs, "cpus", 0, "processor cores to use; 0: all")
	return c
}
