//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"ws-fpm/bench/report"
	"ws-fpm/bench/suite"
)

// runSuite is the commands that compare.
func runSuite(command string, args []string, out io.Writer) error {
	o := suite.Options{Log: os.Stderr}
	f := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	f.StringVar(&o.Root, "root", "..", "the repository's `directory`, with ws-fpm built in it")
	f.StringVar(&o.Golang, "golang", "", "`directory` of the peers in Go, built")
	f.IntVar(&o.Rounds, "rounds", 9, "rounds; each measures everything once")
	f.IntVar(&o.Conns, "conns", 4, "connections to php-fpm, and its children")
	f.Func("only", "`targets` to measure, such as ws-fpm,gws,floor", func(s string) error {
		o.Only = strings.Split(s, ",")
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.Rounds < 1 || o.Conns < 1 {
		return fmt.Errorf("%s takes flags only, with numbers from 1 on", command)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	measure := map[string]func(context.Context, suite.Options) (report.Data, error){
		"quick": suite.Quick,
		"full":  suite.Full,
		"crowd": suite.Crowd,
	}[command]
	data, err := measure(ctx, o)
	if len(data.Samples) > 0 {
		data.Text(out)
	}
	return err
}
