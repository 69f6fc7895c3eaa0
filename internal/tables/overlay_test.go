package tables

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// laid is a live partition of 40 people, and over it an overlay in which some
// are gone, some changed and some new. It returns the overlay's people.
func laid(t *testing.T, s *Store, live string) (part string, want map[string]directory.Record) {
	t.Helper()
	part, want = live+"~preview", map[string]directory.Record{}
	var b, over directory.Batch
	for n := range 40 {
		b.Add = append(b.Add, person(2*n))
		want[person(2*n).ID] = person(2 * n)
	}
	mustCommit(t, s, live, b)
	for n := 0; n < 80; n += 3 {
		p := person(n)
		switch {
		case n%2 == 1 || n == 78: // between the live ones, or over one
			p.DisplayName += " of the overlay"
			over.Put = append(over.Put, p)
			want[p.ID] = p
		case n < 60:
			over.Erase = append(over.Erase, p.ID)
			delete(want, p.ID)
		}
	}
	for n := 20; n < 40; n += 2 { // a long stretch without anybody
		if p := person(n); n%3 != 0 {
			over.Erase = append(over.Erase, p.ID)
			delete(want, p.ID)
		}
	}
	mustCommit(t, s, part, over)
	return part, want
}

// Whatever the page size, an overlay lists what a directory with its changes
// would: no page is short before the end.
func TestOverlayPages(t *testing.T) {
	s, ctx, live := newStore(t), context.Background(), fresh()
	part, want := laid(t, s, live)
	order := slices.Sorted(maps.Keys(want))
	check := func(limit int) {
		t.Helper()
		var got []string
		for after, left := "", len(order); ; {
			ps, next, err := s.People(ctx, part, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(ps) != min(limit, left) || (next != "") != (len(ps) == limit) {
				t.Fatalf("limit %d: %d people after %q of %d left, next %q", limit, len(ps), after, left, next)
			}
			for _, p := range ps {
				if !reflect.DeepEqual(p, want[p.ID]) {
					t.Fatalf("limit %d: %+v, want %+v", limit, p, want[p.ID])
				}
				got = append(got, p.ID)
			}
			left -= len(ps)
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, order) {
			t.Fatalf("limit %d: %d people, want %d", limit, len(got), len(order))
		}
	}
	for _, limit := range []int{1, 2, 3, 7, len(order) - 1, len(order), 1000} {
		check(limit)
	}
	server.EmptyPages(true)
	defer server.EmptyPages(false)
	check(5)
}

func TestOverlayRecords(t *testing.T) {
	s, ctx, live := newStore(t), context.Background(), fresh()
	part, want := laid(t, s, live)
	var ids []string
	for n := range 81 {
		ids = append(ids, person(n).ID)
	}
	if got, err := s.Records(ctx, part, ids); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d people, want %d (%v)", len(got), len(want), err)
	}
	f, err := s.Fence(ctx, part)
	if err != nil {
		t.Fatal(err)
	}
	if f, err = s.Commit(ctx, part, f, directory.Batch{Add: []directory.Record{person(2)}}); err != nil {
		t.Errorf("a person of the live partition cannot be added: %v", err)
	}
	if _, err = s.Commit(ctx, part, f, directory.Batch{Add: []directory.Record{person(2)}}); !fault.Is(err, fault.Conflict) || fault.Of(err).Code != "EntityAlreadyExists" {
		t.Errorf("added twice: %v", err)
	}
	if _, err = s.Commit(ctx, part, f, directory.Batch{Erase: []string{person(10).ID, person(999).ID}}); err != nil {
		t.Errorf("who is not in the overlay cannot be erased: %v", err)
	}
}

// everything is a batch that writes every kind of row.
func everything(first int64) directory.Batch {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := directory.Batch{
		Add: []directory.Record{person(1)}, Put: []directory.Record{person(2)},
		Changes: []directory.Change{{Number: first, Type: directory.Created, ID: person(1).ID, At: at}},
		Teams:   []directory.TeamRecord{team(1), team(2)}, Rosters: []directory.Roster{roster(1, "", 1, 4, 1), roster(2, "0", 1, 4, 2)},
		Licenses:  []directory.LicenseRecord{{License: directory.License{ID: person(1).ID}}},
		Mailboxes: []directory.MailboxRecord{{Mailbox: directory.Mailbox{ID: person(1).ID}}},
		Positions: []directory.PositionRecord{{Position: directory.Position{ID: "p1"}}},
		ScopeSet:  "g1", Scope: []string{person(1).ID}, Enum: "e1", Seen: []string{person(1).ID, person(2).ID},
		Erased: []string{person(7).ID},
	}
	for _, l := range []directory.List{directory.PendingPeople, directory.HeldTeams, directory.PendingMemberships} {
		b.Lists = append(b.Lists, directory.Listing{List: l, ID: person(1).ID})
	}
	return b
}

// What a partition shows, of every kind.
func shown(t *testing.T, s *Store, part string) map[string]any {
	t.Helper()
	ctx, out := context.Background(), map[string]any{}
	note := func(name string, v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s of %s: %v", name, part, err)
		}
		if r := reflect.ValueOf(v); r.Len() > 0 {
			out[name] = v
		}
	}
	people, _, err := s.People(ctx, part, "", 100)
	note("people", people, err)
	teams, _, err := s.Teams(ctx, part, "", 100)
	note("teams", teams, err)
	for n := range 3 {
		rs, err := s.Rosters(ctx, part, teamID(n))
		note(fmt.Sprint("rosters ", n), rs, err)
	}
	of, err := s.TeamsOf(ctx, part, [][16]byte{key(1), key(3)})
	note("teams of", of, err)
	ls, err := s.Licenses(ctx, part)
	note("licenses", ls, err)
	ms, _, err := s.Mailboxes(ctx, part, "", 100)
	note("mailboxes", ms, err)
	ps, _, err := s.Positions(ctx, part, "", 100)
	note("positions", ps, err)
	for _, l := range []directory.List{directory.PendingPeople, directory.HeldTeams, directory.PendingMemberships} {
		ids, err := s.Listed(ctx, part, l, "", 100)
		note("list "+string(l), ids, err)
	}
	scope, err := s.Scope(ctx, part, "g1")
	note("scope", scope, err)
	sets, err := s.ScopeRows(ctx, part, "", 100)
	note("scope rows", sets, err)
	gone, err := s.ErasedPeople(ctx, part)
	note("erased", gone, err)
	seen, err := seenOf(s, ctx, part, "e1")
	note("seen", seen, err)
	rows, err := s.SeenRows(ctx, part, 100)
	note("seen rows", rows, err)
	cs, err := s.Changes(ctx, part, 0, 100)
	note("changes", cs, err)
	packed, err := s.ChangeRows(ctx, part, 0, 100)
	note("change rows", packed, err)
	return out
}

// same compares what is shown, kind by kind.
func same(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for name := range want {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s shows %s %v, want %v", what, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s shows %s %v, want none", what, name, got[name])
		}
	}
}

// An empty overlay shows the live partition but for what belongs to runs; one
// in which all is deleted shows nothing; and at the wire no write ever names
// the live partition.
func TestOverlayLeavesTheLiveAlone(t *testing.T) {
	s, ctx, live := newStore(t), context.Background(), fresh()
	mustCommit(t, s, live, everything(1))
	part, before := live+"~preview", shown(t, s, live)
	fence, err := s.Fence(ctx, live)
	if err != nil || len(before) != 18 {
		t.Fatalf("%d kinds stored, %v", len(before), err)
	}

	s, w := recordedStore(t)
	want := maps.Clone(before)
	for _, own := range []string{"seen", "seen rows", "changes", "change rows"} {
		delete(want, own)
	}
	same(t, "an empty overlay", shown(t, s, part), want)
	if f, err := s.Fence(ctx, part); err != nil || !reflect.DeepEqual(f, job.Fence{}) {
		t.Errorf("fence of an empty overlay %+v, %v", f, err)
	}
	mustCommit(t, s, part, everything(1))
	packed, err := s.ChangeRows(ctx, part, 0, 1)
	if err != nil || len(packed) != 1 {
		t.Fatal(packed, err)
	}
	seen, err := s.SeenRows(ctx, part, 10)
	if err != nil {
		t.Fatal(err)
	}
	sets, err := s.ScopeRows(ctx, part, "", 10)
	if err != nil || len(sets) != 1 { // both partitions' rows have the same name
		t.Fatal(sets, err)
	}
	packed[0].Changes[0].Type = directory.Redacted
	drop := directory.Batch{
		Erase: []string{person(1).ID, person(2).ID}, Unerased: []string{person(7).ID}, DropSeen: append(seen, sets...),
		Redact: packed, Rosters: []directory.Roster{{Team: teamID(1)}, {Team: teamID(2), Bucket: "0"}},
	}
	for _, l := range everything(1).Lists {
		l.Off = true
		drop.Lists = append(drop.Lists, l)
	}
	mustCommit(t, s, part, drop)
	got := shown(t, s, part)
	for _, kept := range []string{"teams", "licenses", "mailboxes", "positions", "changes", "change rows"} { // nothing deletes them
		if _, ok := got[kept]; !ok {
			t.Errorf("no %s are left", kept)
		}
		delete(got, kept)
	}
	if len(got) > 0 {
		t.Errorf("after all was deleted, the overlay shows %v", got)
	}
	if err := s.PutRun(ctx, part, job.Run{ID: "r1"}); err != nil {
		t.Error(err)
	}
	if n, err := s.TrimChanges(ctx, part, time.Now()); err != nil || n != 1 {
		t.Errorf("trimmed %d, %v", n, err)
	}
	if done, err := s.Purge(ctx, part, 1000); err != nil || !done {
		t.Errorf("purged %v, %v", done, err)
	}

	writes := 0
	for _, r := range w.take() {
		if strings.HasSuffix(r.url, "/Tables") { // a table was missing
			continue
		}
		parts := r.named(t)
		if len(parts) == 0 {
			t.Errorf("%s %s names no partition", r.method, r.url)
		}
		if r.method == "GET" {
			continue
		}
		writes++
		if strings.Contains(strings.ReplaceAll(r.url+string(r.body), part, ""), live) || slices.ContainsFunc(parts, func(p string) bool { return p != part }) {
			t.Errorf("%s %s writes to %v", r.method, r.url, parts)
		}
	}
	if writes < 5 {
		t.Errorf("%d writes were recorded", writes)
	}
	if after, err := s.Fence(ctx, live); err != nil || !reflect.DeepEqual(after, fence) {
		t.Errorf("the live fence is %+v, was %+v (%v)", after, fence, err)
	}
	same(t, "the live partition afterwards", shown(t, s, live), before)
	same(t, "a purged overlay", shown(t, s, part), want)
}
