package graph

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

var dawn = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return dawn.Add(time.Duration(ms) * time.Millisecond) }

var (
	first  = connection.Access{Tenant: "one", App: "app"}
	second = connection.Access{Tenant: "two", App: "app"}
	alien  = connection.Access{Tenant: "two", App: "app", Own: "theirs"}
	low    = job.Terms{Priority: job.Low}
	high   = job.Terms{Priority: job.High}
)

func told(part any, scope string) http.Header {
	h := http.Header{}
	h.Set("x-ms-throttle-limit-percentage", fmt.Sprint(part))
	if scope != "" {
		h.Set("x-ms-throttle-scope", scope)
	}
	return h
}

const (
	ofTenant = "Tenant_Application/ReadWrite/app/one"
	ofApp    = "Application/ReadWrite/app"
)

// What is asked for in any ten seconds stays at 0.8 of the documented limit,
// whoever asks for it and however long they are made to wait.
func TestBudget(t *testing.T) {
	for _, size := range []struct {
		people int
		limit  int
	}{{0, 3500}, {49, 3500}, {50, 5000}, {500, 5000}, {501, 8000}} {
		var p Pacer
		random := rand.New(rand.NewPCG(1, uint64(size.people)))
		type request struct {
			at    time.Time
			units int
		}
		var made []request
		refused := 0
		for ms := 0; ms < 40_000; ms += 5 {
			units := 1 + random.IntN(12)
			terms := job.Terms{Priority: job.Priority(random.IntN(3)), People: size.people}
			wait, err := p.Reserve(at(ms), first, terms, units)
			if err != nil {
				if e := fault.Of(err); e.Kind != fault.Throttled || e.After <= MaxPause || e.Scope != "" {
					t.Fatalf("refused with %+v", e)
				}
				refused++
				continue
			}
			if wait < 0 || wait > 2*time.Second {
				t.Fatalf("a wait of %s", wait)
			}
			made = append(made, request{at(ms).Add(wait), units})
		}
		slices.SortFunc(made, func(a, b request) int { return a.at.Compare(b.at) })
		most, sum, oldest := 0, 0, 0
		for _, r := range made {
			for ; r.at.Sub(made[oldest].at) >= 10*time.Second; oldest++ {
				sum -= made[oldest].units
			}
			sum += r.units
			most = max(most, sum)
		}
		if most > size.limit*8/10+12 || most < size.limit*6/10 || refused == 0 {
			t.Errorf("%d people: up to %d units in ten seconds, %d refused; the limit is %d", size.people, most, refused, size.limit)
		}
	}
}

// As many lanes as a first list has, however fast Microsoft answers, are slowed
// down to the budget, and none is ever sent away.
func TestLanes(t *testing.T) {
	for people, limit := range map[int]int{10: 3500, 300: 5000, 100_000: 8000} {
		var p Pacer
		var made []int // ms at which a page of two units is asked for
		lanes := make([]int, 32)
		for range 20_000 {
			next := 0
			for i, ms := range lanes {
				if ms < lanes[next] {
					next = i
				}
			}
			wait, err := p.Reserve(at(lanes[next]), first, job.Terms{People: people}, 2)
			if err != nil {
				t.Fatalf("%d people: %v", people, err)
			}
			asked := lanes[next] + int(wait.Milliseconds())
			made = append(made, asked)
			lanes[next] = asked + 40
		}
		slices.Sort(made)
		most := 0
		for i, j := 0, 0; i < len(made); i++ {
			for made[i]-made[j] >= 10_000 {
				j++
			}
			most = max(most, 2*(i-j+1))
		}
		if most > limit*8/10+64 || most < limit*6/10 {
			t.Errorf("%d people: up to %d units in ten seconds, the limit is %d", people, most, limit)
		}
	}
}

// Whoever asks urgently waits for nobody who does not, however many they are.
func TestUrgentFirst(t *testing.T) {
	for _, p := range []job.Priority{job.Low, job.Normal} {
		var pacer Pacer
		waited := false
		for range 5000 { // all at once
			wait, err := pacer.Reserve(dawn, first, job.Terms{Priority: p}, 2)
			waited = waited || wait > time.Second
			if err != nil {
				break
			}
		}
		if wait, err := pacer.Reserve(dawn, first, job.Terms{Priority: p}, 2); err == nil || !waited {
			t.Fatalf("one more of priority %d waits %s", p, wait)
		}
		if wait, err := pacer.Reserve(dawn, first, high, 2); err != nil || wait > 10*time.Millisecond {
			t.Errorf("after as many of priority %d as may wait, an urgent one waits %s (%v)", p, wait, err)
		}
	}
}

// A warning slows the next requests down, more the nearer the limit is, and is
// forgotten in some seconds.
func TestWarning(t *testing.T) {
	var before time.Duration
	for _, part := range []any{"0.8", "0.9", "1", "1.37", "1.8", "3"} {
		var p Pacer
		p.Tell(dawn, first, told(part, ofTenant), 0)
		wait, err := p.Reserve(dawn, first, low, 1)
		if err != nil || wait < 100*time.Millisecond || wait > 2*time.Second || wait <= before && part != "3" {
			t.Errorf("at %s: %s (%v), before %s", part, wait, err, before)
		}
		if urgent, _ := p.Reserve(dawn, first, high, 1); urgent != wait/4 {
			t.Errorf("at %s: %s, an urgent request %s", part, wait, urgent)
		}
		half, _ := p.Reserve(at(5_000), first, low, 1)
		if d := half - wait/2; d < -time.Microsecond || d > time.Microsecond {
			t.Errorf("at %s: %s, five seconds later %s", part, wait, half)
		}
		if later, _ := p.Reserve(at(60_000), first, low, 1); later != 0 {
			t.Errorf("at %s: a minute later %s", part, later)
		}
		before = wait
	}
	for _, nonsense := range []any{"", "0", "0.79", "-1", "NaN", "Inf", "1e9", "eighty", 80} {
		var p Pacer
		p.Tell(dawn, first, told(nonsense, ofTenant), 0)
		if wait, err := p.Reserve(dawn, first, low, 1); wait != 0 || err != nil {
			t.Errorf("at %q: %s, %v", nonsense, wait, err)
		}
	}
}

// A tenant's warning is its own; an app's is of all its tenants, and of no
// other app's.
func TestWarned(t *testing.T) {
	for scope, want := range map[string][3]bool{ // who is slowed down: first, second, alien
		ofTenant: {true, false, false}, "": {true, false, false}, ofApp: {true, true, false}, "Application/ReadWrite/app/": {true, true, false},
		"application/Read": {true, true, false}, "Global/Read/app": {true, true, false}, "User/Read/app/someone": {true, false, false},
	} {
		var p Pacer
		p.Tell(dawn, first, told("1.2", scope), 0)
		var got [3]bool
		for i, who := range []connection.Access{first, second, alien} {
			wait, err := p.Reserve(dawn, who, low, 1)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = wait > 0
		}
		if got != want {
			t.Errorf("%q slows down %v, want %v", scope, got, want)
		}
	}
}

// A request that costs more than documented takes more of the budget, one that
// costs less gives back.
func TestTrueCost(t *testing.T) {
	fill := func(cost string) (n int) {
		var p Pacer
		for {
			wait, err := p.Reserve(dawn, first, high, 10)
			if err != nil || wait > 0 {
				return n
			}
			p.Tell(dawn, first, http.Header{"X-Ms-Resource-Unit": {cost}}, 10)
			n++
		}
	}
	if as, dear, cheap := fill("10"), fill("20"), fill("5"); as != 70 || dear < 34 || dear > 36 || cheap < 138 || cheap > 141 {
		t.Errorf("at once %d as documented, %d dear, %d cheap", as, dear, cheap)
	}
}

// Tenants that rest are forgotten; one that is slowed down is not.
func TestForgets(t *testing.T) {
	var p Pacer
	for n := range 50_000 {
		who := connection.Access{Tenant: fmt.Sprint(n)}
		if _, err := p.Reserve(at(n*50), who, low, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.tenants) > 3*minRoom {
		t.Errorf("%d tenants kept", len(p.tenants))
	}
	p = Pacer{}
	p.Tell(dawn, first, told("1.8", ofTenant), 0)
	for n := range 5000 { // all at once
		if _, err := p.Reserve(dawn, connection.Access{Tenant: fmt.Sprint(n)}, low, 1); err != nil {
			t.Fatal(err)
		}
	}
	if wait, err := p.Reserve(dawn, first, low, 1); err != nil || wait < time.Second {
		t.Errorf("the warned one waits %s (%v)", wait, err)
	}
}

// Documented costs of what we ask for.
func TestCost(t *testing.T) {
	for link, want := range map[string]int{
		"/users/delta?$select=id": 1, "/users/delta?$deltatoken=x": 1, "/groups/delta()?$select=members": 1, "/users/$count": 1,
		"/users": 2, "/users?$select=id": 1, "/users?$top=999&$select=id&$expand=manager($select=id)": 2, "/users?%24select=id&%24expand=manager&$skiptoken=x": 2,
		"/users/9a?$select=id": 1, "/subscribedSkus": 3, "/subscribedSkus?$select=id": 2, "/groups/9a/members?$select=id": 2, "/groups/9a/members": 3,
		"/groups/9a/transitiveMembers/microsoft.graph.user": 5, "/groups/9a/transitiveMembers?$select=id": 4, "/directoryObjects/getByIds": 5,
		"/directoryObjects/getByIds?$select=id": 2, "/users/9a/checkMemberGroups": 4, "/organization": 1, "/groups?$select=id": 1,
	} {
		if got := cost(link); got != want {
			t.Errorf("%s costs %d, want %d", link, got, want)
		}
	}
}

// No wait that Microsoft asks for is read as longer or shorter than it is.
func FuzzThrottleHeaders(f *testing.F) {
	f.Add("1.2", "Tenant_Application/ReadWrite/a/b", "2.128")
	f.Add("0.8", "Application", "Sun, 22 Nov 2026 08:00:00 GMT")
	f.Add("NaN", "////", "-1")
	f.Fuzz(func(t *testing.T, part, scope, after string) {
		h := http.Header{}
		h.Set("x-ms-throttle-limit-percentage", part)
		h.Set("x-ms-throttle-scope", scope)
		h.Set("Retry-After", after)
		var p Pacer
		p.Tell(dawn, first, h, 3)
		if wait, err := p.Reserve(dawn, first, low, 3); err != nil || wait < 0 || wait > MaxPause {
			t.Errorf("%q: waits %s (%v)", part, wait, err)
		}
		e := judge(429, h, "", "")
		if e.Kind != fault.Throttled || e.After < 0 || e.After > maxAfter || (e.Scope != "" && e.After == 0) {
			t.Errorf("%q: %+v", after, e)
		}
		if strings.HasPrefix(scope, "Tenant") && e.Scope != "" || len(e.Scope) > 64 {
			t.Errorf("%q is wide", scope)
		}
	})
}
