package reconcile_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/tables"
)

// cable is the wire between one world and the store, which counts what passes
// and can be cut. So tests need not wait for each other to count or to kill.
type cable struct {
	mu     sync.Mutex
	n      passed
	before func(write int64) error
	after  func(table string)
}

// passed are requests that were answered, but for refusals.
type passed struct{ reads, writes int64 }

// cut has f called before each write with its number; an error cuts the wire
// there and then. Nil mends it.
func (c *cable) cut(f func(write int64) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = f
}

// watch has f called after each write with the table's name.
func (c *cable) watch(f func(table string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after = f
}

func (c *cable) passed() passed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *cable) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	before, after, write := c.before, c.after, c.n.writes+1
	c.mu.Unlock()
	reads := req.Method == http.MethodGet
	if before != nil && !reads {
		if err := before(write); err != nil {
			return nil, err
		}
	}
	var sent []byte
	if after != nil && !reads {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := wires.Transport.RoundTrip(req)
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		return resp, err
	}
	if strings.HasSuffix(req.URL.Path, "$batch") { // the answer within tells
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(b))
		if bytes.Contains(b, []byte("HTTP/1.1 4")) || bytes.Contains(b, []byte("HTTP/1.1 5")) {
			return resp, nil
		}
	}
	c.mu.Lock()
	if reads {
		c.n.reads++
	} else {
		c.n.writes++
	}
	c.mu.Unlock()
	if after != nil && !reads {
		after(tableOf(req.URL.Path + " " + string(sent)))
	}
	return resp, nil
}

// tableOf is the table of a write: in its path, or in a transaction.
func tableOf(request string) string {
	for _, name := range []string{"directory", "runs", "connections"} {
		if strings.Contains(request, "/devstoreaccount1/"+name) {
			return name
		}
	}
	return request
}

// newStore is the state in the process's table store, at the end of a wire of its
// own.
func newStore(t *testing.T) (*tables.Store, *cable) {
	t.Helper()
	c := new(cable)
	s, err := tables.New(wires.Tables.URL(), wires.Tables.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: c}, Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}
