// Package servicebus is the sandbox's Service Bus: queues behind AMQP 1.0, as
// the unmodified Azure clients expect them. An accepted message is never lost:
// it stays until it is completed, received and deleted, or canceled, and what
// expires or fails too often lies in the dead-letter queue.
//
// Unless marked (inferred), behavior follows Microsoft's "Azure Service Bus
// messaging" documentation and "AMQP 1.0 in Azure Service Bus and Event Hubs
// protocol guide", and the source of azservicebus and @azure/service-bus.
// Queues live in memory. There are no sessions, topics or transactions.
package servicebus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// Documented defaults of Service Bus: "Quotas" (Standard tier), "Message
// transfers, locks, and settlement", "Dead-letter queues".
const (
	defaultMessageSize  = 256 << 10 // bytes
	defaultLockDuration = time.Minute
	defaultDeliveries   = 10
)

// Queue describes a queue. Zero fields have the defaults of Service Bus.
type Queue struct {
	Name             string        // any case; it may have slashes
	LockDuration     time.Duration // 0 = a minute
	MaxDeliveryCount int           // 0 = 10
	DuplicateWindow  time.Duration // 0 = no duplicate detection
	TTL              time.Duration // cap on every message's time to live; 0 = none
}

// Options configure a server.
type Options struct {
	Queues []Queue

	// Now is the clock; nil means time.Now. It must not call the server. After
	// moving a virtual clock call Tick, so that locks expire and scheduled
	// messages become due.
	Now func() time.Time

	// TLS is the server's configuration; nil means plain AMQP.
	TLS *tls.Config

	// Authorize judges each token that a client puts for an audience such as
	// "amqps://host/queue"; nil allows everything, even no token at all. It may
	// be called concurrently.
	Authorize func(audience, token string) error

	// MaxMessageSize is the most bytes of one message or batch; 0 = 256 KiB.
	MaxMessageSize int
}

// limits bound what a client may take of real time.
type limits struct {
	handshake time.Duration // from accept to the AMQP header
	idle      time.Duration // between frames; half of it is announced
	write     time.Duration // for one write to the socket
}

// Server is a running Service Bus namespace.
type Server struct {
	o      Options
	limits limits
	ln     net.Listener
	wg     sync.WaitGroup
	done   chan struct{}
	wake   chan struct{} // the agenda has an earlier first entry

	// mu guards everything below and all connections, links and queues.
	mu      sync.Mutex
	closed  bool
	offset  time.Duration
	queues  map[string]*queue // by lower-case name
	stirred map[*queue]bool   // have something new to deliver
	agenda  agenda
	conns   map[*conn]struct{}
}

// Start listens on addr, such as "127.0.0.1:0", and serves until Close.
func Start(addr string, o Options) (*Server, error) {
	return start(addr, o, limits{handshake: 10 * time.Second, idle: 2 * time.Minute, write: 30 * time.Second})
}

func start(addr string, o Options, l limits) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxMessageSize <= 0 {
		o.MaxMessageSize = defaultMessageSize
	}
	s := &Server{
		o: o, limits: l,
		done:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		queues:  map[string]*queue{},
		stirred: map[*queue]bool{},
		conns:   map[*conn]struct{}{},
	}
	for _, cfg := range o.Queues {
		key := strings.ToLower(cfg.Name)
		if key == "" || strings.Contains(key, "$") || s.queues[key] != nil {
			return nil, fmt.Errorf("servicebus: queue name %q is empty, reserved or taken", cfg.Name)
		}
		s.queues[key] = newQueue(s, cfg)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("servicebus: listen on %s: %w", addr, err)
	}
	s.ln = ln
	s.wg.Add(2)
	go s.accept()
	go s.keepTime()
	return s, nil
}

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close ends the listener and every connection and waits for their goroutines.
// Further calls do nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	for c := range s.conns {
		c.cut()
	}
	s.mu.Unlock()
	var err error
	if first {
		close(s.done)
		err = s.ln.Close()
	}
	s.wg.Wait()
	if err != nil {
		return fmt.Errorf("servicebus: close listener: %w", err)
	}
	return nil
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		raw, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, say
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-s.done:
				return
			}
		}
		c := newConn(s, raw)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			raw.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.wg.Add(1)
		s.mu.Unlock()
		go c.serve()
	}
}

// do runs f on the server's state at one point of time, after everything that
// is due by then and before the deliveries that it makes possible.
func (s *Server) do(f func(now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(now)
	f(now)
	for len(s.stirred) > 0 {
		for q := range s.stirred {
			delete(s.stirred, q)
			q.pump(now)
		}
	}
}

// entity finds a queue or a dead-letter queue by its path, in any case.
func (s *Server) entity(path string) *queue {
	path = strings.ToLower(strings.Trim(path, "/"))
	base, dead := strings.CutSuffix(path, deadLetterSuffix)
	q := s.queues[base]
	if q != nil && dead {
		return q.dead
	}
	return q
}

// kind is what an address names.
type kind int

const (
	kindQueue kind = iota
	kindManagement
	kindClaims
)

// node is the server's end of a link. q is nil for $cbs.
type node struct {
	kind kind
	q    *queue
}

// resolve finds the node of an address: a path, or a URL with one.
func (s *Server) resolve(addr string) (node, *amqp.Error) {
	path := addressPath(addr)
	if strings.EqualFold(path, "$cbs") {
		return node{kind: kindClaims}, nil
	}
	n := node{kind: kindQueue}
	const suffix = "/$management"
	if i := len(path) - len(suffix); i >= 0 && strings.EqualFold(path[i:], suffix) {
		n.kind, path = kindManagement, path[:i]
	}
	if n.q = s.entity(path); n.q == nil {
		return n, amqp.Errorf(amqp.NotFound, "The messaging entity '%s' could not be found.", path)
	}
	return n, nil
}

// addressPath is the path of an address, without outer slashes.
func addressPath(addr string) string {
	if _, rest, ok := strings.Cut(addr, "://"); ok {
		_, addr, _ = strings.Cut(rest, "/")
	}
	return strings.Trim(addr, "/")
}
