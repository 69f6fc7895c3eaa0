package servicebus

import (
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// brief are limits that a test can wait for.
var brief = limits{handshake: 200 * time.Millisecond, idle: 200 * time.Millisecond, write: 200 * time.Millisecond}

func startBrief(t *testing.T) *Server {
	t.Helper()
	s, err := start("127.0.0.1:0", Options{Queues: []Queue{{Name: "jobs"}}}, brief)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestHandshakeFailures(t *testing.T) {
	s := startBrief(t)
	for name, c := range map[string]struct{ send, want string }{
		"silence":       {"", ""},
		"cut header":    {"AMQP", ""},
		"HTTP":          {"GET / HTTP/1.1\r\n\r\n", headerSASL},
		"no SASL":       {headerAMQP, headerSASL},
		"TLS":           {"\x16\x03\x01\x02\x00\x01\x00\x01", headerSASL},
		"old AMQP":      {"AMQP\x00\x00\x09\x01", headerSASL},
		"PLAIN":         {headerSASL + strings.Replace(saslInit, "ANONYMOUS", "PLAIN....", 1), "\x00\x53\x44\xd0\x00\x00\x00\x06\x00\x00\x00\x01\x50\x01"},
		"huge SASL":     {headerSASL + "\x7f\xff\xff\xff\x02\x01\x00\x00", ""},
		"garbage SASL":  {headerSASL + "\x00\x00\x00\x09\x02\x01\x00\x00\xff", ""},
		"SASL as AMQP":  {headerSASL + strings.Replace(saslInit, "\x02\x01\x00\x00", "\x02\x00\x00\x00", 1), ""},
		"not an init":   {headerSASL + "\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x18\x45", ""},
		"stops in time": {headerSASL + saslInit, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rawDial(t, s)
			r.write(c.send)
			got, err := io.ReadAll(r.in)
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Fatal("the connection stays open")
			}
			if !strings.Contains(string(got), c.want) {
				t.Errorf("answered %q, want %q", got, c.want)
			}
		})
	}
}

func TestIdleClientIsCut(t *testing.T) {
	rawSession(t, startBrief(t)).closed()
}

// A frame that drips is no sign of life.
func TestCutFrame(t *testing.T) {
	r := rawSession(t, startBrief(t))
	r.write("\x00\x00\x00\x20\x02\x00\x00")
	r.closed()
}

func TestKeepalive(t *testing.T) {
	s := mustStart(t, Options{})
	r := rawDial(t, s)
	r.write(headerSASL + saslInit + headerAMQP)
	r.send(amqp.Open{ContainerID: "raw", MaxFrameSize: 512, IdleTimeout: 1})
	r.skip(8)
	r.frame()
	r.frame()
	r.skip(8)
	r.frame() // open
	if f := r.frame(); f.Type != amqp.TypeAMQP || len(f.Body) != 0 {
		t.Errorf("got %+v, want a keepalive", f)
	}
}

// A client that asks for everything and reads nothing is cut off; the server
// goes on for others.
func TestClientThatDoesNotRead(t *testing.T) {
	s := startBrief(t)
	s.do(func(now time.Time) {
		for range 400 { // far more than socket buffers hold
			body := amqp.Section(nil, amqp.DataSection, make([]byte, 100<<10))
			if fault, _ := s.queues["jobs"].send(body, 0, now); fault != nil {
				t.Error(fault)
			}
		}
	})
	r := rawSession(t, s)
	zero, credit := uint32(0), uint32(math.MaxUint32)
	r.attach("jobs", false)
	r.send(amqp.Flow{NextIncomingID: &zero, IncomingWindow: math.MaxUint32, Handle: &zero, LinkCredit: &credit})
	locked, most := 0, 0
	until(t, s, "the end of the connection", func() bool {
		locked = len(s.queues["jobs"].locks)
		for c := range s.conns {
			most = max(most, len(c.out))
		}
		return len(s.conns) == 0
	})
	if locked == 0 || locked == 400 || most > 2*fullOutput {
		t.Errorf("%d messages were locked, %d bytes waited", locked, most)
	}
}

// One that reads late gets everything.
func TestClientThatReadsLate(t *testing.T) {
	const n = 200
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	s.do(func(now time.Time) {
		for range n {
			s.queues["jobs"].send(amqp.Section(nil, amqp.DataSection, make([]byte, 100<<10)), 0, now)
		}
	})
	r := rawSession(t, s)
	zero, credit := uint32(0), uint32(n)
	r.attach("jobs", false)
	r.send(amqp.Flow{NextIncomingID: &zero, IncomingWindow: math.MaxUint32, Handle: &zero, LinkCredit: &credit})
	until(t, s, "the output to be full", func() bool {
		for c := range s.conns {
			if c.full {
				return true
			}
		}
		return false
	})
	for whole := 0; whole < n; {
		if tr, ok := r.next().(amqp.Transfer); ok && !tr.More {
			whole++
		}
	}
}

// A client that sends without end gets new credit and a new window in time.
func TestCreditIsRenewed(t *testing.T) {
	const n = window + 100
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	r := rawSession(t, s)
	r.attach("jobs", true)
	message := amqp.Section(nil, amqp.DataSection, []byte("x"))
	go func() {
		var b []byte
		for id := range uint32(n) {
			b = amqp.AppendFrame(b, amqp.TypeAMQP, 0, amqp.Transfer{DeliveryID: &id, Settled: true}, message)
		}
		r.Write(amqp.AppendFrame(b, amqp.TypeAMQP, 0, amqp.Close{}, nil))
	}()
	var credit, windows uint32
	for {
		switch f := r.next().(type) {
		case amqp.Flow:
			if f.Handle != nil {
				credit = max(credit, *f.DeliveryCount+*f.LinkCredit)
			}
			windows = max(windows, *f.NextIncomingID+f.IncomingWindow)
			continue
		case amqp.Close:
		default:
			continue
		}
		break
	}
	if credit < n || windows < n {
		t.Errorf("%d messages were allowed in %d frames, %d were sent", credit, windows, n)
	}
	if c, err := s.Counts("jobs"); err != nil || c.Sent != n {
		t.Errorf("counts are %+v, %v", c, err)
	}
}

// A client with a narrow session window gets a large message piece by piece.
func TestNarrowWindow(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	s.do(func(now time.Time) {
		for range 2 {
			s.queues["jobs"].send(amqp.Section(nil, amqp.DataSection, make([]byte, 200<<10)), 0, now)
		}
	})
	r := rawSession(t, s)
	r.attach("jobs", false)
	zero, credit := uint32(0), uint32(5)
	next, whole := uint32(0), 0
	r.send(amqp.Flow{NextIncomingID: &zero, Handle: &zero, LinkCredit: &credit})
	for whole < 2 {
		r.send(amqp.Flow{NextIncomingID: &next, IncomingWindow: 1})
		for {
			if tr, ok := r.next().(amqp.Transfer); ok {
				if !tr.More {
					whole++
				}
				break
			}
		}
		next++
	}
	if next != 8 { // each of the two in four frames
		t.Errorf("two messages came in %d frames", next)
	}
}

// Of a message that a window holds back nothing comes once the link is gone.
func TestDetachInTheMiddle(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	s.do(func(now time.Time) {
		s.queues["jobs"].send(amqp.Section(nil, amqp.DataSection, make([]byte, 200<<10)), 0, now)
	})
	r := rawSession(t, s)
	r.attach("jobs", false)
	zero, next, credit := uint32(0), uint32(1), uint32(1)
	r.send(amqp.Flow{NextIncomingID: &zero, IncomingWindow: 1, Handle: &zero, LinkCredit: &credit})
	r.send(amqp.Detach{Closed: true})
	r.send(amqp.Flow{NextIncomingID: &next, IncomingWindow: 100})
	r.send(amqp.Close{})
	transfers := 0
	for {
		switch r.next().(type) {
		case amqp.Transfer:
			transfers++
			continue
		case amqp.Close:
		default:
			continue
		}
		break
	}
	if transfers != 1 {
		t.Errorf("%d frames came, want the first only", transfers)
	}
}

func TestDrain(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	r := rawSession(t, s)
	r.attach("jobs", false)
	zero, credit := uint32(0), uint32(7)
	r.send(amqp.Flow{NextIncomingID: &zero, IncomingWindow: 10, Handle: &zero, LinkCredit: &credit, Drain: true})
	for {
		f, ok := r.next().(amqp.Flow)
		if !ok {
			continue
		}
		if !f.Drain || *f.LinkCredit != 0 || *f.DeliveryCount != 7 {
			t.Errorf("drained with %d credit at %d", *f.LinkCredit, *f.DeliveryCount)
		}
		return
	}
}

// A client may settle any range of deliveries, even all numbers there are.
func TestDispositionOfEverything(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	s.do(func(now time.Time) {
		for range 3 {
			s.queues["jobs"].send(amqp.Section(nil, amqp.DataSection, []byte("x")), 0, now)
		}
	})
	r := rawSession(t, s)
	r.attach("jobs", false)
	zero, credit := uint32(0), uint32(3)
	r.send(amqp.Flow{NextIncomingID: &zero, IncomingWindow: 10, Handle: &zero, LinkCredit: &credit})
	r.send(amqp.Disposition{Role: amqp.RoleReceiver, First: 1, Last: 0, Settled: true, State: accepted})
	r.send(amqp.Close{})
	r.closed()
	n, err := s.Counts("jobs")
	if err != nil || n.Completed != 3 {
		t.Errorf("counts are %+v, %v", n, err)
	}
}

// What is no message, or a batch with a part that is none, is refused whole.
func TestMalformedMessages(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	r := rawSession(t, s)
	r.attach("jobs", true)
	good := amqp.Section(nil, amqp.DataSection, []byte("x"))
	batch := amqp.Section(amqp.Section(nil, amqp.DataSection, good), amqp.DataSection, []byte{0x00})
	for i, c := range []struct {
		format  uint32
		payload []byte
		state   uint64
	}{
		{0, []byte{0xff}, rejectedCode},
		{0, amqp.Append(nil, "no section"), rejectedCode},
		{0, append(append([]byte(nil), good...), amqp.Section(nil, amqp.PropertiesSection, amqp.List{})...), rejectedCode},
		{0, amqp.Section(nil, amqp.PropertiesSection, "no list"), rejectedCode},
		{batchFormat, batch, rejectedCode},
		{0, good, acceptedCode},
	} {
		id := uint32(i)
		r.transfer(amqp.Transfer{DeliveryID: &id, Format: &c.format}, c.payload)
		for {
			d, ok := r.next().(amqp.Disposition)
			if !ok {
				continue
			}
			if code := d.State.(amqp.Described).Descriptor; code != c.state || d.First != id || !d.Settled {
				t.Errorf("message %d was answered %+v", i, d)
			}
			break
		}
	}
	if n, err := s.Counts("jobs"); err != nil || n != (Counts{Active: 1, Sent: 1}) {
		t.Errorf("counts are %+v, %v", n, err)
	}
}

// FuzzConnection sends anything behind a handshake: the server must neither
// panic nor hang, and must still serve others.
func FuzzConnection(f *testing.F) {
	id, zero := uint32(0), uint32(0)
	frames := func(ps ...amqp.Performative) (b []byte) {
		for _, p := range ps {
			b = amqp.AppendFrame(b, amqp.TypeAMQP, 0, p, nil)
		}
		return b
	}
	node := func(addr string) any { return amqp.Described{Descriptor: uint64(0x29), Value: amqp.List{addr}} }
	open, begin := amqp.Open{ContainerID: "x", MaxFrameSize: 512}, amqp.Begin{IncomingWindow: 9, OutgoingWindow: 9}
	f.Add(frames(open, begin, amqp.Attach{Name: "a", Target: node("jobs")}, amqp.Transfer{DeliveryID: &id}))
	f.Add(frames(open, begin, amqp.Attach{Name: "a", Role: true, Source: node("jobs")},
		amqp.Flow{NextIncomingID: &zero, IncomingWindow: 9, Handle: &zero, LinkCredit: p(uint32(9)), Drain: true, Echo: true},
		amqp.Disposition{Role: true, Last: math.MaxUint32, State: accepted}, amqp.Detach{Closed: true}, amqp.End{}, amqp.Close{}))
	f.Add(frames(open, begin, amqp.Attach{Name: "a", Target: node("$cbs")}, amqp.Attach{Handle: 1, Name: "b", Role: true, Source: node("$cbs"), Target: node("back")}))
	f.Add([]byte("\x00\x00\x00\x09\x02\x00\x00\x00\x00"))
	s, err := Start("127.0.0.1:0", Options{Queues: []Queue{{Name: "jobs"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		r := rawDial(t, s)
		r.write(headerSASL + saslInit + headerAMQP)
		r.write(string(b))
		if err := r.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		r.closed()
		if _, err := s.Counts("jobs"); err != nil {
			t.Fatal(err)
		}
	})
}
