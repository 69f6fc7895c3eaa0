package servicebus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// clock is a virtual clock.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// noon is when virtual clocks start.
var noon = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

// bench is a server with one queue "jobs" and a client of it.
type bench struct {
	*Server
	t     *testing.T
	ctx   context.Context
	clock *clock
	conn  string // connection string
	c     *azservicebus.Client
	tx    *azservicebus.Sender
	rx    *azservicebus.Receiver
}

// serve starts a server with queue as "jobs" and a virtual clock.
func serve(t *testing.T, queue Queue) *bench {
	t.Helper()
	queue.Name = "jobs"
	b := &bench{t: t, clock: &clock{t: noon}}
	b.Server = mustStart(t, Options{Queues: []Queue{queue}, Now: b.clock.now})
	b.conn = emulator(b.Server)
	b.ctx = deadline(t)
	b.c = dial(t, b.conn)
	b.tx = b.sender(b.c)
	b.rx = b.receiver(b.c, nil)
	return b
}

func mustStart(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func emulator(s *Server) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=x;SharedAccessKey=x;UseDevelopmentEmulator=true", s.Addr())
}

// dial makes a client that retries at once.
func dial(t *testing.T, conn string) *azservicebus.Client {
	t.Helper()
	c, err := azservicebus.NewClientFromConnectionString(conn, &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{RetryDelay: time.Millisecond, MaxRetryDelay: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func (b *bench) sender(c *azservicebus.Client) *azservicebus.Sender {
	b.t.Helper()
	tx, err := c.NewSender("jobs", nil)
	b.ok(err)
	return tx
}

func (b *bench) receiver(c *azservicebus.Client, o *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	b.t.Helper()
	rx, err := c.NewReceiverForQueue("jobs", o)
	b.ok(err)
	return rx
}

func (b *bench) dead() *azservicebus.Receiver {
	return b.receiver(b.c, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// send sends messages whose IDs and bodies are ids.
func (b *bench) send(ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		b.ok(b.tx.SendMessage(b.ctx, text(id), nil))
	}
}

func text(id string) *azservicebus.Message {
	return &azservicebus.Message{MessageID: &id, Body: []byte(id)}
}

// receive receives exactly n messages.
func (b *bench) receive(rx *azservicebus.Receiver, n int) []*azservicebus.ReceivedMessage {
	b.t.Helper()
	var all []*azservicebus.ReceivedMessage
	for len(all) < n {
		ms, err := rx.ReceiveMessages(b.ctx, n-len(all), nil)
		b.ok(err)
		all = append(all, ms...)
	}
	return all
}

func (b *bench) one() *azservicebus.ReceivedMessage {
	b.t.Helper()
	return b.receive(b.rx, 1)[0]
}

func (b *bench) counts() Counts {
	b.t.Helper()
	n, err := b.Counts("jobs")
	b.ok(err)
	return n
}

// want compares the queue's counts.
func (b *bench) want(w Counts) {
	b.t.Helper()
	if n := b.counts(); n != w {
		b.t.Fatalf("counts are\n%+v, want\n%+v", n, w)
	}
}

func p[T any](v T) *T { return &v }

// until waits until cond, which sees the server's state, holds. After ten
// seconds it fails the test instead.
func until(t *testing.T, s *Server, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		met := false
		s.do(func(time.Time) { met = cond() })
		if met {
			return
		}
	}
	t.Errorf("waited in vain for %s", what)
}
