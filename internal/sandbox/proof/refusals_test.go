package proof

import (
	"maps"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

type refusal struct {
	// begin makes Microsoft refuse, the returned function stops that and fails
	// unless it happened.
	begin func(t *testing.T, s *sandbox.Sandbox, c customer) (end func())
	code  string
}

// refused are the ways in which Microsoft says no, and by which code the run
// must report it.
var refused = map[string]refusal{
	"403 on people": {func(t *testing.T, s *sandbox.Sandbox, c customer) func() {
		return c.arm(t, s, fault.Fault{Kind: fault.Forbidden})
	}, "Authorization_RequestDenied"},
	"403 on a later page": {func(t *testing.T, s *sandbox.Sandbox, c customer) func() {
		return c.arm(t, s, fault.Fault{Kind: fault.Forbidden, Skip: 1})
	}, "Authorization_RequestDenied"},
	"a token without roles": {func(t *testing.T, s *sandbox.Sandbox, c customer) func() {
		disarm := c.arm(t, s, fault.Fault{Path: fault.Token, Kind: fault.NoRoles})
		return func() {
			disarm()
			c.again(t, s)
		}
	}, "Authorization_RequestDenied"},
	"the permission taken back": {func(t *testing.T, s *sandbox.Sandbox, c customer) func() {
		s.Microsoft.RemoveRole(c.tenant.ID, "User.Read.All")
		return func() { c.again(t, s) }
	}, "Authorization_RequestDenied"},
	"the app deleted by the customer": {func(t *testing.T, s *sandbox.Sandbox, c customer) func() {
		s.Microsoft.Revoke(c.tenant.ID)
		return func() { c.again(t, s) }
	}, "AADSTS700016"},
	"the app switched off by the customer": {func(_ *testing.T, s *sandbox.Sandbox, c customer) func() {
		s.Microsoft.DisableApp(c.tenant.ID)
		return func() { s.Microsoft.EnableApp(c.tenant.ID) }
	}, "AADSTS7000112"},
	"no service principal": {aadsts(7000229), "AADSTS7000229"},
	"conditional access":   {aadsts(53003), "AADSTS53003"},
}

// noted is the connection once it tells of the run.
func (c customer) noted(t *testing.T, s *sandbox.Sandbox, r run) (conn connection) {
	t.Helper()
	if err := sandbox.Await(within(t, 10*time.Second), "the run on the connection", func() (bool, error) {
		conn = c.connection(t, s)
		return conn.LastRun == r.ID, nil
	}); err != nil {
		t.Fatal(err)
	}
	return conn
}

// again is the customer's administrator consenting once more, by the same
// link, which opened again when the connection failed. A run follows by itself.
func (c customer) again(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	if _, err := s.Consent(t.Context(), c.Link, c.admin()); err != nil {
		t.Error(err)
	}
	awaitRuns(t, s, c, 3)
}

func aadsts(code int) func(*testing.T, *sandbox.Sandbox, customer) func() {
	return func(t *testing.T, s *sandbox.Sandbox, c customer) func() {
		return c.arm(t, s, fault.Fault{Path: fault.Token, Kind: fault.AADSTS, Code: code})
	}
}

// Where Microsoft refuses, the run fails and says what to do; nobody is
// archived and nothing else is changed by it, and once the cause is gone
// everything is as it should be. What happens here to one customer does not
// touch the others, who are all served by the same process.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20})
	those := crowd(t, s, refused)
	bystander := connected(t, s, tenant.Spec{People: 70})
	s.Host.Kill() // and with it every token that it keeps
	calm := map[string]refusal{"another customer": {}}
	maps.Copy(calm, refused)
	together(t, calm, func(t *testing.T, name string, how refusal) {
		if how.begin == nil {
			done := bystander.day(t)
			syncNow(t, s, bystander)
			r := awaitRuns(t, s, bystander, 2)[0]
			if r.State != "succeeded" || r.Counters.Retries > 0 {
				t.Errorf("run %+v, want one without a hitch", r)
			}
			left(t, s, bystander, r, done)
			return
		}
		c := those[name]
		before, err := s.People(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		done := c.day(t)
		end := how.begin(t, s, c)
		syncNow(t, s, c)
		r := awaitRuns(t, s, c, 2)[0]
		if r.State != "failed" || r.Problem == nil || r.Problem.Code != how.code || r.Problem.Message == "" || r.Problem.Remedy == "" {
			t.Errorf("run %+v, want a failed one with code %s and a remedy: %+v", r, how.code, r.Problem)
		}
		if conn := c.noted(t, s, r); conn.Status != "failed" || conn.Problem == nil || conn.Problem.Remedy == "" {
			t.Errorf("the connection is %+v, want failed with a remedy", conn)
		}
		people, err := s.People(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		for id := range before {
			if p, ok := people[id]; !ok || !p.Active {
				t.Errorf("%s was archived by a refusal", id)
			}
		}
		if r.Counters.Archived > 0 {
			t.Errorf("a failed run archived %d", r.Counters.Archived)
		}

		end()
		if all, err := runs(t.Context(), s, c); err != nil || len(all) < 3 {
			syncNow(t, s, c)
		}
		if r = awaitRuns(t, s, c, 3)[0]; r.State != "succeeded" {
			t.Errorf("after the cause was gone: %+v", r)
		}
		r.Counters.Created = len(done.Created) // of both runs
		left(t, s, c, r, done)
		if conn := c.noted(t, s, r); conn.Status != "ok" || conn.Problem != nil {
			t.Errorf("the connection is %+v, want ok", conn)
		}
	})
}

// crowd is a connected customer for each of the cases.
func crowd[C any](t *testing.T, s *sandbox.Sandbox, cases map[string]C) map[string]customer {
	t.Helper()
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		those = map[string]customer{}
	)
	for name := range cases {
		all.Go(func() {
			c := connected(t, s, tenant.Spec{People: 70})
			mu.Lock()
			defer mu.Unlock()
			those[name] = c
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return those
}

// Somebody who is merely missing from a full enumeration is archived only
// once Graph has said, asked for that very person, that there is nobody.
func TestMissingPeople(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20})
	spec := tenant.Spec{ID: "6a1f0c3e-0000-4000-8000-00000000beef", Name: "Contoso", Domain: "contoso.example", People: 70, Seed: 5}
	c := connected(t, s, spec)
	was := c.tenant.People()
	// The same tenant restored from an old backup: seven people are not in it,
	// and nothing tells of their removal.
	s.Microsoft.DeleteTenant(spec.ID)
	spec.People = 63
	var err error
	if c.tenant, err = s.Microsoft.NewTenant(spec); err != nil {
		t.Fatal(err)
	}
	if err := s.Microsoft.Consent(spec.ID); err != nil {
		t.Fatal(err)
	}
	c.tenant.Forget()

	disarm := c.arm(t, s, fault.Fault{Path: fault.ByIDs, Kind: fault.Forbidden})
	syncNow(t, s, c)
	if r := awaitRuns(t, s, c, 2)[0]; r.State != "failed" || r.Problem == nil || r.Problem.Remedy == "" || r.Counters.Archived > 0 {
		t.Errorf("run %+v, want a failed one that says what to do", r)
	}
	disarm()
	people, err := s.People(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range was {
		if !people[p.ID].Active {
			t.Errorf("%s was archived without proof", p.ID)
		}
	}

	disarm = c.arm(t, s, fault.Fault{Path: fault.ByIDs, Kind: fault.Error, Status: 503, Count: 1}, fault.Fault{Path: fault.ByIDs, Kind: fault.Cut, Count: 1})
	syncNow(t, s, c)
	r := awaitRuns(t, s, c, 3)[0]
	disarm()
	left(t, s, c, r, tenant.Done{Removed: ids(was[63:])})
}

func ids(people []tenant.Person) (all []string) {
	for _, p := range people {
		all = append(all, p.ID)
	}
	return all
}

// Trouble of the sign-in service that passes costs a wait and nothing else.
func TestTokenTrouble(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20})
	hitches := map[string]fault.Fault{
		"transient":       {Kind: fault.AADSTS, Code: 90033, Count: 2},
		"busy":            {Kind: fault.AADSTS, Code: 90024, Count: 2},
		"too many":        {Kind: fault.Throttle, RetryAfter: "1", Count: 1},
		"500":             {Kind: fault.Error, Status: 500, Count: 2},
		"502 in HTML":     {Kind: fault.Error, Status: 502, Count: 2},
		"answers cut off": {Kind: fault.Cut, Count: 2},
	}
	those := crowd(t, s, hitches)
	// A new process has no token of anybody, not even its own identity's.
	id, err := s.Microsoft.AddFault(fault.Fault{Tenant: s.Microsoft.VendorTenant(), Path: fault.Identity, Kind: fault.Error, Status: 500, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Host.Kill()
	together(t, hitches, func(t *testing.T, name string, f fault.Fault) {
		c := those[name]
		done := c.day(t)
		f.Path = fault.Token
		disarm := c.arm(t, s, f)
		syncNow(t, s, c)
		r := awaitRuns(t, s, c, 2)[0]
		disarm()
		if r.State != "succeeded" || r.Problem != nil || r.Counters.Retries == 0 {
			t.Errorf("run %+v, want one that waited and succeeded", r)
		}
		left(t, s, c, r, done)
	})
	if s.Microsoft.Fired(id) == 0 {
		t.Error("the managed identity's endpoint never failed")
	}
}
