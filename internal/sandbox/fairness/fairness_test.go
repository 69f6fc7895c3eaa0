package fairness

import (
	"testing"
	"time"

	"rollcall/internal/graph"
)

func simulate(t *testing.T, c Config) Report {
	t.Helper()
	c.Seed, c.Tenants, c.Days = 3, 800, 3
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Table([]string{"it came to"}, []Report{r}))
	if r.Starved > 0 || r.Scheduled.Runs < 5*r.Tenants*9/10 {
		t.Errorf("%d starved, %d scheduled runs", r.Starved, r.Scheduled.Runs)
	}
	if r.Sleep > graph.MaxPause {
		t.Errorf("a worker slept %s", r.Sleep)
	}
	return r
}

// By Microsoft's real limits nobody waits for them, on no day.
func TestRealLimits(t *testing.T) {
	for name, c := range map[string]Config{
		"usual":  {Manual: 50, Instances: 2, Places: 8},
		"outage": {Manual: 50, Instances: 2, Places: 8, Outage: 12 * time.Hour, Anew: true, Impatient: 100},
	} {
		t.Run(name, func(t *testing.T) {
			r := simulate(t, c)
			if r.Wide+r.Single > 0 || r.Scheduled.P99 > time.Minute || r.Manual.P99 > time.Second || r.Peak > r.AppLimit*8/10 || r.TenantPeak > 0.8 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// pressed is an outage after which all are due, with every link forgotten, and
// as little left of the app's limit as that takes minutes.
var pressed = Config{Manual: 50, Impatient: 200, Instances: 10, Places: 8, Outage: 12 * time.Hour, Anew: true, Divide: 900}

// Under pressure Microsoft's limit is kept but for what is on its way when it is
// met, and who asks by hand waits less.
func TestPressure(t *testing.T) {
	r := simulate(t, pressed)
	if r.Wide == 0 || r.Rush.Scheduled.P99 < time.Minute {
		t.Fatalf("no pressure: %+v", r)
	}
	if m, s := r.Rush.Manual, r.Rush.Scheduled; m.Runs < 100 || m.P99 >= s.P99 || m.P50 > s.P50 || m.Longest > 5*time.Minute {
		t.Errorf("by hand %+v, scheduled %+v", m, s)
	}
	if burst := 2 * r.Instances * r.Places; r.Peak > r.AppLimit+burst {
		t.Errorf("up to %d units in a window of %d, and %d may be on their way", r.Peak, r.AppLimit, burst)
	}
}

// A tenant that is always throttled slows nobody else down.
func TestNoisyTenant(t *testing.T) {
	without := simulate(t, pressed)
	c := pressed
	c.Noisy = 1
	with := simulate(t, c)
	if with.Single < 100 {
		t.Fatalf("the noisy one was throttled %d times", with.Single)
	}
	for name, w := range map[string][2]Waits{"scheduled": {without.Rush.Scheduled, with.Rush.Scheduled}, "all scheduled": {without.Scheduled, with.Scheduled}} {
		if a, b := w[0].P99, w[1].P99; b > a+a/20+time.Second {
			t.Errorf("%s: p99 %s with a noisy tenant, %s without", name, b, a)
		}
	}
}

// The same seed comes to the same.
func TestSame(t *testing.T) {
	c := Config{Seed: 5, Tenants: 200, Days: 2, Manual: 20, Instances: 2, Places: 8, Outage: 6 * time.Hour, Anew: true, Divide: 3000}
	first, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Run(t.Context(), c)
	if err != nil || first != again {
		t.Errorf("%+v, then %+v (%v)", first, again, err)
	}
}
