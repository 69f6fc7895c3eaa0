// Package tablestore is the sandbox's Azure Table Storage: Azurite behind a TLS
// wire proxy that is as strict as the documented service. What Azure Tables
// refuses never reaches the store, whether or not Azurite would accept it, and
// no process is left behind however the sandbox ends.
package tablestore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/sandbox/pki"
)

// Options configure a store. CA and NodeModules are required.
type Options struct {
	CA          *pki.CA
	NodeModules string // path of a node_modules directory that holds azurite
	// Authorize judges a request's bearer token; an error refuses it. Nil
	// leaves the judgement to Azurite, which ignores signatures.
	Authorize func(token string) error
	Log       io.Writer // Azurite's output and one line per refusal; nil discards
}

// Server is a running store. Its methods may be called at any time from any
// goroutine.
type Server struct {
	opts     Options
	azurite  *azurite
	listener net.Listener
	http     *http.Server
	upstream *http.Client
	client   *aztables.ServiceClient
	token    string // accepted by Azurite

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

// Start starts Azurite and the proxy, and returns once both listen. The
// context bounds the start only; the store runs until Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.CA == nil || o.NodeModules == "" {
		return nil, errors.New("tablestore: options need CA and NodeModules")
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	log := &lockedWriter{w: o.Log}
	serverTLS, err := o.CA.ServerTLS()
	if err != nil {
		return nil, fmt.Errorf("tablestore: %w", err)
	}
	serverTLS.NextProtos = []string{"http/1.1"} // the service speaks nothing newer
	az, err := startAzurite(ctx, o.CA, o.NodeModules, log)
	if err != nil {
		return nil, fmt.Errorf("tablestore: start: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		az.stop()
		return nil, fmt.Errorf("tablestore: %w", err)
	}
	s := &Server{
		opts: o, azurite: az, listener: listener, log: log, token: ownToken(time.Now()),
		count: Counters{Tables: map[string]Count{}}, gone: map[string]time.Time{},
		upstream: &http.Client{Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: o.CA.Pool(), MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 64,
			// Azurite closes an idle connection after 5 s; a POST sent into that moment would be lost.
			IdleConnTimeout: 2 * time.Second,
		}},
	}
	s.client, err = aztables.NewServiceClient(az.url+"/"+account, staticToken(s.token),
		&aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: s.upstream, Retry: policy.RetryOptions{MaxRetries: -1},
		}})
	if err != nil {
		_ = listener.Close()
		az.stop()
		return nil, fmt.Errorf("tablestore: client: %w", err)
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(tls.NewListener(listener, serverTLS)) }()
	return s, nil
}

// URL is the account's endpoint, https://127.0.0.1:P/devstoreaccount1.
func (s *Server) URL() string { return "https://" + s.listener.Addr().String() + "/" + account }

// Client is an SDK client for preparing and asserting. It goes straight to the
// store: not through the proxy, so it is neither judged, counted, hooked nor
// failed.
func (s *Server) Client() *aztables.ServiceClient { return s.client }

// Close stops the proxy and Azurite; everything stored is lost. Further calls
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
	s.upstream.CloseIdleConnections()
	s.azurite.stop()
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
