package graphd

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"rollcall/internal/sandbox/pki"
	"rollcall/perf/side"
)

// Hello is what a server says first.
type Hello struct {
	URL   string
	Roots string
	// Sink takes bytes; empty where there is none.
	Sink string
}

// Serve is the whole main of the server: it listens, says hello and does the
// tasks config and counts until in ends. Without secure it speaks plain HTTP
// at an address that says https; see [wires.Servers].
func Serve(secure bool, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(400) // nobody measures its memory, and it shares the processors
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hello := Hello{URL: "https://" + l.Addr().String()}
	if secure {
		ca, err := pki.New()
		if err != nil {
			return err
		}
		c, err := ca.ServerTLS()
		if err != nil {
			return err
		}
		hello.Roots = string(ca.PEM())
		l = tls.NewListener(l, c)
	}
	s := &Server{Base: hello.URL}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	if err := json.NewEncoder(out).Encode(hello); err != nil {
		return fmt.Errorf("graph server: %w", err)
	}
	return side.Serve(map[string]side.Prepare{
		"config": side.Arg(func(c Config) (side.Work, error) {
			return func() (side.Outcome, error) { s.Configure(c); return side.Outcome{}, nil }, nil
		}),
		"counts": side.Arg(func(struct{}) (side.Work, error) {
			return func() (side.Outcome, error) {
				c := s.Take()
				v := map[string]float64{"calls": float64(c.Calls), "latency": c.Latency.Seconds(), "bytes": float64(c.Bytes)}
				for kind, n := range c.Kinds {
					v["calls."+kind] = float64(n)
				}
				return side.Outcome{Values: v}, nil
			}, nil
		}),
	}, in, out)
}
