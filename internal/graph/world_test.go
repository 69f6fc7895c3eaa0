package graph_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/wiretest"
)

var wires *wiretest.Wires

// IDs of nobody in particular.
const (
	someone = "11111111-2222-3333-4444-555555555555"
	another = "21111111-2222-3333-4444-555555555555"
)

func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{Microsoft: true, PageSize: 50}, func(w *wiretest.Wires) { wires = w })
}

// client is a new one, whose tenants have no tokens yet.
func client(t *testing.T, rt http.RoundTripper) *graph.Client {
	t.Helper()
	if rt == nil {
		rt = wires.Transport
	}
	c, err := graph.New(wires.Microsoft.GraphURL(), wires.Credentials(t), rt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// round follows the links from one to the round's end and applies what comes.
func round(t *testing.T, c *graph.Client, tn *tenant.Tenant, people map[string]directory.Person, link string) (pages int, delta string) {
	t.Helper()
	ctx, count := metered(t)
	for {
		p, err := c.People(ctx, connection.Access{Tenant: tn.ID}, link, directory.Properties())
		if err != nil {
			t.Fatal(err)
		}
		if n, units := count.Take(); n != 1 || units < 1 {
			t.Errorf("a page took %d calls and %d units", n, units)
		}
		pages++
		for _, it := range p.Items {
			if it.Removed != "" {
				delete(people, it.ID)
				continue
			}
			next := it.Person
			if !it.HasManager {
				next.Manager = people[it.ID].Manager
			}
			people[it.ID] = next
		}
		if p.Delta != "" {
			return pages, p.Delta
		}
		link = p.Next
	}
}

// equal compares people with the tenant's own.
func equal(t *testing.T, people map[string]directory.Person, tn *tenant.Tenant) {
	t.Helper()
	truth := sandbox.Truth(tn.People())
	if len(people) != len(truth) {
		t.Errorf("%d people, want %d", len(people), len(truth))
	}
	for id, p := range people {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "id")
		if !reflect.DeepEqual(got, truth[id]) {
			t.Errorf("%s is %v, want %v", id, got, truth[id])
		}
	}
}

// metered is a context that counts what calls cost.
func metered(t *testing.T) (context.Context, *job.Meter) {
	m := new(job.Meter)
	return job.Metered(t.Context(), m), m
}

// counting counts the requests that leave, by host.
type counting struct {
	next http.RoundTripper
	n    atomic.Int32
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(r)
}

// calls is how many requests of a kind the tenant has seen.
func calls(tn *tenant.Tenant, path string) int { return tn.Calls()[path] }
