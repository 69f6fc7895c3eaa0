// Command handler is Rollcall's custom handler of the Azure Functions host:
// one process that serves every function.
//
// It listens before it does anything slow, and never exits with status 0: the
// host would not start it again. Called as register-app, it registers apps
// instead and serves nothing; as ops, it is a client of its own API.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"rollcall/internal/obs"
	"rollcall/internal/telemetry"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "register-app" {
		os.Exit(registerApp(os.Args[2:], os.Getenv, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "ops" {
		os.Exit(ops(os.Args[2:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
	}
	c, _, err := load(os.Getenv)
	log := obs.New(os.Stdout, c.level)
	if err != nil {
		// One line each: the host logs lines.
		for _, e := range mistakes(err) {
			log.Error("setting refused", "err", e)
		}
		os.Exit(2)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if err := run(c, log); err != nil {
		log.Error("handler stopped", "err", err)
	}
	os.Exit(1)
}

// gcPercent is how much garbage there may be for what lives. A sync keeps a few
// megabytes and reads a megabyte a page: at Go's 100 a third of its processor
// time went into looking for garbage, at 300 a tenth, for some 20 MiB more.
const gcPercent = 300

// memoryLimit is where the garbage is looked for as often as it takes, in bytes:
// the smallest instance has 512 MB, of which the Functions host takes its part.
const memoryLimit = 256 << 20

// mistakes splits a joined error.
func mistakes(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// run serves until it cannot any more.
func run(c config, log *slog.Logger) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	if err != nil {
		return err
	}
	var seen *telemetry.Telemetry
	if c.collector != "" {
		seen, err = telemetry.New(telemetry.Options{Endpoint: c.collector, Headers: c.collectorHeaders, Percent: c.traced, Client: &http.Client{}, Log: log})
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	h, err := build(c, log, time.Now, seen)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	err = serve(context.Background(), l, stamped(h), log)
	ctx, cancel := context.WithTimeout(context.Background(), flushing)
	defer cancel()
	return errors.Join(err, seen.Close(ctx))
}

// flushing bounds what is still sent when serving has failed: the host waits to
// start the process again.
const flushing = 2 * time.Second

// serve answers on l until ctx ends or l fails.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelError), // panics too
		MaxHeaderBytes:    64 << 10,
		// Bodies have their own limits: a queue invocation may take minutes
		// to be answered, a page may not.
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	return s.Serve(l)
}
