package tabled

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Every question waits for its answer by the latency, however many parts it
// has, the first one twice, and not at all once there is none.
func TestFar(t *testing.T) {
	const latency, rounds, parts = 30 * time.Millisecond, 4, 5
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var now atomic.Int64
	now.Store(int64(latency))
	go func() {
		c, err := far{l, &now}.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for b := make([]byte, parts); ; { // an answer to every five bytes
			for i := range b {
				if _, err := io.ReadFull(c, b[i:i+1]); err != nil {
					return
				}
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() time.Duration {
		began := time.Now()
		for range rounds {
			for range parts {
				if _, err := c.Write([]byte{1}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadFull(c, make([]byte, parts)); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(began)
	}
	if took := ask(); took < (rounds+1)*latency || took > 2*rounds*latency {
		t.Errorf("%d rounds took %s, with a latency of %s", rounds, took, latency)
	}
	now.Store(0)
	if took := ask(); took > rounds*latency {
		t.Errorf("%d rounds took %s without a latency", rounds, took)
	}
}
