package tabled

import (
	"net"
	"sync/atomic"
	"time"
)

// far is a listener whose clients are so far away: what comes first after
// something was sent to a client comes later by the latency, and what follows
// it does not wait again. So a request costs it once, and the handshakes of TCP
// and TLS once each. It can be changed while connections are open.
type far struct {
	net.Listener
	latency *atomic.Int64 // of a round trip, in nanoseconds
}

func (f far) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d := &distant{Conn: c, latency: f.latency}
	d.turns.Store(2)
	return d, nil
}

// distant is a connection to a client who is far away.
type distant struct {
	net.Conn
	latency *atomic.Int64
	turns   atomic.Int64 // round trips before the next bytes
}

func (d *distant) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if n > 0 {
		time.Sleep(time.Duration(d.turns.Swap(0) * d.latency.Load()))
	}
	return n, err
}

func (d *distant) Write(b []byte) (int, error) {
	d.turns.Store(1)
	return d.Conn.Write(b)
}
