package ours

import (
	"context"
	"net/http"
	"os"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/credential"
	"rollcall/internal/graph"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Scale is one run of a large tenant at the sandbox's Microsoft, with the
// credentials, settings and slices that the handler has.
type Scale struct {
	Servers    wires.Servers
	Microsoft  Microsoft
	Connection string
	Budget     time.Duration
	Lanes      int
	Full       bool // enumerate everything, whether or not it is due
}

// Microsoft is the sandbox's.
type Microsoft struct {
	Authority, Graph, IdentityURL, IdentityHeader, Identity, App, Tenant, Roots string
}

// large is what is synced by default.
var large = connection.Defaults

func scales(a Scale) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	// The managed identity is found by the environment, as in Azure.
	for name, v := range map[string]string{"IDENTITY_ENDPOINT": a.Microsoft.IdentityURL, "IDENTITY_HEADER": a.Microsoft.IdentityHeader} {
		if err := os.Setenv(name, v); err != nil {
			return nil, err
		}
	}
	creds, err := credential.New(credential.Options{
		Identity: a.Microsoft.Identity, Authority: a.Microsoft.Authority, Apps: connection.Apps{"mailboxes": a.Microsoft.App},
		Client: &http.Client{Transport: t, Timeout: 2 * time.Minute},
	})
	if err != nil {
		return nil, err
	}
	g, err := graph.New(a.Microsoft.Graph, creds, t)
	if err != nil {
		return nil, err
	}
	store, err := newStore(a.Servers, t)
	if err != nil {
		return nil, err
	}
	if err := create(store, a.Connection, a.Microsoft.Tenant, large); err != nil {
		return nil, err
	}
	q := &queue{}
	e := newEngine(g, store, q, a.Budget, a.Lanes)
	if a.Full {
		e.FullEvery = time.Nanosecond
	}
	return func() (out side.Outcome, err error) {
		r, err := run(context.Background(), e, q, first(a.Connection))
		out.Values = values(&r)
		out.Values["memberships"] = float64(r.Memberships.Created)
		out.Values["teams"] = float64(r.Teams.Created)
		if r.Full {
			out.Values["full"] = 1
		}
		for _, p := range r.Phases {
			out.Values["phase."+p.Name] = p.Ended.Sub(p.Began).Seconds()
		}
		out.Units = r.Seen
		return out, err
	}, nil
}
