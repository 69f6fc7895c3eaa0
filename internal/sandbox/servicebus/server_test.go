package servicebus

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/sandbox/servicebus/amqp"
)

func TestStartRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"empty name":    {Queues: []Queue{{}}},
		"reserved name": {Queues: []Queue{{Name: "$cbs"}}},
		"name twice":    {Queues: []Queue{{Name: "jobs"}, {Name: "Jobs"}}},
	} {
		if s, err := Start("127.0.0.1:0", o); err == nil {
			t.Errorf("%s is taken: %v", name, s.Close())
		}
	}
	s := mustStart(t, Options{})
	if _, err := Start(s.Addr(), Options{}); err == nil {
		t.Error("an address is taken twice")
	}
	if _, err := s.Counts("absent"); err == nil {
		t.Error("an absent queue is counted")
	}
	if _, err := s.Messages("absent"); err == nil {
		t.Error("an absent queue has messages")
	}
}

// Close cuts receivers that wait, may be called twice, and leaves no goroutine.
func TestClose(t *testing.T) {
	b := serve(t, Queue{})
	silent := rawDial(t, b.Server)
	b.send("a", "b")
	b.receive(b.rx, 2)
	got := make(chan error)
	go func() {
		_, err := b.rx.ReceiveMessages(b.ctx, 1, nil)
		got <- err
	}()
	until(b.t, b.Server, "credit", func() bool {
		l := b.queues["jobs"].consumers
		return len(l) == 1 && l[0].credit > 0
	})
	b.ok(b.Close())
	b.ok(b.Close())
	<-got // an error or nothing: the client has noticed
	silent.closed()
	// Close waits until each has nothing left to do, which is a moment before
	// its stack is gone.
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !slices.ContainsFunc([]string{".(*conn).", ".(*Server).accept", ".(*Server).keepTime"}, func(f string) bool {
			return strings.Contains(stacks, "servicebus"+f)
		}) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still running after Close:\n%s", stacks)
		}
	}
}

// A message that a client releases comes back without being counted.
func TestRelease(t *testing.T) {
	b := serve(t, Queue{MaxDeliveryCount: 1})
	b.send("a")
	r := rawSession(t, b.Server)
	r.attach("jobs", false)
	zero, credit := uint32(0), uint32(1)
	r.send(amqp.Flow{NextIncomingID: &zero, IncomingWindow: 10, Handle: &zero, LinkCredit: &credit})
	for {
		switch r.next().(type) {
		case amqp.Transfer:
			r.send(amqp.Disposition{Role: amqp.RoleReceiver, State: amqp.Described{Descriptor: releasedCode, Value: amqp.List{}}})
			continue
		case amqp.Disposition:
		default:
			continue
		}
		break
	}
	b.want(Counts{Active: 1, Sent: 1})
	if m := b.one(); m.DeliveryCount != 1 {
		t.Errorf("delivery %d", m.DeliveryCount)
	}
}

// What clients may put into a message is found in Info.
func TestInfo(t *testing.T) {
	b := serve(t, Queue{})
	at := time.Date(2031, 4, 1, 0, 0, 0, 0, time.UTC)
	b.ok(b.tx.SendAMQPAnnotatedMessage(b.ctx, &azservicebus.AMQPAnnotatedMessage{
		Properties:            &azservicebus.AMQPAnnotatedMessageProperties{MessageID: uint64(7)},
		ApplicationProperties: map[string]any{"at": at, "n": int32(5)},
		Body:                  azservicebus.AMQPAnnotatedMessageBody{Value: "a value"},
		// The broker's own are not the sender's to set.
		MessageAnnotations: map[any]any{"x-opt-sequence-number": "nine", "x-opt-deadletter-source": "me", "mine": "kept"},
	}, nil))
	got := b.one()
	if *got.SequenceNumber != 1 || got.DeadLetterSource != nil || got.RawAMQPMessage.MessageAnnotations["mine"] != "kept" {
		t.Errorf("annotations are %v", got.RawAMQPMessage.MessageAnnotations)
	}
	all, err := b.Messages("jobs")
	b.ok(err)
	m := all[0]
	if m.MessageID != "7" || string(m.Body) != "a value" || m.State != "locked" || !m.Enqueued.Equal(noon) ||
		m.Properties["at"] != at || m.Properties["n"] != int32(5) || m.SequenceNumber != 1 || m.DeliveryCount != 0 {
		t.Errorf("message is %+v", m)
	}
}

// Management answers what it does not know or cannot find with a refusal.
func TestManagementRefusals(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	for name, c := range map[string]struct {
		op   string
		body amqp.Map
		code int32
	}{
		"unknown operation": {"com.microsoft:get-session-state", nil, 400},
		"no lock tokens":    {"com.microsoft:renew-lock", nil, 410},
		"no such lock":      {"com.microsoft:renew-lock", one("lock-tokens", amqp.List{amqp.UUID{1}}), 410},
		"tokens of no type": {"com.microsoft:update-disposition", one("lock-tokens", amqp.List{"x"}), 410},
		"no message":        {"com.microsoft:schedule-message", one("messages", amqp.List{amqp.Map{}}), 400},
		"malformed message": {"com.microsoft:schedule-message", one("messages", amqp.List{one("message", []byte{1})}), 400},
		"no such deferred":  {"com.microsoft:receive-by-sequence-number", one("sequence-numbers", amqp.List{int64(1)}), 404},
		"nothing to cancel": {"com.microsoft:cancel-scheduled-message", nil, 404},
		"nothing to peek":   {"com.microsoft:peek-message", one("message-count", int32(1)), 204},
		"peek of none":      {"com.microsoft:peek-message", nil, 204},
	} {
		s.do(func(now time.Time) {
			resp, cut := s.queues["jobs"].manage(request{props: one("operation", c.op), body: c.body}, now)
			if resp.code != c.code || cut {
				t.Errorf("%s: %+v, want %d", name, resp, c.code)
			}
		})
	}
	s.do(func(now time.Time) {
		resp, _ := s.queues["jobs"].dead.manage(request{props: one("operation", "com.microsoft:schedule-message")}, now)
		if resp.code != 400 {
			t.Errorf("scheduling into the dead-letter queue: %+v", resp)
		}
	})
}

func TestAddresses(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "a/Jobs"}}})
	for addr, want := range map[string]string{
		"a/jobs":                              "a/Jobs",
		"/A/JOBS/":                            "a/Jobs",
		"amqps://host/a/jobs":                 "a/Jobs",
		"sb://host:5671/a/jobs/$management":   "a/Jobs",
		"a/jobs/$DeadLetterQueue":             "a/Jobs/$DeadLetterQueue",
		"a/jobs/$deadletterqueue/$Management": "a/Jobs/$DeadLetterQueue",
		"a":                                   "",
		"":                                    "",
		"$management":                         "",
		"a/jobs/$deadletterqueue/x":           "",
	} {
		got := ""
		if n, fault := s.resolve(addr); fault == nil {
			got = n.q.Name
		}
		if got != want {
			t.Errorf("%q names %q, want %q", addr, got, want)
		}
	}
	if n, fault := s.resolve("$CBS"); fault != nil || n.kind != kindClaims {
		t.Errorf("$cbs is %+v, %v", n, fault)
	}
}
