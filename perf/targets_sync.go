package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"rollcall/perf/azure"
	"rollcall/perf/crowd"
	"rollcall/perf/floor"
	"rollcall/perf/graphd"
	"rollcall/perf/ours"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

const (
	benchTenant = "0b5e51e0-0000-4000-8000-000000000000"
	benchConn   = "bench"
)

// rounded is the directory of a first sync: 51 whole pages.
var rounded = graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: 51 * 999, Bare: true}, Page: 999}

// syncs is a worker's run.
func syncs(w *side.Side, s wires.Servers, lanes int) (side.Result, error) {
	return w.Do("sync", ours.Sync{Servers: s, Connection: benchConn, Tenant: benchTenant, Lanes: lanes})
}

// into gives the work an empty table server, and ends that afterwards: what
// earlier rounds have stored must not slow later ones down.
func (b *bench) into(graph *server, work func(s wires.Servers, tables *server) (side.Result, error)) (r side.Result, err error) {
	tables, err := b.tables()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.end(tables.Side)) }()
	return work(between(graph, tables), tables)
}

// stores does a first sync and asserts that all of the directory is stored.
func (b *bench) stores(w *side.Side, graph *server, c graphd.Config, lanes int) (out side.Result, err error) {
	_, err = b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) {
		if out, err = syncs(w, s, lanes); err != nil {
			return out, err
		}
		got, err := w.Do("stored", ours.Read{Servers: s, Part: benchConn})
		if err != nil {
			return out, err
		}
		want := side.Result{Outcome: side.Outcome{Units: c.Crowd.People, Digest: c.Digest()}}
		return out, same("people stored by a first sync", got, want, want.Digest)
	})
	return out, err
}

func firstSync(b *bench) ([]metric, error) {
	graph, err := b.graph(rounded)
	if err != nil {
		return nil, err
	}
	a, typed, low, err := b.three()
	if err != nil {
		return nil, err
	}
	done, err := b.stores(a, graph, rounded, 0)
	if err != nil {
		return nil, err
	}
	naive := func(s wires.Servers) (side.Result, error) {
		return typed.Do("sync", struct {
			Servers  wires.Servers
			Part     string
			Selected []string
		}{s, benchConn, selected(true)})
	}
	// A tenth is enough to see that the other side stores the same.
	few := rounded
	few.Crowd.People = 5 * 999
	if err := graph.config(few); err != nil {
		return nil, err
	}
	_, err = b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) {
		if r, err := naive(s); err != nil {
			return r, err
		}
		got, err := low.Do("list", azure.Read{Servers: s, Part: benchConn, Digest: true})
		if err != nil {
			return got, err
		}
		want := side.Result{Outcome: side.Outcome{Units: few.Crowd.People, Digest: few.Digest()}}
		return got, same("people stored by upserts", got, want, want.Digest)
	})
	if err != nil {
		return nil, err
	}
	if err := graph.config(rounded); err != nil {
		return nil, err
	}
	if _, err := b.stores(a, graph, rounded, 0); err != nil { // the pages are rendered again
		return nil, err
	}
	rs, err := b.interleave(
		func() (side.Result, error) {
			return b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) { return syncs(a, s, 0) })
		},
		func() (side.Result, error) {
			return b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) { return naive(s) })
		},
		func() (side.Result, error) {
			return b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) {
				return low.Do("floor", floor.Read{
					Servers: s, Link: graph.URL + "/v1.0/users/delta?%24select=" + join(selected(true)), Units: rounded.Crowd.People,
					Posts: int(done.Values["requests"]), Bytes: int64(done.Values["bytes"]), Pages: 51,
				})
			})
		},
	)
	if err != nil {
		return nil, err
	}
	return []metric{
		{name: "page iterator and upserts ÷ ours, wall", unit: "×", values: ratio(wall, rs[1], rs[0]), limit: 40, atLeast: true},
		{name: "page iterator and upserts ÷ ours, processor time", unit: "×", values: ratio(perUnit, rs[1], rs[0]), limit: 35, atLeast: true},
		{name: "ours ÷ floor, processor time", unit: "×", values: ratio(perUnit, rs[0], rs[2]), limit: 2.2},
		{name: "ours, wall", unit: " s", values: each(wall, rs[0])},
		{name: "page iterator and upserts, wall", unit: " s", values: each(wall, rs[1])},
		{name: "floor, wall", unit: " s", values: each(wall, rs[2])},
		{name: "ours, a person", unit: " ns", values: each(perUnit, rs[0])},
		{name: "page iterator and upserts, a person", unit: " ns", values: each(perUnit, rs[1])},
		{name: "floor, a person", unit: " ns", values: each(perUnit, rs[2])},
		{name: "our requests to tables", values: []float64{done.Values["requests"]}},
		{name: "our bytes to tables, a person", values: []float64{done.Values["bytes"] / float64(rounded.Crowd.People)}},
	}, nil
}

// firstSyncSlow needs pages that take as long as Microsoft's.
func firstSyncSlow(b *bench) ([]metric, error) {
	c := rounded
	graph, err := b.graph(c)
	if err != nil {
		return nil, err
	}
	a, err := b.ours()
	if err != nil {
		return nil, err
	}
	if _, err := b.stores(a, graph, c, 0); err != nil {
		return nil, err
	}
	c.Latency = 100 * time.Millisecond
	if err := graph.config(c); err != nil {
		return nil, err
	}
	var share, sums []float64
	rs, err := b.interleave(func() (side.Result, error) {
		return b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) {
			if _, err := graph.counts(); err != nil {
				return side.Result{}, err
			}
			r, err := syncs(a, s, 0)
			if err != nil {
				return r, err
			}
			counts, err := graph.counts()
			share, sums = append(share, r.Wall.Seconds()/counts["latency"]), append(sums, counts["latency"])
			return r, err
		})
	})
	if err != nil {
		return nil, err
	}
	return []metric{
		{name: "ours, wall ÷ the sum of page latencies", unit: "×", values: share, limit: 1.08},
		{name: "ours, wall", unit: " s", values: each(wall, rs[0])},
		{name: "sum of page latencies", unit: " s", values: sums},
	}, nil
}

// memory is of a new process for each run.
func memory(b *bench) ([]metric, error) {
	sizes := []int{50_000, 500_000}
	peaks := map[string][]float64{}
	graphs := map[int]*server{}
	for _, n := range sizes {
		g, err := b.graph(graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: n, Bare: true}, Page: 999, EditEvery: 100})
		if err != nil {
			return nil, err
		}
		graphs[n] = g
	}
	peak := func(s wires.Servers) (float64, error) {
		w, err := b.ours()
		if err != nil {
			return 0, err
		}
		if b.profile != "" {
			return 0, errors.New("a profile takes memory, which is what is measured")
		}
		r, err := syncs(w, s, 0)
		return float64(r.Peak) / (1 << 20), errors.Join(err, b.end(w))
	}
	for range b.rounds {
		for _, n := range sizes {
			c := graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: n, Bare: true}, Page: 999, EditEvery: 100}
			_, err := b.into(graphs[n], func(s wires.Servers, _ *server) (r side.Result, err error) {
				for _, kind := range []string{"first", "delta"} {
					if err := graphs[n].config(c); err != nil {
						return r, err
					}
					mib, err := peak(s)
					if err != nil {
						return r, err
					}
					key := fmt.Sprint(kind, n)
					peaks[key] = append(peaks[key], mib)
					c.Edits++
				}
				return r, nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	part := func(kind string) (out []float64) {
		for i, v := range peaks[kind+"500000"] {
			out = append(out, v/peaks[kind+"50000"][i])
		}
		return out
	}
	return []metric{
		{name: "first run, 500,000 people ÷ 50,000", unit: "×", values: part("first"), limit: 1.15},
		{name: "first run, 500,000 people", unit: " MiB", values: peaks["first500000"], limit: 64},
		{name: "delta run of 1 %, 500,000 people ÷ 50,000", unit: "×", values: part("delta"), limit: 1.15},
		{name: "delta run of 1 %, 500,000 people", unit: " MiB", values: peaks["delta500000"], limit: 64},
		{name: "first run, 50,000 people", unit: " MiB", values: peaks["first50000"]},
		{name: "delta run of 1 %, 50,000 people", unit: " MiB", values: peaks["delta50000"]},
	}, nil
}

// sharded has Microsoft's latency by the model: 150 ms a request and 0.45 ms an
// object, which no publication of Microsoft's confirms.
func sharded(b *bench) ([]metric, error) {
	even := graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: 50_000, Even: true, Bare: true}, Page: 200}
	natural := even
	natural.Crowd.Even = false
	slow := func(c graphd.Config) graphd.Config {
		c.Latency, c.PerObject = 150*time.Millisecond, 450*time.Microsecond
		return c
	}
	a, err := b.ours()
	if err != nil {
		return nil, err
	}
	var turns []turn
	for _, v := range []struct {
		c     graphd.Config
		lanes int
	}{{even, 0}, {even, 8}, {even, 32}, {natural, 32}} {
		graph, err := b.graph(v.c)
		if err != nil {
			return nil, err
		}
		if _, err := b.stores(a, graph, v.c, v.lanes); err != nil {
			return nil, fmt.Errorf("%d lanes: %w", v.lanes, err)
		}
		if err := graph.config(slow(v.c)); err != nil {
			return nil, err
		}
		turns = append(turns, func() (side.Result, error) {
			return b.into(graph, func(s wires.Servers, _ *server) (side.Result, error) { return syncs(a, s, v.lanes) })
		})
	}
	rs, err := b.interleave(turns...)
	if err != nil {
		return nil, err
	}
	calls := func(r side.Result) float64 { return r.Values["calls"] }
	return []metric{
		{name: "chain ÷ 8 lanes, wall", unit: "×", values: ratio(wall, rs[0], rs[1]), limit: 14, atLeast: true},
		{name: "chain ÷ 32 lanes, wall", unit: "×", values: ratio(wall, rs[0], rs[2]), limit: 40, atLeast: true},
		{name: "chain ÷ 32 lanes, names as people have them, wall", unit: "×", values: ratio(wall, rs[0], rs[3])},
		{name: "chain of 200 a page", unit: " s", values: each(wall, rs[0])},
		{name: "8 lanes", unit: " s", values: each(wall, rs[1])},
		{name: "32 lanes", unit: " s", values: each(wall, rs[2])},
		{name: "32 lanes, names as people have them", unit: " s", values: each(wall, rs[3])},
		{name: "requests to Graph with 32 lanes", values: each(calls, rs[2])},
		{name: "people who share the most frequent initial", values: []float64{float64(graphd.Longest(natural.Crowd))}},
	}, nil
}

// countRequests counts what one connection's runs ask of the servers.
func countRequests(b *bench) ([]metric, error) {
	c := rounded
	c.EditEvery = 100
	graph, err := b.graph(c)
	if err != nil {
		return nil, err
	}
	a, err := b.ours()
	if err != nil {
		return nil, err
	}
	if err := b.timed(); err != nil {
		return nil, err
	}
	var out []metric
	_, err = b.into(graph, func(s wires.Servers, tables *server) (side.Result, error) {
		for i, kind := range []string{"first run", "run of 1 %", "run without changes"} {
			c.Edits = min(i, 1)
			if err := graph.config(c); err != nil {
				return side.Result{}, err
			}
			if i == 0 { // the tables are made by whoever comes first, and that is no part of a run
				if _, err := a.Do("commit", ours.Write{Servers: s, Part: "warm"}); err != nil {
					return side.Result{}, err
				}
			}
			more, err := b.counted(a, s, graph, tables, kind)
			if err != nil {
				return side.Result{}, err
			}
			out = append(out, more...)
		}
		got, err := a.Do("stored", ours.Read{Servers: s, Part: benchConn})
		if err != nil {
			return got, err
		}
		want := side.Result{Outcome: side.Outcome{Units: c.Crowd.People, Digest: c.Digest()}}
		return got, same("people stored in the end", got, want, want.Digest)
	})
	return out, err
}

// counted does one run and says what it asked for.
func (b *bench) counted(a *side.Side, s wires.Servers, graph, tables *server, kind string) ([]metric, error) {
	for _, srv := range []*server{graph, tables} {
		if _, err := srv.counts(); err != nil {
			return nil, err
		}
	}
	r, err := syncs(a, s, 0)
	if err != nil {
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
	changes := r.Values["changes"]
	limit := 1.05*math.Ceil(changes/96) + 1
	one := func(name string, v, limit float64) metric {
		return metric{name: kind + ": " + name, values: []float64{v}, limit: limit}
	}
	out := []metric{one("numbered changes", changes, 0), one("transactions", t["transactions"], limit)}
	if changes == 0 { // opening and ending the run is all that is left
		out[1].limit = 0
		return append(out, one("requests to Graph", g["calls"], 1), one("state reads", t["reads"], 2), one("state writes", t["writes"], 4)), nil
	}
	return append(out, one("requests to Graph", g["calls"], 0), one("state reads", t["reads"], 0), one("state writes", t["writes"], 0)), nil
}
