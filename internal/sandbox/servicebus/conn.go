package servicebus

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// Limits of a connection. Frame and channel limits are those of Service Bus
// (documented); output beyond fullOutput waits for the client to read, beyond
// maxOutput the client is cut off.
const (
	maxFrame   = 64 << 10
	maxChannel = 4999
	maxHandle  = 255
	fullOutput = 1 << 20
	maxOutput  = 64 << 20
	maxPartial = 16 << 20 // bytes of messages that have come in by half
)

// conn is one client connection: a reader goroutine, which handles each frame
// under the server's mutex, and a writer goroutine.
type conn struct {
	s   *Server
	raw net.Conn // closing it never blocks
	net net.Conn // raw, or TLS over it
	in  *bufio.Reader

	ready  chan struct{} // the writer has something to do
	gone   chan struct{} // the reader has ended
	writer chan struct{} // the writer has ended

	// Guarded by the server's mutex.
	out       []byte
	full      bool // deliveries wait for the writer
	closing   bool // the writer closes the connection after the output
	opened    bool
	partial   int           // bytes of messages that have come in by half
	maxFrame  uint32        // the client's
	keepalive time.Duration // 0 = none
	sessions  map[uint16]*session
	claims    map[string]bool // queues with a valid token, "" for all
	after     []func()        // runs on the reader, without the mutex
}

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{
		s: s, raw: raw, net: raw,
		ready:    make(chan struct{}, 1),
		gone:     make(chan struct{}),
		writer:   make(chan struct{}),
		sessions: map[uint16]*session{},
		claims:   map[string]bool{},
	}
	if s.o.TLS != nil {
		c.net = tls.Server(raw, s.o.TLS)
	}
	c.in = bufio.NewReader(c.net)
	return c
}

// cut ends the connection without a word; output not yet written is lost.
func (c *conn) cut() { c.raw.Close() }

func (c *conn) serve() {
	defer c.s.wg.Done()
	if err := c.handshake(); err == nil {
		go c.write()
		c.read()
		close(c.gone)
		<-c.writer
	}
	c.raw.Close()
	c.s.do(func(time.Time) {
		c.drop()
		delete(c.s.conns, c)
	})
}

// drop forgets the connection's sessions.
func (c *conn) drop() {
	for _, ss := range c.sessions {
		ss.drop()
	}
	clear(c.sessions)
}

// shut says goodbye, which is the last that the writer writes.
func (c *conn) shut(fault *amqp.Error) {
	c.drop()
	c.send(0, amqp.Close{Err: fault}, nil)
	c.closing = true
}

// Protocol headers: "AMQP", the protocol, version 1.0.0.
const (
	headerSASL = "AMQP\x03\x01\x00\x00"
	headerAMQP = "AMQP\x00\x01\x00\x00"
)

// handshake takes the client through SASL, which every mechanism offered here
// passes: who may do what is settled by tokens put to $cbs.
func (c *conn) handshake() error {
	if err := c.net.SetDeadline(time.Now().Add(c.s.limits.handshake)); err != nil {
		return err
	}
	if err := c.header(headerSASL); err != nil {
		return err
	}
	const anonymous, claims = amqp.Symbol("ANONYMOUS"), amqp.Symbol("MSSBCBS")
	offer := amqp.Mechanisms{Names: []amqp.Symbol{claims, anonymous}}
	if err := c.saslSend(offer); err != nil {
		return err
	}
	f, err := amqp.ReadFrame(c.in, amqp.MinMaxFrame)
	if err != nil {
		return err
	}
	perf, _, err := amqp.Parse(f.Body)
	if err != nil {
		return err
	}
	init, ok := perf.(amqp.Init)
	if !ok || f.Type != amqp.TypeSASL {
		return amqp.Errorf(amqp.NotAllowed, "no SASL init")
	}
	if init.Mechanism != anonymous && init.Mechanism != claims {
		return errors.Join(c.saslSend(amqp.Outcome{Code: 1}), amqp.Errorf(amqp.UnauthorizedAccess, "mechanism %s", init.Mechanism))
	}
	if err := c.saslSend(amqp.Outcome{Code: 0}); err != nil {
		return err
	}
	if err := c.header(headerAMQP); err != nil {
		return err
	}
	return c.net.SetDeadline(time.Time{})
}

// header exchanges a protocol header. A client that wants another protocol is
// told this one before it is cut, as the standard asks.
func (c *conn) header(want string) error {
	var got [8]byte
	if _, err := io.ReadFull(c.in, got[:]); err != nil {
		return err
	}
	_, err := c.net.Write([]byte(want))
	if err == nil && string(got[:]) != want {
		err = amqp.Errorf(amqp.NotImplemented, "protocol %q", got)
	}
	return err
}

func (c *conn) saslSend(p amqp.Performative) error {
	_, err := c.net.Write(amqp.AppendFrame(nil, amqp.TypeSASL, 0, p, nil))
	return err
}

// read handles frames until the connection ends. A fault in the protocol is
// told to the client before.
func (c *conn) read() {
	for closing := false; !closing; {
		err := c.net.SetReadDeadline(time.Now().Add(c.s.limits.idle))
		var f amqp.Frame
		if err == nil {
			f, err = amqp.ReadFrame(c.in, maxFrame)
		}
		var fault *amqp.Error
		if err != nil && !errors.As(err, &fault) {
			return
		}
		var after []func()
		c.s.do(func(now time.Time) {
			if fault == nil {
				fault = c.handle(f, now)
			}
			if fault != nil {
				c.shut(fault)
			}
			closing = c.closing
			after, c.after = c.after, nil
		})
		for _, f := range after {
			f()
		}
	}
}

// handle handles one frame; the error it returns closes the connection.
func (c *conn) handle(f amqp.Frame, now time.Time) *amqp.Error {
	if f.Type != amqp.TypeAMQP {
		return amqp.Errorf(amqp.FramingError, "frame of type %d behind the handshake", f.Type)
	}
	if len(f.Body) == 0 {
		return nil // keepalive
	}
	perf, payload, err := amqp.Parse(f.Body)
	if err != nil {
		var fault *amqp.Error
		errors.As(err, &fault)
		return fault
	}
	if open, ok := perf.(amqp.Open); ok || !c.opened {
		if !ok || c.opened {
			return amqp.Errorf(amqp.NotAllowed, "open must be the first frame, once")
		}
		return c.open(open)
	}
	ss := c.sessions[f.Channel]
	switch perf := perf.(type) {
	case amqp.Close:
		c.shut(nil)
		return nil
	case amqp.Begin:
		if ss != nil || f.Channel > maxChannel || perf.RemoteChannel != nil {
			return amqp.Errorf(amqp.NotAllowed, "begin on channel %d", f.Channel)
		}
		c.sessions[f.Channel] = begin(c, f.Channel, perf)
		return nil
	case amqp.End:
		if ss == nil {
			return amqp.Errorf(amqp.NotAllowed, "end on channel %d without a session", f.Channel)
		}
		ss.drop()
		delete(c.sessions, f.Channel)
		if !ss.ending {
			c.send(f.Channel, amqp.End{}, nil)
		}
		return nil
	}
	if ss == nil {
		return amqp.Errorf(amqp.NotAllowed, "frame on channel %d without a session", f.Channel)
	}
	if ss.ending {
		return nil
	}
	if fault := ss.handle(perf, payload, now); fault != nil {
		ss.drop()
		ss.ending = true
		c.send(f.Channel, amqp.End{Err: fault}, nil)
	}
	return nil
}

func (c *conn) open(o amqp.Open) *amqp.Error {
	if o.MaxFrameSize < amqp.MinMaxFrame {
		return amqp.Errorf(amqp.InvalidField, "max-frame-size of %d, the least is %d", o.MaxFrameSize, amqp.MinMaxFrame)
	}
	c.opened = true
	c.maxFrame = min(o.MaxFrameSize, maxFrame)
	if o.IdleTimeout > 0 {
		// Sent at half the time, but not so often that it becomes work.
		c.keepalive = max(time.Duration(o.IdleTimeout)*time.Millisecond/2, 100*time.Millisecond)
	}
	c.send(0, amqp.Open{
		ContainerID: "rollcall-sandbox", Hostname: o.Hostname, MaxFrameSize: maxFrame, ChannelMax: maxChannel,
		IdleTimeout: uint32(c.s.limits.idle.Milliseconds() / 2),
	}, nil)
	return nil
}

// send appends a frame to the output.
func (c *conn) send(channel uint16, p amqp.Performative, payload []byte) {
	if len(c.out) > maxOutput {
		c.cut()
		return
	}
	c.out = amqp.AppendFrame(c.out, amqp.TypeAMQP, channel, p, payload)
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// write writes the output, and a keepalive where there is none, until the
// connection ends.
func (c *conn) write() {
	defer close(c.writer)
	defer c.raw.Close()
	var buf []byte
	for {
		var closing bool
		var keepalive time.Duration
		c.s.do(func(time.Time) {
			buf, c.out = c.out, buf[:0]
			closing, keepalive = c.closing, c.keepalive
			c.resume()
		})
		if len(buf) == 0 {
			if closing {
				return
			}
			if !c.await(keepalive) {
				return
			}
			continue
		}
		if !c.flush(buf) {
			return
		}
	}
}

// await waits until there is something to write; false if the reader has
// ended. After a silence of d it writes a keepalive.
func (c *conn) await(d time.Duration) bool {
	var tick <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		tick = t.C
	}
	select {
	case <-c.ready:
		return true
	case <-tick:
		return c.flush(amqp.AppendFrame(nil, amqp.TypeAMQP, 0, nil, nil))
	case <-c.gone:
		// The last words, such as a close, are still to be written.
		select {
		case <-c.ready:
			return true
		default:
			return false
		}
	}
}

func (c *conn) flush(b []byte) bool {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.s.limits.write)); err != nil {
		return false
	}
	_, err := c.net.Write(b)
	return err == nil
}

// resume lets the deliveries go on that waited for the writer.
func (c *conn) resume() {
	if !c.full {
		return
	}
	c.full = false
	for _, ss := range c.sessions {
		ss.stir()
	}
}
