// Package tablestore is the sandbox's Azure Table Storage: a store behind a wire
// that is as strict as the documented service. What Azure Tables refuses never
// reaches the store, whether or not Azurite would accept it, and no process is
// left behind however the sandbox ends.
package tablestore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/sandbox/pki"
)

// Kind is what keeps the tables.
type Kind int

const (
	// Chosen is Memory where the environment's ROLLCALL_TABLES is "memory", and
	// Azurite elsewhere.
	Chosen Kind = iota
	// Azurite is Microsoft's emulator in a process of its own. Its time for a
	// write grows with the partition.
	Azurite
	// Memory is a store of this process, for scale and for benchmarks. It does
	// what Azurite does, except for service properties and access policies.
	Memory
)

func (k Kind) String() string { return [...]string{"chosen", "azurite", "memory"}[k] }

// Options configure a store. CA is required unless Plain is set, and
// NodeModules for Azurite.
type Options struct {
	Kind        Kind
	CA          *pki.CA
	NodeModules string // path of a node_modules directory that holds azurite
	// Plain is HTTP without TLS, for benchmarks, of Memory only. Clients need the
	// transport of its [Address].
	Plain bool
	// Authorize judges a request's bearer token; an error refuses it. Nil
	// leaves the judgement to the store, which ignores signatures as Azurite does.
	Authorize func(token string) error
	Log       io.Writer // Azurite's output and one line per refusal; nil discards
	// Wire is put around what connections are accepted from, below TLS; nil
	// leaves it as it is.
	Wire func(net.Listener) net.Listener
	// Pages are the limits of an answer to a query, of Memory only.
	Pages Pages
}

// Server is a running store. Its methods may be called at any time from any
// goroutine.
type Server struct {
	opts     Options
	store    backend
	listener net.Listener
	http     *http.Server
	client   *aztables.ServiceClient
	token    string // accepted by the store

	gate   sync.Mutex // serializes writes while a hook is set
	mu     sync.Mutex // guards what follows
	log    io.Writer
	count  Counters
	before func(n int64, table string) error
	after  func(n int64, table string) Verdict
	fails  []failure
	empty  bool
	gone   map[string]time.Time // table → when it was deleted
	closed bool
}

// Start starts the store and its wire, and returns once both listen. The
// context bounds the start only; the store runs until Close.
func Start(ctx context.Context, o Options) (s *Server, err error) {
	if o.Kind == Chosen {
		o.Kind = Azurite
		if os.Getenv("ROLLCALL_TABLES") == Memory.String() {
			o.Kind = Memory
		}
	}
	switch {
	case o.CA == nil && !o.Plain:
		return nil, errors.New("tablestore: options need CA")
	case o.Kind == Azurite && (o.Plain || o.NodeModules == ""):
		return nil, errors.New("tablestore: options for Azurite need NodeModules, and cannot be Plain")
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	s = &Server{
		opts: o, log: &lockedWriter{w: o.Log}, token: ownToken(time.Now()),
		count: Counters{Tables: map[string]Count{}}, gone: map[string]time.Time{},
	}
	defer func() {
		if err != nil && s.store != nil {
			s.store.stop()
		}
	}()
	if o.Kind == Memory {
		s.store = newInMemory(o.Pages, s.token)
	} else {
		az, err := startAzurite(ctx, o.CA, o.NodeModules, s.token, s.log)
		if err != nil {
			return nil, fmt.Errorf("tablestore: start: %w", err)
		}
		s.store = az
	}
	if s.client, err = s.store.client(); err != nil {
		return nil, fmt.Errorf("tablestore: client: %w", err)
	}
	var secure *tls.Config
	if !o.Plain {
		if secure, err = o.CA.ServerTLS(); err != nil {
			return nil, fmt.Errorf("tablestore: %w", err)
		}
		secure.NextProtos = []string{"http/1.1"} // the service speaks nothing newer
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("tablestore: %w", err)
	}
	accept := s.listener
	if o.Wire != nil {
		accept = o.Wire(accept)
	}
	if secure != nil {
		accept = tls.NewListener(accept, secure)
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(accept) }()
	return s, nil
}

// URL is the account's endpoint, https://127.0.0.1:P/devstoreaccount1, of a plain
// store as well: see [Address].
func (s *Server) URL() string { return "https://" + s.listener.Addr().String() + "/" + account }

// Address is where the store is found.
func (s *Server) Address() Address {
	a := Address{URL: s.URL(), Token: s.token}
	if !s.opts.Plain {
		a.CA = s.opts.CA.PEM()
	}
	return a
}

// Client is an SDK client for preparing and asserting. It goes straight to the
// store: not through the wire, so it is neither counted, hooked nor failed.
func (s *Server) Client() *aztables.ServiceClient { return s.client }

// Close stops the wire and the store; everything stored is lost. Further calls
// do nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	err := s.http.Close()
	s.store.stop()
	if err != nil {
		return fmt.Errorf("tablestore: close: %w", err)
	}
	return nil
}

// lockedWriter lets Azurite's output and the proxy's lines share a writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
