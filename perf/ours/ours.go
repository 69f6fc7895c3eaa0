// Package ours is Rollcall's side: the product's own packages, joined as the
// handler joins them.
//
// Nothing here is faster than in the product: what a benchmark needs beside
// it, such as a digest of all that is stored, is done outside what is measured.
package ours

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/graph"
	"rollcall/internal/tables"
	"rollcall/perf/crowd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Tasks are Rollcall's.
var Tasks = map[string]side.Prepare{
	"people": side.Arg(people), "groups": side.Arg(groups), "commit": side.Arg(commit), "prior": side.Arg(prior),
	"sync": side.Arg(syncs), "stored": side.Arg(stored), "connect": side.Arg(connects), "sweep": side.Arg(sweep), "scale": side.Arg(scales),
}

// credentials give every tenant the same token.
type credentials struct{}

func (credentials) Tenant(connection.Access) (azcore.TokenCredential, error) {
	return wires.Token{}, nil
}
func (credentials) Fresh(connection.Access) (azcore.TokenCredential, error) {
	return wires.Token{}, nil
}

// silent keeps errors only.
func silent() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// access is any tenant.
var access = connection.Access{Tenant: "0b5e51e0-0000-4000-8000-000000000000"}

// counted counts requests and the bytes of their bodies.
type counted struct {
	next     http.RoundTripper
	requests atomic.Int64
	bytes    atomic.Int64
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	c.bytes.Add(max(r.ContentLength, 0))
	return c.next.RoundTrip(r)
}

func newGraph(s wires.Servers, t http.RoundTripper) (*graph.Client, error) {
	return graph.New(s.Graph, credentials{}, t)
}

func newStore(s wires.Servers, t http.RoundTripper) (*tables.Store, error) {
	o := s.Client(t)
	o.Transport = tables.Sender{Transport: t, Timeout: 2 * time.Minute} // as in the handler
	store, err := tables.New(s.Tables, wires.Token{}, o)
	if err != nil {
		return nil, err
	}
	store.Now, store.Log = time.Now, silent()
	return store, nil
}

// open is the store, by a transport of its own.
func open(s wires.Servers) (*http.Transport, *tables.Store, error) {
	t, err := s.Transport()
	if err != nil {
		return nil, nil, err
	}
	store, err := newStore(s, t)
	return t, store, err
}

// plain is the person in the bench's own words.
func plain(p *directory.Person) crowd.Person {
	return crowd.Person{
		ID: p.ID, Mail: p.Mail, UserPrincipalName: p.UserPrincipalName, DisplayName: p.DisplayName, GivenName: p.GivenName,
		Surname: p.Surname, MobilePhone: p.MobilePhone, PreferredLanguage: p.PreferredLanguage, UserType: p.UserType,
		JobTitle: p.JobTitle, Department: p.Department, OfficeLocation: p.OfficeLocation, EmployeeID: p.EmployeeID,
		EmployeeHireDate: p.EmployeeHireDate, Manager: p.Manager, OtherMails: p.OtherMails, ProxyAddresses: p.ProxyAddresses,
		BusinessPhones: p.BusinessPhones, AssignedLicenses: p.AssignedLicenses, AccountEnabled: p.AccountEnabled != nil && *p.AccountEnabled,
	}
}

// Chain is a round of pages to read.
type Chain struct {
	Servers wires.Servers
	// Digest has what was read digested, which costs time.
	Digest bool
}

// people reads a whole enumeration to records with fingerprints.
func people(a Chain) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	g, err := newGraph(a.Servers, t)
	if err != nil {
		return nil, err
	}
	properties := directory.Properties()
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		var prints uint64
		for link := ""; ; {
			page, err := g.People(context.Background(), access, link, properties)
			if err != nil {
				return out, err
			}
			for i := range page.Items {
				p := &page.Items[i].Person
				prints += p.Fingerprint()
				if a.Digest {
					q := plain(p)
					out.Digest += q.Digest()
				}
			}
			out.Units += len(page.Items)
			if page.Next == "" {
				out.Values = map[string]float64{"prints": float64(prints >> 11)}
				return out, nil
			}
			link = page.Next
		}
	}, nil
}

// groups reads a whole enumeration of groups with their members.
func groups(a Chain) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	g, err := newGraph(a.Servers, t)
	if err != nil {
		return nil, err
	}
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		for link := ""; ; {
			page, err := g.Groups(context.Background(), access, link)
			if err != nil {
				return out, err
			}
			for i := range page.Items {
				it := &page.Items[i]
				out.Units += len(it.Joined)
				if a.Digest {
					for _, id := range it.Joined {
						out.Digest += crowd.Membership(it.Team.ID, id)
					}
				}
			}
			if page.Next == "" {
				return out, nil
			}
			link = page.Next
		}
	}, nil
}
