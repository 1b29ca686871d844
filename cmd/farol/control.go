package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

// ask sends a verb to the running appliance and prints its answer.
func ask(o *options, cmd *cobra.Command, verb string, in any, print func(json.RawMessage) error) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	var out json.RawMessage
	if err := appliance.Control(cmd.Context(), cfg, verb, in, &out); err != nil {
		return err
	}
	if o.json || print == nil {
		b, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), string(b))
		return nil
	}
	return print(out)
}

func setupCode(o *options) *cobra.Command {
	return &cobra.Command{Use: "setup-code", Short: "Show the one-time code that claims a new appliance", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "setup-code", nil, func(b json.RawMessage) error {
			var v struct{ Code, Fingerprint string }
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "code: %s\ncertificate: %s\n", v.Code, v.Fingerprint)
			return nil
		})
	}}
}

func unlock(o *options) *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "unlock [ACCOUNT]", Short: "Forget the wrong sign-ins of an account, or of --all, so that nobody has to wait", Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		if (len(args) == 0) != all {
			return usageError{errors.New("name one account, or give --all")}
		}
		return ask(o, cmd, "unlock", map[string]any{"name": strings.Join(args, ""), "all": all}, func(b json.RawMessage) error {
			var v struct{ Forgotten int64 }
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "forgotten: %d counts of tries\n", v.Forgotten)
			return nil
		})
	}}
	c.Flags().BoolVar(&all, "all", false, "every account")
	return c
}

func status(o *options) *cobra.Command {
	return &cobra.Command{Use: "status", Short: "How the appliance stands: counts, health and the memory it takes, no content", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "status", nil, nil)
	}}
}

func doctorCmd(o *options) *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Look at disk, clock, names, port, rights and certificate, and say what to do; changes nothing", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		cfg, err := o.load()
		if err != nil {
			return err
		}
		return appliance.Doctor(cmd.Context(), cfg, o.json, cmd.OutOrStdout())
	}}
}

func supportCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "support", Short: "For whoever helps you"}
	var s appliance.Support
	b := &cobra.Command{Use: "bundle", Short: "Gather what a supporter needs in a .tar.gz: counts, states and cleaned log lines; no content, no names, no secrets",
		Long: `Gathers version, configuration, what farol doctor finds, status, metrics, the state of the service and its last log lines into one file that only you can read.
Farol runs no other program: hand it what systemctl and journalctl print, as in the example. Of all of it only what is on a fixed list is taken. It works while the
daemon is down. README.txt inside says what is in it and what never is: read it before you send it.`, Example: "  farol support bundle --journal <(journalctl -u farol -n 2000 -o json) --unit <(systemctl show farol)", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			return appliance.SupportBundle(cmd.Context(), cfg, s, cmd.OutOrStdout())
		}}
	b.Flags().StringVar(&s.Path, "out", "", "file to write, which must not exist (default: farol-support-<time>.tar.gz here)")
	b.Flags().StringVar(&s.Journal, "journal", "", "file with what journalctl -u farol -n 2000 -o json prints")
	b.Flags().StringVar(&s.Unit, "unit", "", "file with what systemctl show farol prints")
	c.AddCommand(b)
	return c
}

func backupCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "backup", Short: "Run backups"}
	var full, wait bool
	now := &cobra.Command{Use: "now", Short: "Start a backup now", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		mode := "incremental"
		if full {
			mode = "full"
		}
		return ask(o, cmd, "backup", map[string]any{"mode": mode, "wait": wait}, nil)
	}}
	now.Flags().BoolVar(&full, "full", false, "list everything and compare hashes")
	now.Flags().BoolVar(&wait, "wait", false, "wait until it has ended")
	c.AddCommand(now)
	return c
}

func fold(o *options) *cobra.Command {
	return &cobra.Command{Use: "fold", Short: "Fold the journal into the archive, so that stock kopia sees everything", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "fold", nil, nil)
	}}
}

func archiveCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "archive", Short: "Look at the archive"}
	c.AddCommand(&cobra.Command{Use: "status", Short: "Journal and repository: sizes, points in time", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "status", nil, func(b json.RawMessage) error {
			var v struct{ Archive json.RawMessage }
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			out, err := json.MarshalIndent(v.Archive, "", "  ")
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), string(out))
			return nil
		})
	}})
	c.AddCommand(archivePassword())
	return c
}

func verify(o *options) *cobra.Command {
	return &cobra.Command{Use: "verify", Short: "Read everything again and compare with the hashes taken at capture", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var damage int64
		err := ask(o, cmd, "verify", nil, func(b json.RawMessage) error {
			var v struct {
				Records, Files, Bytes, Bad, Healed int64
				Took                               time.Duration
				Parts                              []struct {
					Kind                             string
					Dept, Records, Files, Bytes, Bad int64
					Root                             string
				}
			}
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			damage = v.Bad
			fmt.Fprintf(cmd.OutOrStdout(), "read %d records, %d files, %d bytes in %s; damaged: %d, healed: %d\n", v.Records, v.Files, v.Bytes, v.Took.Round(time.Millisecond), v.Bad, v.Healed)
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "department\tkind\trecords\tfiles\tbytes\tdamaged\troot")
			for _, p := range v.Parts {
				fmt.Fprintf(tw, "%d\t%s\t%d\t%d\t%d\t%d\t%s\n", p.Dept, p.Kind, p.Records, p.Files, p.Bytes, p.Bad, p.Root)
			}
			return tw.Flush()
		})
		if err == nil && damage > 0 {
			return fmt.Errorf("%w: %d places are damaged", appliance.ErrNotVerified, damage)
		}
		return err
	}}
}

func search(o *options) *cobra.Command {
	var n int
	var asOf uint64
	c := &cobra.Command{Use: "search WORDS", Short: "Search the archive; the search is an entry in the audit log", Args: cobra.MinimumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		return ask(o, cmd, "search", map[string]any{"text": strings.Join(args, " "), "n": n, "as_of": asOf}, func(b json.RawMessage) error {
			var v struct {
				Count int
				Exact bool
				Took  time.Duration
				Rows  []struct {
					Time               time.Time
					Kind, Author, Text string
				}
			}
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			about := ""
			if !v.Exact {
				about = "at most "
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s%d hits, %s\n", about, v.Count, v.Took.Round(time.Microsecond))
			for _, r := range v.Rows {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s: %s\n", r.Time.Format(time.RFC3339), r.Kind, r.Author, strings.ReplaceAll(r.Text, "\n", " "))
			}
			return nil
		})
	}}
	c.Flags().IntVar(&n, "n", 20, "how many hits to show")
	c.Flags().Uint64Var(&asOf, "as-of", 0, "a commit number: the state at that point in time")
	return c
}

func export(o *options) *cobra.Command {
	var kinds []string
	var depts []int64
	var asOf uint64
	var purpose, lang string
	c := &cobra.Command{Use: "export FOLDER", Short: "Export records to a new folder: transcript, NDJSON, files, manifest, proofs", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return usageError{err}
		}
		if purpose == "" {
			return usageError{errors.New("--purpose is needed: recovery, investigation, dispute, handover, request or verification")}
		}
		return ask(o, cmd, "export", map[string]any{"dir": dir, "kinds": kinds, "depts": depts, "as_of": asOf, "purpose": purpose, "lang": lang}, nil)
	}}
	c.Flags().StringSliceVar(&kinds, "kind", nil, "chat, files, approvals, contacts (default: all)")
	c.Flags().Int64SliceVar(&depts, "dept", nil, "department ids, with all below them (default: all)")
	c.Flags().Uint64Var(&asOf, "as-of", 0, "a commit number: the state at that point in time")
	c.Flags().StringVar(&purpose, "purpose", "", "why: it is written into the audit log")
	c.Flags().StringVar(&lang, "lang", "zh-Hant", "language of the transcript: zh-Hant, zh-Hans, pt, en")
	return c
}

func offsite(o *options) *cobra.Command {
	c := &cobra.Command{Use: "offsite", Short: "The off-site copy, and the second witness of the audit log"}
	c.AddCommand(offsiteStatus(o), witnessCmd(o))
	c.AddCommand(&cobra.Command{Use: "wait", Short: "Wait until the node holds everything there is now", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "caught-up", nil, nil)
	}})
	c.AddCommand(&cobra.Command{Use: "seed DIR", Short: "Write the first copy for the node onto a drive that is carried there, with a record of custody", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return usageError{err}
		}
		return ask(o, cmd, "seed", map[string]string{"dir": dir}, func(b json.RawMessage) error {
			var s appliance.Seeded
			if err := json.Unmarshal(b, &s); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "written: %d files, %d bytes\nlist of files: %s\nrecord of custody, to be printed and signed: %s\nat the node: stop it, farol node --take-seed DIR, start it\n", s.Files, s.Bytes, s.Sum, s.Form)
			return err
		})
	}})
	return c
}

func configCmd() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "About the configuration file"}
	c.AddCommand(&cobra.Command{Use: "doc", Short: "Print every key with its meaning and default", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return appliance.ConfigDoc(os.Stdout)
	}})
	return c
}
