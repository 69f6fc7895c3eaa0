// Package tabled is the table server of the benchmarks: the sandbox's, in
// memory, as far away as it is told to be, beside a sink that keeps nothing.
package tabled

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"rollcall/internal/sandbox/pki"
	"rollcall/internal/sandbox/tablestore"
	"rollcall/perf/graphd"
	"rollcall/perf/side"
)

// Serve is the whole main of the server: it listens, says hello and does the
// tasks counts and latency until in ends. At first its clients are near. Without secure it speaks plain HTTP at addresses
// that say https; see [wires.Servers].
func Serve(secure bool, in io.Reader, out io.Writer) error {
	roomy()
	ca, err := pki.New()
	if err != nil {
		return err
	}
	var latency atomic.Int64
	s, err := tablestore.Start(context.Background(), tablestore.Options{
		CA: ca, Kind: tablestore.Memory, Plain: !secure, Authorize: func(string) error { return nil },
		Wire: func(l net.Listener) net.Listener { return far{l, &latency} },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	sink, err := sink(ca, secure)
	if err != nil {
		return err
	}
	hello := graphd.Hello{URL: s.URL(), Sink: sink}
	if secure {
		hello.Roots = string(ca.PEM())
	}
	if err := json.NewEncoder(out).Encode(hello); err != nil {
		return fmt.Errorf("table server: %w", err)
	}
	var last tablestore.Count
	return side.Serve(map[string]side.Prepare{
		"counts": side.Arg(func(struct{}) (side.Work, error) {
			return func() (side.Outcome, error) {
				c := s.Requests().Total
				v := map[string]float64{
					"reads": float64(c.Reads - last.Reads), "writes": float64(c.Writes - last.Writes),
					"transactions": float64(c.Transactions - last.Transactions), "entities": float64(c.Entities - last.Entities),
				}
				last = c
				return side.Outcome{Values: v}, nil
			}, nil
		}),
		"latency": side.Arg(func(d time.Duration) (side.Work, error) {
			return func() (side.Outcome, error) { latency.Store(int64(d)); return side.Outcome{}, nil }, nil
		}),
	}, in, out)
}

// roomy makes memory cheap, which nobody measures: the server shares the
// processors with those who are measured, and getting pages from the kernel was
// a fifth of its work.
func roomy() {
	debug.SetGCPercent(1000)
	const enough, page = 1 << 30, 4 << 10
	room := make([]byte, enough)
	for i := 0; i < len(room); i += page {
		room[i] = 1
	}
	runtime.KeepAlive(room)
	runtime.GC() // it is the runtime's now, and goes back to the kernel slowly
}

// sink takes posts and throws them away.
func sink(ca *pki.CA, secure bool) (string, error) {
	c, err := ca.ServerTLS()
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a client that breaks off has its own error
		w.WriteHeader(http.StatusAccepted)
	})}
	at := "https://" + l.Addr().String() + "/sink"
	if secure {
		l = tls.NewListener(l, c)
	}
	go func() { _ = srv.Serve(l) }() // until the process ends
	return at, nil
}
