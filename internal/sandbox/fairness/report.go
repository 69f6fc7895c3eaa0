package fairness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/wire"
)

// meters count while the simulation runs.
type meters struct {
	recovered time.Time

	requests, units, wide, single, handedOn int
	longest                                 time.Duration // sleep of a worker
	scheduled, manual                       []time.Duration
	// rush are those of the hour after the outage.
	rush struct{ scheduled, manual []time.Duration }

	tenants map[*tenant]*window
	peak    float64 // of a tenant's limit
	app     window  // as Microsoft counts
	most    int     // of the app, in a window
}

type window struct {
	began time.Time
	units int
}

func (m *meters) slept(d time.Duration) { m.longest = max(m.longest, d) }

func (m *meters) asked(now time.Time, t *tenant, units int, u wire.Use) {
	if m.tenants == nil {
		m.tenants = map[*tenant]*window{}
	}
	m.requests++
	m.units += units
	switch {
	case u.Refused && strings.HasPrefix(u.Scope, "Application"):
		m.wide++
	case u.Refused:
		m.single++
	}
	if now.Sub(m.app.began) >= wire.AppWindow {
		m.app = window{began: now}
	}
	m.app.units += units
	m.most = max(m.most, m.app.units)
	w := m.tenants[t]
	if w == nil || now.Sub(w.began) >= wire.TenantWindow {
		w = &window{began: now}
		m.tenants[t] = w
	}
	w.units += units
	m.peak = max(m.peak, float64(w.units)/float64(wire.TenantLimit(t.people)))
}

// rushHour is how long after the outage it is told apart who waits how long.
const rushHour = time.Hour

// ended notes for how long a run has waited: all but its own work, and but the
// outage.
func (m *meters) ended(now time.Time, r *run) {
	since := r.asked
	if since.Before(m.recovered) {
		since = m.recovered
	}
	wait := max(now.Sub(since)-r.work, 0)
	all, rush := &m.scheduled, &m.rush.scheduled
	if r.trigger.Priority() == job.High {
		all, rush = &m.manual, &m.rush.manual
	}
	*all = append(*all, wait)
	if !m.recovered.IsZero() && since.Sub(m.recovered) < rushHour {
		*rush = append(*rush, wait)
	}
}

// Waits are how long runs waited, beyond the work itself.
type Waits struct {
	Runs              int
	P50, P99, Longest time.Duration
}

func waits(all []time.Duration) Waits {
	if len(all) == 0 {
		return Waits{}
	}
	slices.Sort(all)
	return Waits{len(all), all[len(all)/2], all[len(all)*99/100], all[len(all)-1]}
}

// Report is what a simulation came to.
type Report struct {
	Config
	Scheduled, Manual Waits
	// Rush is of those runs that were due or asked for in the hour after the
	// outage.
	Rush            struct{ Scheduled, Manual Waits }
	Requests, Units int
	// AppLimit is of 20 s; Peak is the most that was asked for in one of
	// Microsoft's windows, refused requests included.
	AppLimit, Peak int
	// Mean is the part of the app's limit that was used; TenantPeak the most that
	// any tenant used of its own.
	Mean, TenantPeak float64
	// Wide and Single are refusals, of the app and of one tenant.
	Wide, Single int
	// HandedOn are waits that became messages; Sleep is the longest that a worker
	// waited itself.
	HandedOn int
	Sleep    time.Duration
	// Behind is the most that a success came after its slot, or after the end of
	// the outage; Starved are tenants that did not succeed within their interval.
	Behind  time.Duration
	Starved int
}

func (s *sim) report() Report {
	m := &s.meters
	r := Report{
		Config: s.Config, Scheduled: waits(m.scheduled), Manual: waits(m.manual), Requests: m.requests, Units: m.units,
		AppLimit: wire.AppLimit / max(s.Divide, 1), TenantPeak: m.peak, Wide: m.wide, Single: m.single, HandedOn: m.handedOn, Sleep: m.longest,
	}
	r.Peak = m.most
	r.Rush.Scheduled, r.Rush.Manual = waits(m.rush.scheduled), waits(m.rush.manual)
	r.Mean = float64(m.units) / (float64(r.AppLimit) * float64(s.end.Sub(start)) / float64(wire.AppWindow))
	for _, t := range s.fleet.tenants {
		if t.noisy {
			continue
		}
		if !t.slot.IsZero() { // still waits
			t.behind = max(t.behind, s.end.Sub(t.slot))
		}
		r.Behind = max(r.Behind, t.behind)
		if t.behind > interval || t.success.IsZero() {
			r.Starved++
		}
	}
	return r
}

// Table shows reports side by side.
func Table(names []string, rs []Report) string {
	var b strings.Builder
	row := func(what string, of func(Report) string) {
		fmt.Fprintf(&b, "| %s |", what)
		for _, r := range rs {
			fmt.Fprintf(&b, " %s |", of(r))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(names, " | "), strings.Repeat("|---", len(rs)))
	of := func(w Waits) string {
		if w.Runs == 0 {
			return "–"
		}
		return fmt.Sprintf("%s, %s, %s", short(w.P50), short(w.P99), short(w.Longest))
	}
	row("tenants, days", func(r Report) string { return fmt.Sprintf("%d, %d", r.Tenants, r.Days) })
	row("instances × places", func(r Report) string { return fmt.Sprintf("%d × %d", r.Instances, r.Places) })
	row("runs: scheduled, by hand", func(r Report) string { return fmt.Sprintf("%d, %d", r.Scheduled.Runs, r.Manual.Runs) })
	row("requests, units", func(r Report) string { return fmt.Sprintf("%d, %d", r.Requests, r.Units) })
	row("app's limit in 20 s", func(r Report) string { return fmt.Sprint(r.AppLimit) })
	row("used of it: mean, peak", func(r Report) string {
		return fmt.Sprintf("%.2f %%, %.1f %%", 100*r.Mean, 100*float64(r.Peak)/float64(r.AppLimit))
	})
	row("most that a tenant used of its own limit", func(r Report) string { return fmt.Sprintf("%.1f %%", 100*r.TenantPeak) })
	row("429: of the app, of a tenant", func(r Report) string { return fmt.Sprintf("%d, %d", r.Wide, r.Single) })
	row("waits that became messages", func(r Report) string { return fmt.Sprint(r.HandedOn) })
	row("longest sleep of a worker", func(r Report) string { return short(r.Sleep) })
	row("scheduled runs wait: p50, p99, longest", func(r Report) string { return of(r.Scheduled) })
	row("runs by hand wait: p50, p99, longest", func(r Report) string { return of(r.Manual) })
	row("hour after the outage, scheduled", func(r Report) string { return of(r.Rush.Scheduled) })
	row("hour after the outage, by hand", func(r Report) string { return of(r.Rush.Manual) })
	row("most behind a slot", func(r Report) string { return short(r.Behind) })
	row("starved", func(r Report) string { return fmt.Sprint(r.Starved) })
	return b.String()
}

func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
