package tables

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

func TestHoldings(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	life := directory.Life{Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Changed: 4}
	var b directory.Batch
	for n := range 5 {
		id := person(n).ID
		b.Licenses = append(b.Licenses, directory.LicenseRecord{License: directory.License{ID: id, PartNumber: "E5", Total: 9, Consumed: n}, Life: life})
		b.Mailboxes = append(b.Mailboxes, directory.MailboxRecord{Mailbox: directory.Mailbox{ID: id, UserPrincipalName: "u", Size: 1 << 40, HasArchive: true}, Life: life, Asked: "2026-11-20"})
		b.Positions = append(b.Positions, directory.PositionRecord{Position: directory.Position{ID: fmt.Sprintf("%020d", n), Title: "Köchin <1>", People: n}, Life: life, Through: 7})
	}
	mustCommit(t, s, c, b)
	if ls, err := s.Licenses(ctx, c); err != nil || !reflect.DeepEqual(ls, b.Licenses) {
		t.Errorf("licenses %+v, want %+v (%v)", ls, b.Licenses, err)
	}
	ms, next, err := s.Mailboxes(ctx, c, b.Mailboxes[1].ID, 2)
	if err != nil || !reflect.DeepEqual(ms, b.Mailboxes[2:4]) || next != b.Mailboxes[3].ID {
		t.Errorf("mailboxes %+v, next %q, %v", ms, next, err)
	}
	mr, err := s.MailboxRecords(ctx, c, []string{b.Mailboxes[4].ID, "none"})
	if err != nil || !reflect.DeepEqual(mr, map[string]directory.MailboxRecord{b.Mailboxes[4].ID: b.Mailboxes[4]}) {
		t.Errorf("mailboxes by ID %+v, %v", mr, err)
	}
	ps, next, err := s.Positions(ctx, c, b.Positions[2].ID, 3)
	if err != nil || !reflect.DeepEqual(ps, b.Positions[3:]) || next != "" {
		t.Errorf("positions %+v, next %q, %v", ps, next, err)
	}
	pr, err := s.PositionRecords(ctx, c, []string{b.Positions[0].ID, "none"})
	if err != nil || !reflect.DeepEqual(pr, map[string]directory.PositionRecord{b.Positions[0].ID: b.Positions[0]}) {
		t.Errorf("positions by ID %+v, %v", pr, err)
	}
	if people, _, err := s.People(ctx, c, "", 10); err != nil || len(people) != 0 {
		t.Errorf("%d people, %v", len(people), err)
	}
}

// Each list has its own IDs, in order, and goes on after any of them.
func TestLists(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	all := []directory.List{
		directory.PendingPeople, directory.HeldPeople, directory.PendingTeams,
		directory.HeldTeams, directory.PendingMemberships, directory.HeldMemberships,
	}
	var b directory.Batch
	for i, l := range all {
		for n := range 4 {
			b.Lists = append(b.Lists, directory.Listing{List: l, ID: person(n*10 + i).ID})
		}
	}
	mustCommit(t, s, c, b)
	for i, l := range all {
		got, err := s.Listed(ctx, c, l, person(5).ID, 2)
		if want := []string{person(10 + i).ID, person(20 + i).ID}; err != nil || !slices.Equal(got, want) {
			t.Errorf("list %s: %v, want %v (%v)", l, got, want, err)
		}
	}
	mustCommit(t, s, c, directory.Batch{Lists: []directory.Listing{{List: directory.HeldTeams, ID: person(13).ID, Off: true}}})
	if got, err := s.Listed(ctx, c, directory.HeldTeams, "", 10); err != nil || !slices.Equal(got, []string{person(3).ID, person(23).ID, person(33).ID}) {
		t.Errorf("held teams %v, %v", got, err)
	}
	if got, err := s.Listed(ctx, c, directory.PendingTeams, "", 10); err != nil || len(got) != 4 {
		t.Errorf("pending teams %v, %v", got, err)
	}
}

func TestScope(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	for _, b := range []directory.Batch{
		{ScopeSet: "a", Scope: []string{person(1).ID, person(2).ID}},
		{ScopeSet: "b", Scope: []string{person(3).ID}},
		{ScopeSet: "a", Scope: []string{person(2).ID, person(4).ID}, Enum: "a", Seen: []string{person(5).ID}},
		{ScopeSet: "ab", Scope: []string{person(6).ID}},
	} {
		mustCommit(t, s, c, b)
	}
	got, err := s.Scope(ctx, c, "a")
	if want := map[[16]byte]struct{}{key(1): {}, key(2): {}, key(4): {}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("scope %v, want %v (%v)", got, want, err)
	}
	for except, want := range map[string]int{"a": 2, "b": 3, "ab": 3, "": 4} {
		if rows, err := s.ScopeRows(ctx, c, except, 10); err != nil || len(rows) != want {
			t.Errorf("rows but %q: %v, want %d (%v)", except, rows, want, err)
		}
	}
	rows, err := s.ScopeRows(ctx, c, "b", 2)
	if err != nil || len(rows) != 2 {
		t.Fatalf("rows %v, %v", rows, err)
	}
	mustCommit(t, s, c, directory.Batch{DropSeen: rows}) // both of a
	if got, err := s.Scope(ctx, c, "a"); err != nil || len(got) != 0 {
		t.Errorf("scope %v after it was dropped, %v", got, err)
	}
	if got, err := s.Scope(ctx, c, "b"); err != nil || len(got) != 1 {
		t.Errorf("scope b %v, %v", got, err)
	}
	f, err := s.Fence(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]directory.Batch{
		"no name":         {Scope: []string{person(1).ID}},
		"part of another": {ScopeSet: "a!1", Scope: []string{person(1).ID}},
		"no set":          {DropSeen: []string{"c!"}},
	} {
		if _, err := s.Commit(ctx, c, f, b); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: error %v, want kind invalid", name, err)
		}
	}
}

// What waits to be compared is kept by name, beside what was seen.
func TestStaged(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	for range 2 {
		mustCommit(t, s, c, directory.Batch{
			Enum: "t1", Seen: []string{teamID(1), teamID(2)},
			Staged: []directory.Staged{{Enum: "t1-" + teamID(1), IDs: []string{person(1).ID, person(2).ID}}, {Enum: "t1-" + teamID(2), IDs: []string{person(3).ID}}},
		})
	}
	if got, err := seenOf(s, ctx, c, "t1"); err != nil || len(got) != 2 {
		t.Errorf("seen %v, %v", got, err)
	}
	if got, err := seenOf(s, ctx, c, "t1-"+teamID(1)); err != nil || !reflect.DeepEqual(got, map[[16]byte]struct{}{key(1): {}, key(2): {}}) {
		t.Errorf("staged %v, %v", got, err)
	}
	rows, err := s.SeenRows(ctx, c, 100)
	if err != nil || len(rows) != 6 {
		t.Fatalf("rows %v, %v", rows, err)
	}
	mustCommit(t, s, c, directory.Batch{DropSeen: rows})
	if got, err := seenOf(s, ctx, c, "t1-"+teamID(2)); err != nil || len(got) != 0 {
		t.Errorf("staged %v after it was dropped, %v", got, err)
	}
}

func TestErasure(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	change := func(n int64, typ directory.Type) directory.Change {
		return directory.Change{Number: n, Type: typ, ID: person(int(n)).ID, At: at}
	}
	mustCommit(t, s, c, directory.Batch{
		Add:     []directory.Record{person(1), person(2)},
		Changes: []directory.Change{change(1, directory.Created), change(2, directory.Created)},
	})
	mustCommit(t, s, c, directory.Batch{Changes: []directory.Change{change(3, directory.Updated)}})
	rows, err := s.ChangeRows(ctx, c, 1, 10)
	if err != nil || len(rows) != 2 || len(rows[0].Changes) != 2 || rows[1].Changes[0].Number != 3 {
		t.Fatalf("rows %+v, %v", rows, err)
	}
	if one, err := s.ChangeRows(ctx, c, 0, 1); err != nil || !reflect.DeepEqual(one, rows[:1]) {
		t.Errorf("one row %+v, %v", one, err)
	}
	if late, err := s.ChangeRows(ctx, c, 2, 10); err != nil || !reflect.DeepEqual(late, rows[1:]) {
		t.Errorf("rows after 2 %+v, %v", late, err)
	}
	rows[0].Changes[0] = directory.Change{Number: 1, Type: directory.Redacted, At: at}
	mustCommit(t, s, c, directory.Batch{
		Erase: []string{person(1).ID}, Erased: []string{person(1).ID, person(9).ID},
		Redact: rows[:1], Changes: []directory.Change{change(4, directory.Erased)},
	})
	if got, err := s.Records(ctx, c, []string{person(1).ID, person(2).ID}); err != nil || len(got) != 1 {
		t.Errorf("%d people left, %v", len(got), err)
	}
	if got, err := s.ErasedPeople(ctx, c); err != nil || !reflect.DeepEqual(got, map[[16]byte]struct{}{key(1): {}, key(9): {}}) {
		t.Errorf("erased %v, %v", got, err)
	}
	cs, err := s.Changes(ctx, c, 0, 10)
	want := []directory.Change{{Number: 1, Type: directory.Redacted, At: at}, change(2, directory.Created), change(3, directory.Updated), change(4, directory.Erased)}
	if err != nil || !reflect.DeepEqual(cs, want) {
		t.Errorf("changes %+v, want %+v (%v)", cs, want, err)
	}
	mustCommit(t, s, c, directory.Batch{Unerased: []string{person(9).ID}})
	if got, err := s.ErasedPeople(ctx, c); err != nil || !reflect.DeepEqual(got, map[[16]byte]struct{}{key(1): {}}) {
		t.Errorf("erased %v, %v", got, err)
	}
	// A row that was trimmed meanwhile fails nothing.
	if n, err := s.TrimChanges(ctx, c, at.AddDate(0, 0, 1)); err != nil || n != 3 {
		t.Fatalf("trimmed %d, %v", n, err)
	}
	mustCommit(t, s, c, directory.Batch{Redact: rows[:1]})
	f, err := s.Fence(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]directory.Batch{
		"a row of other changes": {Redact: []directory.ChangeRow{{Row: rows[0].Row, Changes: rows[1].Changes}}},
		"an empty row":           {Redact: []directory.ChangeRow{{Row: rows[0].Row}}},
		"no GUID":                {Erased: []string{"x"}},
	} {
		if _, err := s.Commit(ctx, c, f, b); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: error %v, want kind invalid", name, err)
		}
	}
	if _, err := s.Commit(ctx, c, job.Fence{Version: f.Version}, directory.Batch{Erase: []string{person(1).ID}}); !fault.Is(err, fault.NotFound) {
		t.Errorf("erased twice: %v", err)
	}
}
