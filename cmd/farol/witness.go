package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func offsiteStatus(o *options) *cobra.Command {
	return &cobra.Command{Use: "status", Short: "How the off-site copy and the second witness stand", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "offsite", nil, func(b json.RawMessage) error { return sayOffsite(cmd.OutOrStdout(), b) })
	}}
}

// sayOffsite prints a line for each of the two.
func sayOffsite(w io.Writer, b json.RawMessage) error {
	type node struct {
		Set, Connected bool
		Address        string
		LastAck        time.Time
		CheckpointSize int64
		Problem        string
	}
	var v struct {
		node
		BehindBytes int64
		Witness     node
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	line := func(name string, n node, more string) {
		switch {
		case !n.Set:
			fmt.Fprintf(w, "%s: none\n", name)
		case n.Problem != "":
			fmt.Fprintf(w, "%s: %s  %s\n", name, n.Address, appliance.Message(n.Problem))
		case !n.Connected:
			fmt.Fprintf(w, "%s: %s  connecting\n", name, n.Address)
		default:
			fmt.Fprintf(w, "%s: %s  connected, %d entries of the log witnessed%s, last answer %s\n", name, n.Address, n.CheckpointSize, more, n.LastAck.Format(time.RFC3339))
		}
	}
	line("off-site node", v.node, fmt.Sprintf(", %d bytes still to send", v.BehindBytes))
	line("second witness", v.Witness, "")
	return nil
}

func witnessCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "witness", Short: "A second witness of the audit log: a node of somebody else's, which gets the log alone"}
	c.AddCommand(witnessAdd(o), &cobra.Command{Use: "remove", Short: "End the use of the second witness; what it has signed stays and counts", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "witness-remove", nil, func(b json.RawMessage) error { return sayOffsite(cmd.OutOrStdout(), b) })
	}})
	return c
}

func witnessAdd(o *options) *cobra.Command {
	var in struct {
		Node     string             `json:"node"`
		Code     string             `json:"code"`
		Transfer appliance.Transfer `json:"transfer"`
	}
	c := &cobra.Command{Use: "add", Short: "Have a second node witness the audit log; it gets nothing of the archive", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "witness-add", in, func(b json.RawMessage) error { return sayOffsite(cmd.OutOrStdout(), b) })
	}}
	f := c.Flags()
	f.StringVar(&in.Node, "node", "", "host:port of the witness's farol node")
	f.StringVar(&in.Code, "code", "", "enrolment code that it shows")
	transferFlags(f, &in.Transfer)
	return c
}
