package main

import (
	"os"

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

func node() *cobra.Command {
	var dir, listen, level string
	var b appliance.Bounds
	c := &cobra.Command{Use: "node", Short: "Run the off-site node: it keeps sealed copies and has no key", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := b.Validate(); err != nil {
			return usageError{err}
		}
		return appliance.ServeNode(cmd.Context(), dir, listen, b, appliance.Logger(level), os.Stdin, os.Stdout)
	}}
	c.Flags().StringVar(&dir, "dir", "/var/lib/farol-node", "folder of the copies")
	c.Flags().StringVar(&listen, "listen", ":8444", "address, host:port")
	c.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	c.Flags().IntVar(&b.MemoryMB, "memory-mb", 0, "memory to stay below, in MiB; 0: a quarter of the machine's, at most 320")
	c.Flags().IntVar(&b.CPUs, "cpus", 0, "processor cores to use; 0: all")
	return c
}
