package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"rollcall/internal/job"
)

// instruments are all that is counted. Counts are of what happened since they
// were sent last.
type instruments struct {
	runs, people, requests, throttled, units metric.Int64Counter
	age                                      metric.Float64Gauge
}

func newInstruments(m metric.Meter) (i instruments, err error) {
	counter := func(name, unit, about string) metric.Int64Counter {
		c, e := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		err = errors.Join(err, e)
		return c
	}
	i.runs = counter("rollcall.runs", "{run}", "Runs that have ended, by state; held ones wait for a human.")
	i.people = counter("rollcall.people.changed", "{person}", "People whom ended runs have created, updated, archived or reactivated.")
	i.requests = counter("rollcall.graph.requests", "{request}", "Requests to Microsoft Graph, tries included, by status; 0 if no answer came.")
	i.throttled = counter("rollcall.graph.throttled", "{request}", "Requests that Microsoft Graph has put off.")
	i.units = counter("rollcall.graph.units", "{unit}", "Resource units that Microsoft Graph has charged.")
	var e error
	i.age, e = m.Float64Gauge("rollcall.sync.age", metric.WithUnit("s"), metric.WithDescription("Time since a connection's last success, at the janitor's pass."))
	return i, errors.Join(err, e)
}

// Ended counts a run that has ended.
func (t *Telemetry) Ended(ctx context.Context, run job.Run) {
	if t == nil {
		return
	}
	t.metrics.runs.Add(ctx, 1, metric.WithAttributes(attribute.String("state", string(run.State)), attribute.String("trigger", string(run.Trigger))))
	if run.Trigger == job.Preview {
		return // which has changed nobody
	}
	for _, c := range []struct {
		change string
		n      int
	}{{"created", run.Created}, {"updated", run.Updated}, {"archived", run.Archived}, {"reactivated", run.Reactivated}} {
		if c.n > 0 {
			t.metrics.people.Add(ctx, int64(c.n), metric.WithAttributes(attribute.String("change", c.change)))
		}
	}
}

// Aged notes how long ago the connection's last success was.
func (t *Telemetry) Aged(ctx context.Context, connection string, age time.Duration) {
	if t == nil {
		return
	}
	t.metrics.age.Record(ctx, age.Seconds(), metric.WithAttributes(attribute.String("connection", connection)))
}
