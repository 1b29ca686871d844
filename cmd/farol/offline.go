package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

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
	var file, from string
	var place func(kind string) (appliance.PlaceConfig, error)
	c := &cobra.Command{Use: "recover", Short: "Rebuild an appliance whose disk is lost, from the off-site node or a storage place, and the recovery kit",
		Example: `  farol recover --node node2.example.mo:8444 --code ABCD-EFGH --shares shares.txt
  farol recover --in-place --shares shares.txt
  farol recover --from-place dir --path /mnt/nas/farol --shares shares.txt
  farol recover --from-place sftp --host 10.0.9.4 --user farol --path /srv/farol --secret-file key.pem --host-key-file host.pub`, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			node := rc.Address != "" || rc.Code != ""
			switch {
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
			fmt.Fprintln(cmd.OutOrStdout(), "recovered. Start the appliance now: it makes its catalog from the archive. If it had an off-site node, enrol it with the node again.")
			return nil
		}}
	c.Flags().StringVar(&rc.Address, "node", "", "address of the off-site node, host:port")
	c.Flags().StringVar(&rc.Code, "code", "", "enrolment code that the node shows")
	c.Flags().StringVar(&file, "shares", "", "file with one share a line (default: typed in)")
	c.Flags().BoolVar(&rc.InPlace, "in-place", false, "archive and audit log are whole on this machine, only the root key or its host key is lost")
	c.Flags().StringVar(&from, "from-place", "", "dir, s3 or sftp: recover from a storage place instead, with the flags that follow")
	place = placeFlags(c.Flags())
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
	var out []string
	for sc := bufio.NewScanner(in); sc.Scan(); {
		s := strings.TrimSpace(sc.Text())
		if s == "" {
			break
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errors.New("no share was given: nothing can be opened without the recovery kit")
	}
	return out, nil
}
