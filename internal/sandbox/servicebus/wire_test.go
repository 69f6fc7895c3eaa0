package servicebus

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// rawClient speaks frames.
type rawClient struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func rawDial(t *testing.T, s *Server) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t, c, bufio.NewReader(c)}
}

const saslInit = "\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUS"

// rawSession is a client behind the handshake, with a session on channel 0.
func rawSession(t *testing.T, s *Server) *rawClient {
	t.Helper()
	r := rawDial(t, s)
	r.write(headerSASL + saslInit + headerAMQP)
	r.send(amqp.Open{ContainerID: "raw", MaxFrameSize: maxFrame})
	r.send(amqp.Begin{IncomingWindow: 100, OutgoingWindow: 100})
	r.skip(8)
	r.frame() // mechanisms
	r.frame() // outcome
	r.skip(8)
	if _, ok := r.next().(amqp.Open); !ok {
		t.Fatal("no open")
	}
	if _, ok := r.next().(amqp.Begin); !ok {
		t.Fatal("no begin")
	}
	return r
}

func (r *rawClient) write(b string) {
	r.t.Helper()
	if _, err := io.WriteString(r, b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rawClient) send(p amqp.Performative) {
	r.t.Helper()
	r.write(string(amqp.AppendFrame(nil, amqp.TypeAMQP, 0, p, nil)))
}

func (r *rawClient) transfer(tr amqp.Transfer, payload []byte) {
	r.t.Helper()
	r.write(string(amqp.AppendFrame(nil, amqp.TypeAMQP, 0, tr, payload)))
}

func (r *rawClient) skip(n int) {
	r.t.Helper()
	if _, err := r.in.Discard(n); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rawClient) frame() amqp.Frame {
	r.t.Helper()
	f, err := amqp.ReadFrame(r.in, maxFrame)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// next is the next performative, past keepalives.
func (r *rawClient) next() amqp.Performative {
	r.t.Helper()
	for {
		f := r.frame()
		if len(f.Body) == 0 {
			continue
		}
		p, _, err := amqp.Parse(f.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return p
	}
}

// attach attaches handle 0 to a node, as a sender or a receiver.
func (r *rawClient) attach(addr string, sender bool) {
	r.t.Helper()
	a := amqp.Attach{Name: "link", Role: amqp.RoleReceiver, Source: amqp.Described{Descriptor: uint64(0x28), Value: amqp.List{addr}}}
	if sender {
		zero := uint32(0)
		a = amqp.Attach{Name: "link", InitialDeliveryCount: &zero, Target: amqp.Described{Descriptor: uint64(0x29), Value: amqp.List{addr}}}
	}
	r.send(a)
}

// refusal is the condition with which the link, the session or the connection
// is closed, after anything else.
func (r *rawClient) refusal() amqp.Condition {
	r.t.Helper()
	for {
		var e *amqp.Error
		switch p := r.next().(type) {
		case amqp.Detach:
			e = p.Err
		case amqp.End:
			e = p.Err
		case amqp.Close:
			e = p.Err
		default:
			continue
		}
		if e == nil {
			return ""
		}
		return e.Condition
	}
}

// closed fails the test unless the server closes the connection, now or after
// more output.
func (r *rawClient) closed() {
	r.t.Helper()
	_, err := io.Copy(io.Discard, r.in)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		r.t.Error("the connection stays open")
	}
}

func TestRefusals(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}, MaxMessageSize: 100})
	id := uint32(0)
	for name, c := range map[string]struct {
		do   func(r *rawClient)
		want amqp.Condition
	}{
		"unknown queue":     {func(r *rawClient) { r.attach("absent", true) }, amqp.NotFound},
		"send to dead":      {func(r *rawClient) { r.attach("jobs/$DeadLetterQueue", true) }, amqp.NotAllowed},
		"no target":         {func(r *rawClient) { r.send(amqp.Attach{Name: "x"}) }, amqp.NotFound},
		"high handle":       {func(r *rawClient) { r.send(amqp.Attach{Name: "x", Handle: 256}) }, amqp.ResourceLimit},
		"handle twice":      {func(r *rawClient) { r.attach("jobs", true); r.attach("jobs", true) }, amqp.HandleInUse},
		"flow to nothing":   {func(r *rawClient) { r.send(amqp.Flow{Handle: &id}) }, amqp.UnattachedHandle},
		"detach of nothing": {func(r *rawClient) { r.send(amqp.Detach{Handle: 3}) }, amqp.UnattachedHandle},
		"transfer nowhere":  {func(r *rawClient) { r.transfer(amqp.Transfer{DeliveryID: &id}, nil) }, amqp.UnattachedHandle},
		"second open":       {func(r *rawClient) { r.send(amqp.Open{MaxFrameSize: 512}) }, amqp.NotAllowed},
		"second begin":      {func(r *rawClient) { r.send(amqp.Begin{}) }, amqp.NotAllowed},
		"server's word":     {func(r *rawClient) { r.send(amqp.Init{}) }, amqp.NotImplemented},
		"huge frame":        {func(r *rawClient) { r.write("\x7f\xff\xff\xff\x02\x00\x00\x00") }, amqp.FramingError},
		"short frame":       {func(r *rawClient) { r.write("\x00\x00\x00\x07\x02\x00\x00\x00") }, amqp.FramingError},
		"bad offset":        {func(r *rawClient) { r.write("\x00\x00\x00\x08\x03\x00\x00\x00") }, amqp.FramingError},
		"SASL frame":        {func(r *rawClient) { r.write(saslInit) }, amqp.FramingError},
		"garbage":           {func(r *rawClient) { r.write("\x00\x00\x00\x0b\x02\x00\x00\x00\xff\xff\xff") }, amqp.DecodeError},
		"no session":        {func(r *rawClient) { r.write("\x00\x00\x00\x0f\x02\x00\x00\x07\x00\x53\x16\xc0\x02\x01\x43") }, amqp.NotAllowed},
		"wrong field": {func(r *rawClient) {
			r.write("\x00\x00\x00\x12\x02\x00\x00\x00\x00\x53\x16\xc0\x05\x01\xa1\x02no")
		}, amqp.DecodeError},
		"too large": {func(r *rawClient) {
			r.attach("jobs", true)
			r.transfer(amqp.Transfer{DeliveryID: &id, More: true}, make([]byte, 60))
			r.transfer(amqp.Transfer{}, make([]byte, 60))
		}, amqp.MessageSizeExceeded},
		"no delivery-id": {func(r *rawClient) {
			r.attach("jobs", true)
			r.transfer(amqp.Transfer{}, nil)
		}, amqp.InvalidField},
		"transfer the wrong way": {func(r *rawClient) {
			r.attach("jobs", false)
			r.transfer(amqp.Transfer{DeliveryID: &id}, nil)
		}, amqp.NotAllowed},
		"unreadable request": {func(r *rawClient) {
			r.attach("jobs/$management", true)
			r.transfer(amqp.Transfer{DeliveryID: &id}, []byte{0xff})
		}, amqp.DecodeError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rawSession(t, s)
			c.do(r)
			if got := r.refusal(); got != c.want {
				t.Errorf("refused with %q, want %q", got, c.want)
			}
		})
	}
}
