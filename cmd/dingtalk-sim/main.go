// Command dingtalk-sim serves a simulated DingTalk tenant on one port.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"farol/internal/dingtalk/simulator"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "dingtalk-sim:", err)
		os.Exit(1)
	}
}

// redirects collects repeated -redirect flags.
type redirects []string

func (r *redirects) String() string { return fmt.Sprint([]string(*r)) }

func (r *redirects) Set(v string) error { *r = append(*r, v); return nil }

func run() error {
	var opt simulator.Options
	listen := flag.String("listen", "127.0.0.1:8801", "address to serve")
	cert := flag.String("cert", "", "TLS certificate file; plain HTTP without")
	key := flag.String("key", "", "TLS key file")
	traffic := flag.Float64("traffic", 0, "live actions per second")
	flag.Uint64Var(&opt.Seed, "seed", 1, "same seed, same tenant")
	flag.IntVar(&opt.People, "people", 186, "employees")
	flag.IntVar(&opt.Messages, "messages", 12000, "generated chat messages")
	flag.BoolVar(&opt.BigDepartment, "big-department", false, "put all groups and 500 files into one department")
	flag.StringVar(&opt.ChatsFile, "chats", "", "gzipped NDJSON of real conversations instead of generated ones")
	flag.StringVar(&opt.Edition, "edition", "professional", "standard, professional or exclusive")
	flag.IntVar(&opt.QPS, "qps", 20, "calls per second and API; 0 for no limit")
	flag.StringVar(&opt.StateDir, "state", "", "directory that keeps live changes over restarts")
	flag.BoolVar(&opt.ColdFiles, "cold", false, "let some files be archived, to thaw before download")
	flag.DurationVar(&opt.AppTokenLife, "token-life", 7200*time.Second, "life of an app token")
	flag.DurationVar(&opt.UserTokenLife, "user-token-life", 7200*time.Second, "life of a member's token")
	flag.IntVar(&opt.DownloadSeconds, "download-seconds", 900, "life of signed download headers")
	flag.Var((*redirects)(&opt.RedirectURIs), "redirect", "registered redirect_uri besides loopback ones; may repeat")
	flag.TextVar(&opt.Epoch, "epoch", time.Time{}, "moment the history counts back from (RFC 3339); default now")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	}

	sim, err := simulator.New(opt)
	if err != nil {
		return err
	}
	defer sim.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	scheme := "http"
	if *cert != "" {
		scheme = "https"
	}
	fmt.Printf("dingtalk-sim listening %s://%s\n", scheme, ln.Addr())
	failed := make(chan error, 1)
	go func() {
		if *cert != "" {
			failed <- srv.ServeTLS(ln, *cert, *key)
		} else {
			failed <- srv.Serve(ln)
		}
	}()
	if *traffic > 0 {
		go sim.Traffic(ctx, *traffic)
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := srv.Shutdown(stopCtx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
