package graph_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// Following the links gives everybody as Microsoft has them, also the awkward
// ones, and then whatever changes.
func TestEnumeration(t *testing.T) {
	tn := wires.Tenant(t, 430)
	c := client(t, nil)
	people := map[string]directory.Person{}
	pages, delta := round(t, c, tn, people, "")
	if pages != 9 { // 430 people, 50 a page
		t.Errorf("%d pages, want 9", pages)
	}
	equal(t, people, tn)
	if _, err := tn.Apply(tenant.Bulk{Seed: 5, Edit: 70, Remove: 20, Create: 30}); err != nil {
		t.Fatal(err)
	}
	a, b := tn.People()[0].ID, tn.People()[1].ID
	for _, manager := range []any{b, nil, b} {
		if err := tn.Update(a, tenant.Fields{"manager": manager, "mobilePhone": nil}); err != nil {
			t.Fatal(err)
		}
		_, delta = round(t, c, tn, people, delta)
		equal(t, people, tn)
	}
	if pages, _ := round(t, c, tn, people, delta); pages != 1 {
		t.Errorf("a round without changes took %d pages", pages)
	}
}

// A page that says removed says how.
func TestRemoved(t *testing.T) {
	tn := wires.Tenant(t, 3)
	c := client(t, nil)
	_, delta := round(t, c, tn, map[string]directory.Person{}, "")
	soft, hard := tn.People()[0].ID, tn.People()[1].ID
	if err := errors.Join(tn.Remove(soft), tn.Purge(hard)); err != nil {
		t.Fatal(err)
	}
	p, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, delta, directory.Properties())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]directory.Reason{}
	for _, it := range p.Items {
		got[it.ID] = it.Removed
	}
	if got[soft] != directory.SoftDeleted || got[hard] != directory.Deleted {
		t.Errorf("removed %v", got)
	}
}

// Every way in which Microsoft can refuse is told apart by its remedy.
func TestFaults(t *testing.T) {
	tn := wires.Tenant(t, 120)
	c := client(t, nil)
	p, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", directory.Properties())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name  string
		fault ms.Fault
		kind  fault.Kind
		// the wait lies in [after, upto]; upto 0 means after exactly
		after, upto time.Duration
		code        string
		remedy      bool
	}{
		{name: "429", fault: ms.Fault{Kind: ms.Throttle}, kind: fault.Throttled, code: "TooManyRequests"},
		{name: "429, seconds", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "17"}, kind: fault.Throttled, after: 17 * time.Second, upto: 17*time.Second + time.Millisecond, code: "TooManyRequests"},
		{name: "429, fraction", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "2.128"}, kind: fault.Throttled, after: 2128 * time.Millisecond, upto: 2129 * time.Millisecond, code: "TooManyRequests"},
		{name: "429, date", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "date:90s"}, kind: fault.Throttled, after: 80 * time.Second, upto: 90 * time.Second, code: "TooManyRequests"},
		{name: "429, past date", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "date:-90s"}, kind: fault.Throttled, code: "TooManyRequests"},
		{name: "429, negative", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "-5"}, kind: fault.Throttled, code: "TooManyRequests"},
		{name: "429, absurd", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "99999999999999999999"}, kind: fault.Throttled, after: 6 * time.Hour, code: "TooManyRequests"},
		{name: "429, text", fault: ms.Fault{Kind: ms.Throttle, RetryAfter: "soon"}, kind: fault.Throttled, code: "TooManyRequests"},
		{name: "500", fault: ms.Fault{Kind: ms.Error, Status: 500}, kind: fault.Unknown, code: "InternalServerError"},
		{name: "502 in HTML", fault: ms.Fault{Kind: ms.Error, Status: 502}, kind: fault.Unknown},
		{name: "503", fault: ms.Fault{Kind: ms.Error, Status: 503}, kind: fault.Unknown, code: "serviceNotAvailable"},
		{name: "503, seconds", fault: ms.Fault{Kind: ms.Error, Status: 503, RetryAfter: "30"}, kind: fault.Throttled, after: 30 * time.Second, upto: 30*time.Second + time.Millisecond, code: "serviceNotAvailable"},
		{name: "504", fault: ms.Fault{Kind: ms.Error, Status: 504}, kind: fault.Unknown, code: "UnknownError"},
		{name: "403", fault: ms.Fault{Kind: ms.Forbidden}, kind: fault.Denied, code: "Authorization_RequestDenied", remedy: true},
		{name: "cut", fault: ms.Fault{Kind: ms.Cut}, kind: fault.Unknown},
		{name: "cut, chunked", fault: ms.Fault{Kind: ms.CutChunked}, kind: fault.Unknown},
		{name: "410", fault: ms.Fault{Kind: ms.Resync}, kind: fault.Expired, code: "resyncRequired"},
		{name: "400", fault: ms.Fault{Kind: ms.Expired}, kind: fault.Expired, code: "syncStateNotFound"},
	} {
		t.Run(f.name, func(t *testing.T) {
			link := p.Next
			if f.kind == fault.Expired { // the tenant's links die with it
				fresh, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", directory.Properties())
				if err != nil {
					t.Fatal(err)
				}
				link = fresh.Next
			}
			tries := 1
			if f.kind == fault.Denied {
				tries = 2 // once more with a new token
			}
			f.fault.Path, f.fault.Count = ms.UsersDelta, tries
			fired := wires.Fault(t, tn, f.fault)
			before := calls(tn, ms.UsersDelta)
			page, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, link, directory.Properties())
			fired()
			e := fault.Of(err)
			if err == nil {
				t.Fatalf("a page of %d items", len(page.Items))
			}
			if e.Kind != f.kind || e.Code != f.code || (e.Remedy != "") != f.remedy {
				t.Errorf("kind %s, code %q, remedy %q; want %s, %q, %v", e.Kind, e.Code, e.Remedy, f.kind, f.code, f.remedy)
			}
			if e.After < f.after || e.After > max(f.after, f.upto) {
				t.Errorf("after %s, want %s to %s", e.After, f.after, max(f.after, f.upto))
			}
			if n := calls(tn, ms.UsersDelta) - before; n != tries {
				t.Errorf("%d requests, want %d: a worker does not retry by itself", n, tries)
			}
			if len(page.Items) != 0 || page.Next != "" || page.Delta != "" {
				t.Error("an error came with a page")
			}
			if strings.Contains(err.Error(), "skiptoken") {
				t.Errorf("the error tells the link: %v", err)
			}
		})
	}
}

// What the sign-in service refuses keeps its remedy on the way through the SDK.
func TestTokenFaults(t *testing.T) {
	for code, want := range map[int]struct {
		kind   fault.Kind
		remedy bool
	}{
		700016: {fault.Denied, true}, 7000229: {fault.Denied, true}, 7000112: {fault.Denied, true}, // the customer withdrew
		7000222: {fault.Unknown, true}, 7000215: {fault.Unknown, true}, // ours: runs wait
		53003: {fault.Denied, true}, 500021: {fault.Denied, true}, // policy
		90033: {fault.Unknown, true}, 50196: {fault.Throttled, true}, 123456: {fault.Unknown, true}, // passing, or never seen
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			tn := wires.Tenant(t, 1)
			c := client(t, nil)
			fired := wires.Fault(t, tn, ms.Fault{Kind: ms.AADSTS, Code: code, Count: 1})
			_, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", directory.Properties())
			fired()
			if e := fault.Of(err); err == nil || e.Kind != want.kind || e.Code != fmt.Sprintf("AADSTS%d", code) || (e.Remedy != "") != want.remedy {
				t.Errorf("%s %q %q: %v", e.Kind, e.Code, e.Remedy, err)
			}
			if n := calls(tn, ms.UsersDelta); n != 0 {
				t.Errorf("%d requests without a token", n)
			}
			if _, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", directory.Properties()); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
}

// A link that leads elsewhere gets no request, and least of all a token.
func TestForeignLinks(t *testing.T) {
	tn := wires.Tenant(t, 1)
	base := wires.Microsoft.GraphURL()
	count := &counting{next: wires.Transport}
	c := client(t, count)
	for _, link := range []string{
		"https://evil.example/v1.0/users/delta?$skiptoken=x",
		base + ".evil.example/v1.0/users/delta",
		base + "@evil.example/v1.0/users/delta",
		base + "/beta/users/delta",
		base + "/v1.0",
		strings.Replace(base, "https", "http", 1) + "/v1.0/users/delta",
		"//evil.example/v1.0/users", "users/delta", " ", "\x00",
		base + "/v1.0/%zz",
	} {
		_, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, link, directory.Properties())
		if !fault.Is(err, fault.Expired) {
			t.Errorf("%q: %v, want an expired link", link, err)
		}
	}
	if n := count.n.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if n := calls(tn, ms.Token); n != 0 {
		t.Errorf("%d tokens", n)
	}
}

// A probe believes neither an old token nor another tenant's answer.
func TestProbe(t *testing.T) {
	s := wires.Microsoft
	tn, err := s.NewTenant(tenant.Spec{People: 2})
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, nil)
	if err := c.Probe(t.Context(), connection.Access{Tenant: tn.ID}); !fault.Is(err, fault.Denied) || fault.Of(err).Code != "AADSTS7000229" {
		t.Errorf("before consent: %v", err)
	}
	if err := s.Consent(tn.ID, "User.Read.All"); err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context(), connection.Access{Tenant: tn.ID}); !fault.Is(err, fault.Denied) || fault.Of(err).Remedy == "" {
		t.Errorf("without Organization.Read.All: %v", err)
	}
	if err := s.Consent(tn.ID, "Organization.Read.All"); err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context(), connection.Access{Tenant: tn.ID}); !fault.Is(err, fault.Denied) {
		t.Errorf("without User.Read.All: %v", err)
	}
	if err := s.Consent(tn.ID); err != nil {
		t.Fatal(err)
	}
	// The token of the last try lacks the role, so the call gets a new one.
	tokens := calls(tn, ms.Token)
	ctx, count := metered(t)
	_, err = c.People(ctx, connection.Access{Tenant: tn.ID}, "", directory.Properties())
	if n, _ := count.Take(); err != nil || n != 2 || calls(tn, ms.Token) != tokens+1 {
		t.Errorf("with the kept token: %d calls, %v", n, err)
	}
	if err := c.Probe(t.Context(), connection.Access{Tenant: tn.ID}); err != nil {
		t.Errorf("after consent: %v", err)
	}
	if _, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", directory.Properties()); err != nil {
		t.Errorf("with the probe's token: %v", err)
	}
	fired := wires.Fault(t, tn, ms.Fault{Kind: ms.NoRoles, Count: 2})
	if err := c.Probe(t.Context(), connection.Access{Tenant: tn.ID}); !fault.Is(err, fault.Denied) {
		t.Errorf("a token without roles: %v", err)
	}
	fired()
}

// Many tenants at once share a client.
func TestConcurrentTenants(t *testing.T) {
	c := client(t, nil)
	var wg sync.WaitGroup
	for range 6 {
		tn := wires.Tenant(t, 60)
		for range 2 {
			wg.Go(func() {
				people := map[string]directory.Person{}
				round(t, c, tn, people, "")
				equal(t, people, tn)
			})
		}
	}
	wg.Wait()
}

// Whoever stops waiting gets an answer at once.
func TestCancel(t *testing.T) {
	tn := wires.Tenant(t, 1)
	c := client(t, nil)
	if _, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", directory.Properties()); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan struct{})
	wires.Microsoft.SetDelayHook(func(ctx context.Context, _ time.Duration) {
		close(waiting)
		<-ctx.Done()
	})
	fired := wires.Fault(t, tn, ms.Fault{Kind: ms.Slow, Delay: time.Hour, Path: ms.UsersDelta, Count: 1})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.People(ctx, connection.Access{Tenant: tn.ID}, "", directory.Properties())
		done <- err
	}()
	<-waiting
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unknown) {
			t.Errorf("canceled: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a canceled call goes on")
	}
	fired()
}
