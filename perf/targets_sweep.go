package main

import (
	"time"

	"rollcall/perf/crowd"
	"rollcall/perf/graphd"
	"rollcall/perf/ours"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

const (
	sweepTenantCount    = 10_000
	sweepBaselineCount  = 100
	sweepGraphLatency   = 150 * time.Millisecond
	sweepTableLatency   = 5 * time.Millisecond
	sweepPeopleOfTenant = 3
)

// sweepTenants asks for the changes of many small tenants, in which there are
// none, over TLS: a new client's handshake is part of its cost.
func sweepTenants(b *bench) ([]metric, error) {
	graph, err := b.server("graph-server", "tls")
	if err != nil {
		return nil, err
	}
	c := graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: sweepPeopleOfTenant, Bare: true}, Page: 200}
	if err := graph.config(c); err != nil {
		return nil, err
	}
	tables, err := b.tables("tls")
	if err != nil {
		return nil, err
	}
	a, err := b.ours()
	if err != nil {
		return nil, err
	}
	typed, err := b.typed()
	if err != nil {
		return nil, err
	}
	s := between(graph, tables)
	if _, err := a.Do("connect", ours.Sweep{Servers: s, Connections: sweepTenantCount, AtOnce: 64}); err != nil {
		return nil, err
	}
	c.Latency = sweepGraphLatency
	if err := graph.config(c); err != nil {
		return nil, err
	}
	if err := tables.latency(sweepTableLatency); err != nil {
		return nil, err
	}
	// One sweep tells what a tenant asks for, so that the other side asks for
	// as much.
	for _, srv := range []*server{graph, tables} {
		if _, err := srv.counts(); err != nil {
			return nil, err
		}
	}
	var serving []float64 // processor time of the servers, in ms a tenant
	sweep := func() (side.Result, error) {
		before, err := spent(graph.Side, tables.Side)
		if err != nil {
			return side.Result{}, err
		}
		r, err := a.Do("sweep", ours.Sweep{Servers: s, Connections: sweepTenantCount, AtOnce: b.atOnce})
		if err != nil {
			return r, err
		}
		after, err := spent(graph.Side, tables.Side)
		if err != nil {
			return r, err
		}
		serving = append(serving, 1000*(after[0]+after[1]-before[0]-before[1])/sweepTenantCount)
		return r, nil
	}
	if _, err := sweep(); err != nil {
		return nil, err
	}
	g, err := graph.counts()
	if err != nil {
		return nil, err
	}
	t, err := tables.counts()
	if err != nil {
		return nil, err
	}
	of := func(v float64) float64 { return v / sweepTenantCount }
	baseline := struct {
		Servers                wires.Servers
		Tenants, Reads, Writes int
		Delta                  string
	}{s, sweepBaselineCount, int(of(t["reads"]) + .5), int(of(t["writes"]) + .5), graph.URL + "/v1.0/users/delta?$deltatoken=e0-0"}
	rs, err := b.interleave(sweep, func() (side.Result, error) { return typed.Do("sweep", baseline) })
	if err != nil {
		return nil, err
	}
	rate := func(r side.Result) float64 { return float64(r.Units) / r.Wall.Seconds() }
	ms := func(r side.Result) float64 { return r.PerUnit() / 1e6 }
	peak := func(r side.Result) float64 { return float64(r.Peak) / (1 << 20) }
	return []metric{
		{name: "tenants a second, ours ÷ one new client each", unit: "×", values: ratio(rate, rs[0], rs[1]), limit: 300, atLeast: true},
		{name: "ours, processor time of a tenant", unit: " ms", values: each(ms, rs[0]), limit: 0.9},
		{name: "ours, tenants a second", values: each(rate, rs[0])},
		{name: "processor time of the servers, of a tenant of ours", unit: " ms", values: serving[1:]},
		{name: "one new client each, tenants a second", values: each(rate, rs[1])},
		{name: "one new client each, processor time of a tenant", unit: " ms", values: each(ms, rs[1])},
		{name: "ours, peak memory", unit: " MiB", values: each(peak, rs[0])},
		{name: "ours, at once", values: []float64{float64(b.atOnce)}},
		{name: "requests to Graph of a tenant", values: []float64{of(g["calls"])}},
		{name: "state reads of a tenant", values: []float64{of(t["reads"])}},
		{name: "state writes of a tenant", values: []float64{of(t["writes"])}},
	}, nil
}
