package reconcile_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/reconcile"
	"rollcall/internal/sandbox/wiretest"
)

// pages is a Graph of nothing but a chain of pages.
type pages struct {
	reconcile.Graph
	people [][]directory.Item
}

func (g *pages) People(_ context.Context, _ connection.Access, link string, _ []string) (directory.Page, error) {
	n, _ := strconv.Atoi(link) // the empty link is page 0
	p := directory.Page{Items: append([]directory.Item(nil), g.people[n]...)}
	if n++; n < len(g.people) {
		p.Next = strconv.Itoa(n)
	} else {
		p.Delta = "delta"
	}
	return p, nil
}

func (g *pages) Licenses(context.Context, connection.Access) ([]directory.License, error) {
	return nil, nil
}

func (g *pages) ManagerPage(context.Context, connection.Access, string) (map[string]string, string, error) {
	return nil, "", nil
}

// sink is a store that keeps the fence alone, and forgets what is written.
type sink struct {
	reconcile.Store
	reconcile.Connections
	fence job.Fence
	conn  connection.Connection
}

func (s *sink) Fence(context.Context, string) (job.Fence, error) { return s.fence, nil }

func (s *sink) Prepare(_ string, f job.Fence, _ directory.Batch) (job.Fence, func(context.Context, string) (job.Fence, error), error) {
	f.Seq++
	f.Version = "v"
	return f, func(context.Context, string) (job.Fence, error) {
		s.fence = f
		return f, nil
	}, nil
}

func (s *sink) Connection(context.Context, string) (connection.Connection, error) { return s.conn, nil }

func (s *sink) UpdateConnection(_ context.Context, c connection.Connection) (connection.Connection, error) {
	s.conn = c
	return c, nil
}

func (s *sink) PutRun(context.Context, string, job.Run) error { return nil }

func (s *sink) PositionRecords(context.Context, string, []string) (map[string]directory.PositionRecord, error) {
	return nil, nil
}

func (s *sink) Licenses(context.Context, string) ([]directory.LicenseRecord, error) { return nil, nil }

func (s *sink) Index(context.Context, string, int64, func([]directory.Indexed) error) error {
	return nil
}

func (s *sink) Records(context.Context, string, []string) (map[string]directory.Record, error) {
	return nil, nil
}

func (s *sink) SeenRows(context.Context, string, int) ([]string, error) { return nil, nil }

func (s *sink) ShardRows(context.Context, string, int) ([]string, error) { return nil, nil }

func (s *sink) ScopeRows(context.Context, string, string, int) ([]string, error) { return nil, nil }

func (s *sink) IndexRows(context.Context, string, int64, int) ([]string, error) { return nil, nil }

// What the sync itself takes of a first run, between pages that are read and
// transactions that are sent.
func BenchmarkFirstRun(b *testing.B) {
	const size, n = 999, 20
	g := &pages{}
	yes := true
	for p := range n {
		var items []directory.Item
		for i := range size {
			at := p*size + i
			name := fmt.Sprintf("person.number%d", at)
			items = append(items, directory.Item{HasManager: true, Person: directory.Person{
				ID: uuid.NewSHA1(uuid.Nil, []byte(name)).String(), Mail: name + "@contoso.example", OtherMails: []string{name + "@private.example"},
				ProxyAddresses:    []string{"SMTP:" + name + "@contoso.example", "smtp:" + name + "@contoso.onmicrosoft.example"},
				UserPrincipalName: name + "@contoso.example", DisplayName: "Person Number " + strconv.Itoa(at), GivenName: "Person", Surname: "Number",
				BusinessPhones: []string{"+49 30 123456"}, MobilePhone: "+49 170 123456", PreferredLanguage: "de-DE", AccountEnabled: &yes, UserType: "Member",
				JobTitle: fmt.Sprint("Title ", at%200), Department: fmt.Sprint("Department ", at%50), OfficeLocation: "Berlin", EmployeeID: strconv.Itoa(at),
				EmployeeHireDate: "2020-01-01T00:00:00Z", AssignedLicenses: []string{"05e9a617-0261-4cee-bb44-138d3ef5d965"},
				Manager: "5f7c1fdf-6d2a-4e1c-8f3e-0a5d5a6f2c11",
			}})
		}
		g.people = append(g.people, items)
	}
	settings := connection.Settings{Positions: true, Guests: true, Disabled: true}
	b.ReportAllocs()
	for b.Loop() {
		s := &sink{conn: connection.Connection{ID: "c", Tenant: "t", Status: connection.Connected, Settings: &settings}}
		e := &reconcile.Engine{
			Graph: g, Store: s, Connections: s, Now: time.Now, Log: wiretest.Silent(), Budget: time.Hour, MinDelay: time.Second, MaxDelay: time.Minute, MaxAge: time.Hour,
		}
		if err := e.Sync(b.Context(), job.Job{Kind: job.Sync, Connection: "c", Run: "r", Trigger: job.Schedule}); err != nil {
			b.Fatal(err)
		}
		if s.fence.Run.Created != size*n {
			b.Fatalf("run %+v", s.fence.Run)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size*n), "ns/person")
}
