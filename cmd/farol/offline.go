package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func proofCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "proof", Short: "Proofs of single records and of exports"}
	var key string
	v := &cobra.Command{Use: "verify FILE|FOLDER", Short: "Check a proof, or every line of an export, offline", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		text, err := appliance.VerifyProof(args[0], key)
		if err != nil {
			return err
		}
		fmt.Fprint(cmd.OutOrStdout(), text)
		return nil
	}}
	v.Flags().StringVar(&key, "key", "", "the log's public key, as you were given it by another way")
	c.AddCommand(v)
	return c
}

func recoverCmd(o *options) *cobra.Command {
	var rc appliance.Recovery
	var file, from, before string
	var place func(kind string) (appliance.PlaceConfig, error)
	c := &cobra.Command{Use: "recover", Short: "Rebuild an appliance whose disk is lost, from the off-site node or a storage place, and the recovery kit",
		Example: `  farol recover --node node2.example.mo:8444 --code ABCD-EFGH --shares shares.txt
  farol recover --node node2.example.mo:8444 --code ABCD-EFGH --before 2026-11-29T08:00
  farol recover --in-place --shares shares.txt
  farol recover --from-place dir --path /mnt/nas/farol --shares shares.txt
  farol recover --from-place s3 --host s3.example.com --bucket farol --path macau/hq --user KEY --secret-file secret --before 2026-11-29T08:00
  farol recover --from-place sftp --host 10.0.9.4 --user farol --path /srv/farol --secret-file key.pem --host-key-file host.pub`, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			if rc.Before, err = moment(before); err != nil {
				return err
			}
			node := rc.Address != "" || rc.Code != ""
			switch {
			case before != "" && !node && from != "s3":
				return usageError{errors.New("--before needs --node, or --from-place s3: only the off-site node and a bucket with versions know what they held at a time")}
			case from != "" && node || rc.InPlace && (from != "" || node):
				return usageError{errors.New("one of --in-place, --from-place, or --node and --code")}
			case rc.InPlace:
			case from != "":
				p, err := place(from)
				if err != nil {
					return err
				}
				rc.Place = &p
			case rc.Address == "" || rc.Code == "":
				return usageError{errors.New("--node and --code are needed, or --from-place, or --in-place: the node shows its code when Enter is pressed on its terminal")}
			}
			if rc.Shares, err = readShares(cmd, file); err != nil {
				return err
			}
			rc.Aside = func(f appliance.Foreign) {
				fmt.Fprintf(cmd.ErrOrStderr(), "put aside, not the archive's (%s): %s\n", f.Why, f.Name)
			}
			last := ""
			err = appliance.Recover(cmd.Context(), cfg, rc, appliance.Logger(cfg.LogLevel), func(step string, done, total int64) {
				if line := fmt.Sprintf("%s: %d of %d MB", step, done>>20, total>>20); line != last {
					last = line
					fmt.Fprintln(cmd.OutOrStdout(), line)
				}
			})
			if err != nil {
				return err
			}
			if rc.InPlace {
				fmt.Fprintln(cmd.OutOrStdout(), "the root key is back. Start the appliance now: it makes anew what else is missing.")
				return nil
			}
			fmt.Fprintln(cmd.OutOrStdout(), "recovered. Start the appliance now: it brings its catalog forward, or makes it from the archive. If it had an off-site node, enrol it with the node again.")
			return nil
		}}
	c.Flags().StringVar(&rc.Address, "node", "", "address of the off-site node, host:port")
	c.Flags().StringVar(&rc.Code, "code", "", "enrolment code that the node shows")
	c.Flags().StringVar(&before, "before", "", "as the history of the node, or of a bucket with versions, was at this time, as in 2026-11-29T08:00, by its clock: the moment before an attack")
	c.Flags().BoolVar(&rc.EarlierLock, "earlier-lock", false, "take a lock before the newest when the shares do not open that: only where the node says REPLACED and nobody has changed the root key")
	c.Flags().StringVar(&file, "shares", "", "file with one share a line (default: typed in)")
	c.Flags().BoolVar(&rc.InPlace, "in-place", false, "archive and audit log are whole on this machine, only the root key or its host key is lost")
	c.Flags().StringVar(&from, "from-place", "", "dir, s3 or sftp: recover from a storage place instead, with the flags that follow")
	place = placeFlags(c.Flags())
	return c
}

// moment reads a time: with its zone, or in the machine's.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("%q is no time: write 2026-11-29T08:00", text)}
}

// promoteCmd takes over on the node's machine.
func promoteCmd(o *options) *cobra.Command {
	p := appliance.Promotion{}
	var file, before string
	c := &cobra.Command{Use: "promote", Short: "Take over from the appliance on the off-site node's machine, with the recovery kit and a one-time code",
		Long: `Makes an appliance out of what the node on this machine holds. Repository files are linked, not copied, where both folders lie on one disk. From then on the
node refuses the former appliance, which stops taking data in once it hears of it. With --rehearse everything is done in a folder of its own and taken away again:
the appliance goes on undisturbed. Run it as the user of the service, so that the service may read what it makes.`,
		Example: `  farol promote --account ana --rehearse
  farol promote --account ana --shares shares.txt --node-dir /var/lib/farol-node`, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			if p.Before, err = moment(before); err != nil {
				return err
			}
			if p.Account == "" {
				return usageError{errors.New("--account is needed: the name of one who may configure the appliance")}
			}
			cmd.SetIn(bufio.NewReader(cmd.InOrStdin()))
			if p.Shares, err = readShares(cmd, file); err != nil {
				return err
			}
			if p.Code == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "One-time code of %s: ", p.Account)
				if _, err := fmt.Fscanln(cmd.InOrStdin(), &p.Code); err != nil {
					return usageError{errors.New("no code was given")}
				}
			}
			r, err := appliance.Promote(cmd.Context(), cfg, p, appliance.Logger(cfg.LogLevel))
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if o.json {
				enc := json.NewEncoder(w)
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			fmt.Fprintf(w, "archive %s, epoch %d, up to commit %d\n", r.Archive, r.Epoch, r.Commit)
			fmt.Fprintf(w, "%d MB linked, %d MB copied, in %.1f s\n", r.Linked>>20, r.Copied>>20, r.Took.Seconds())
			if r.Catalog.IsZero() {
				fmt.Fprintln(w, "no copy of the catalog was there: it is made from the archive")
			} else {
				fmt.Fprintf(w, "catalog of %s, brought forward\n", r.Catalog.Local().Format("2006-01-02 15:04"))
			}
			if p.Rehearse {
				fmt.Fprintf(w, "a rehearsal: %d items can be found, the newest was read; everything was taken away again\n", r.Records)
				return nil
			}
			fmt.Fprintln(w, "taken over. Start the appliance now: it can be searched and read at once, and takes data in while DingTalk accepts its credentials.")
			fmt.Fprintln(w, "It has no off-site copy of its own yet, and further copies must be added again: do that next.")
			return nil
		}}
	c.Flags().StringVar(&p.NodeDir, "node-dir", "/var/lib/farol-node", "folder of the node")
	c.Flags().StringVar(&p.Archive, "archive", "", "id of the archive, or its beginning, where the node holds several")
	c.Flags().StringVar(&file, "shares", "", "file with one share a line (default: typed in)")
	c.Flags().StringVar(&p.Account, "account", "", "account of one who may configure the appliance")
	c.Flags().StringVar(&p.Code, "code", "", "its one-time code (default: typed in)")
	c.Flags().StringVar(&before, "before", "", "as the node's history was at this time, as in 2026-11-29T08:00, by the node's clock: the moment before an attack")
	c.Flags().BoolVar(&p.EarlierLock, "earlier-lock", false, "take a lock before the newest when the shares do not open that: only where the node says REPLACED and nobody has changed the root key")
	c.Flags().BoolVar(&p.Rehearse, "rehearse", false, "try it without deciding anything")
	return c
}

// archivePassword is the way out without us: what stock kopia asks for.
func archivePassword() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "password", Short: "Print the password that stock kopia needs, from shares of the recovery kit; offline", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		shares, err := readShares(cmd, file)
		if err != nil {
			return err
		}
		p, err := appliance.ArchivePassword(shares)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), p)
		return nil
	}}
	c.Flags().StringVar(&file, "shares", "", "file with one share a line (default: typed in)")
	return c
}

// readShares takes the shares from a file or from the terminal, one a line, an
// empty line ends.
func readShares(cmd *cobra.Command, file string) ([]string, error) {
	in := cmd.InOrStdin()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("open the shares: %w", err)
		}
		defer f.Close()
		in = f
	} else {
		fmt.Fprintln(cmd.ErrOrStderr(), "Type the shares of the recovery kit, one a line; an empty line ends.")
	}
	r, ok := in.(*bufio.Reader) // what follows the shares is for who asks next
	if !ok {
		r = bufio.NewReader(in)
	}
	var out []string
	for {
		line, err := r.ReadString('\n')
		if s := strings.TrimSpace(line); s != "" {
			out = append(out, s)
		}
		if err != nil || strings.TrimSpace(line) == "" {
			break
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no share was given: nothing can be opened without the recovery kit")
	}
	return out, nil
}
