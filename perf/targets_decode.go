package main

import (
	"fmt"

	"rollcall/internal/directory"
	"rollcall/perf/azure"
	"rollcall/perf/crowd"
	"rollcall/perf/floor"
	"rollcall/perf/graphd"
	"rollcall/perf/ours"
	"rollcall/perf/side"
)

// chain is a round of pages for any side.
type chain struct {
	ours.Chain
	Selected []string
}

// selected are the properties that the pages hold.
func selected(bare bool) []string {
	out := []string{"id"}
	for _, name := range directory.Properties() {
		if !bare || name != "assignedLicenses" {
			out = append(out, name)
		}
	}
	return out
}

func decodePeople(b *bench) ([]metric, error) {
	return b.decode("people", "/v1.0/users/delta", selected(false), "a person",
		graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: 40 * 999}, Page: 999}, 1.6, graphd.Config.Digest)
}

// decodeGroups has groups of 200 members, fifty on a page, uncompressed: IDs
// are chance, and to inflate them costs more than to read them. Beside it,
// the same compressed, and pages of 500 members, where requests cost the most.
func decodeGroups(b *bench) ([]metric, error) {
	fields := []string{"id", "displayName", "description", "mail", "visibility", "groupTypes", "securityEnabled", "resourceProvisioningOptions", "members"}
	c := graphd.Config{Crowd: crowd.Crowd{Seed: 1, People: 1}, Page: 999, Groups: 1000, Members: 200, GroupsPage: 50, Identity: true}
	found, err := b.decode("groups", "/v1.0/groups/delta", fields, "a membership", c, 0, graphd.Config.GroupsDigest)
	if err != nil {
		return nil, err
	}
	for _, v := range []struct {
		unit                        string
		groups, members, groupsPage int
	}{{"a compressed membership", 1000, 200, 50}, {"a compressed membership, 500 a page", 500, 100, 5}} {
		c.Identity, c.Groups, c.Members, c.GroupsPage = false, v.groups, v.members, v.groupsPage
		more, err := b.decode("groups", "/v1.0/groups/delta", fields, v.unit, c, 0, graphd.Config.GroupsDigest)
		if err != nil {
			return nil, err
		}
		for i := range more {
			more[i].limit = 0
		}
		found = append(found, more...)
	}
	return found, nil
}

// decode compares readers of pages: ours, the SDK's typed one, and the floor.
func (b *bench) decode(task, path string, fields []string, unit string, c graphd.Config, ofFloor float64, digest func(graphd.Config) uint64) ([]metric, error) {
	srv, err := b.graph(c)
	if err != nil {
		return nil, err
	}
	a, typed, low, err := b.three()
	if err != nil {
		return nil, err
	}
	pages := chain{Chain: ours.Chain{Servers: between(srv, nil), Digest: true}, Selected: fields}
	got, err := a.Do(task, pages)
	if err != nil {
		return nil, err
	}
	want, err := typed.Do(task, pages)
	if err != nil {
		return nil, err
	}
	if err := same("pages as read", got, want, digest(c)); err != nil {
		return nil, err
	}
	pages.Digest = false
	link := srv.URL + path + "?%24select=" + join(fields)
	rs, err := b.interleave(
		func() (side.Result, error) { return a.Do(task, pages) },
		func() (side.Result, error) { return typed.Do(task, pages) },
		func() (side.Result, error) {
			return low.Do("floor", floor.Read{Servers: pages.Servers, Link: link, Units: got.Units})
		},
	)
	if err != nil {
		return nil, err
	}
	return []metric{
		{name: "typed ÷ ours, processor time of " + unit, unit: "×", values: ratio(perUnit, rs[1], rs[0]), limit: 25, atLeast: true},
		{name: "ours ÷ floor, processor time of " + unit, unit: "×", values: ratio(perUnit, rs[0], rs[2]), limit: ofFloor},
		{name: "ours, " + unit, unit: " ns", values: each(perUnit, rs[0])},
		{name: "typed, " + unit, unit: " ns", values: each(perUnit, rs[1])},
		{name: "floor, " + unit, unit: " ns", values: each(perUnit, rs[2])},
	}, nil
}

func join(fields []string) (s string) {
	for i, f := range fields {
		if i > 0 {
			s += "%2C"
		}
		s += f
	}
	return s
}

// parts are partitions, one for each turn.
type parts struct{ n int }

func (p *parts) next() string {
	p.n++
	return crowd.GUID(99, uint64(p.n))
}

// writers are an empty table server, Rollcall's side and the other one.
func (b *bench) writers() (tables *server, a, other *side.Side, err error) {
	if tables, err = b.tables(); err == nil {
		a, err = b.ours()
	}
	if err == nil {
		other, err = b.other()
	}
	return tables, a, other, err
}

// writeTables compares writers of 9,600 people, 22 columns each on the other side.
func writeTables(b *bench) ([]metric, error) {
	tables, a, other, err := b.writers()
	if err != nil {
		return nil, err
	}
	c := crowd.Crowd{Seed: 1, People: 9600}
	s := between(nil, tables)
	var p parts
	commit := func(changes, index bool) func(part string) (side.Result, error) {
		return func(part string) (side.Result, error) {
			return a.Do("commit", ours.Write{Servers: s, Crowd: c, Part: part, Changes: changes, Index: index})
		}
	}
	theirs := func(task string, people int) func(part string) (side.Result, error) {
		return func(part string) (side.Result, error) {
			few := c
			few.People = people
			return other.Do(task, azure.Write{Servers: s, Crowd: few, Part: part})
		}
	}
	writers := []func(string) (side.Result, error){commit(false, false), theirs("submit", c.People), theirs("upsert", 2400), commit(true, true)}
	for i, write := range writers {
		part := p.next()
		wrote, err := write(part)
		if err != nil {
			return nil, err
		}
		var got side.Result
		if i == 0 || i == 3 {
			got, err = a.Do("stored", ours.Read{Servers: s, Part: part})
		} else {
			got, err = other.Do("list", azure.Read{Servers: s, Part: part, Digest: true})
		}
		if err != nil {
			return nil, err
		}
		few := c
		few.People = wrote.Units
		want := side.Result{Outcome: side.Outcome{Units: wrote.Units, Digest: few.Digest(crowd.Unchanged)}}
		if err := same("people as stored", got, want, want.Digest); err != nil {
			return nil, err
		}
	}
	turns := make([]turn, len(writers))
	for i, write := range writers {
		turns[i] = func() (side.Result, error) { return write(p.next()) }
	}
	rs, err := b.interleave(turns...)
	if err != nil {
		return nil, err
	}
	return []metric{
		{name: "SubmitTransaction ÷ ours, processor time of an entity", unit: "×", values: ratio(perUnit, rs[1], rs[0]), limit: 7, atLeast: true},
		{name: "UpsertEntity ÷ ours, processor time of an entity", unit: "×", values: ratio(perUnit, rs[2], rs[0]), limit: 30, atLeast: true},
		{name: "ours, an entity", unit: " ns", values: each(perUnit, rs[0])},
		{name: "ours with its numbered change and index, an entity", unit: " ns", values: each(perUnit, rs[3])},
		{name: "SubmitTransaction of 100, an entity", unit: " ns", values: each(perUnit, rs[1])},
		{name: "UpsertEntity, an entity", unit: " ns", values: each(perUnit, rs[2])},
	}, nil
}

// readPrior compares ways to know 5,000 stored people.
func readPrior(b *bench) ([]metric, error) {
	tables, a, other, err := b.writers()
	if err != nil {
		return nil, err
	}
	c, s := crowd.Crowd{Seed: 1, People: 5000}, between(nil, tables)
	var p parts
	part, theirs := p.next(), p.next()
	if _, err := a.Do("commit", ours.Write{Servers: s, Crowd: c, Part: part, Index: true}); err != nil {
		return nil, err
	}
	if _, err := other.Do("submit", azure.Write{Servers: s, Crowd: c, Part: theirs}); err != nil {
		return nil, err
	}
	turns := []turn{
		func() (side.Result, error) { return a.Do("prior", ours.Read{Servers: s, Part: part}) },
		func() (side.Result, error) { return other.Do("list", azure.Read{Servers: s, Part: theirs}) },
		func() (side.Result, error) {
			return other.Do("list", azure.Read{Servers: s, Part: theirs, Hashes: true})
		},
	}
	for i, read := range turns {
		got, err := read()
		if err != nil {
			return nil, err
		}
		if got.Units != c.People || i == 0 && got.Digest != c.Keys() {
			return nil, fmt.Errorf("way %d knows %d people, digest %x, and should know %d, digest %x", i, got.Units, got.Digest, c.People, c.Keys())
		}
	}
	rs, err := b.interleave(turns...)
	if err != nil {
		return nil, err
	}
	return []metric{
		{name: "ListEntities with all columns ÷ our index, wall", unit: "×", values: ratio(wall, rs[1], rs[0]), limit: 50, atLeast: true},
		{name: "ListEntities of hashes ÷ our index, wall", unit: "×", values: ratio(wall, rs[2], rs[0])},
		{name: "ListEntities with all columns ÷ our index, processor time", unit: "×", values: ratio(perUnit, rs[1], rs[0])},
		{name: "our index of 5,000 people", unit: " ms", values: each(millis, rs[0])},
		{name: "ListEntities with all columns", unit: " ms", values: each(millis, rs[1])},
		{name: "ListEntities of hashes", unit: " ms", values: each(millis, rs[2])},
	}, nil
}
