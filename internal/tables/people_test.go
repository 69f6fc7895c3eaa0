package tables

import (
	"context"
	"slices"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

func TestListing(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	f := job.Fence{}
	var err error
	for from := 0; from < 250; from += 90 {
		var b directory.Batch
		for n := from; n < min(from+90, 250); n++ {
			b.Add = append(b.Add, person(n))
			b.Changes = append(b.Changes, directory.Change{Number: int64(n) + 1, Type: directory.Created, ID: person(n).ID})
		}
		b.Enum, b.Seen = "e1", []string{b.Add[0].ID, b.Add[1].ID}
		b.Lists = []directory.Listing{{List: directory.PendingPeople, ID: b.Add[5].ID}}
		if f, err = s.Commit(ctx, c, f, b); err != nil {
			t.Fatal(err)
		}
	}
	// A neighbor's rows must not show.
	if _, err := s.Commit(ctx, c+"0", job.Fence{}, directory.Batch{Add: []directory.Record{person(999)}}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	pages := 0
	for after := ""; ; pages++ {
		ps, next, err := s.People(ctx, c, after, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			ids = append(ids, p.ID)
		}
		if after = next; next == "" {
			break
		}
	}
	if len(ids) != 250 || !slices.IsSorted(ids) || pages != 2 {
		t.Errorf("%d people in %d pages, sorted %v", len(ids), pages+1, slices.IsSorted(ids))
	}
	for _, after := range []int64{0, 1, 89, 90, 91, 249, 250, 400} {
		cs, err := s.Changes(ctx, c, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(250-after, 0); int64(len(cs)) != want || len(cs) > 0 && cs[0].Number != after+1 {
			t.Errorf("after %d: %d changes, want %d", after, len(cs), want)
		}
	}
	if cs, _ := s.Changes(ctx, c, 80, 20); len(cs) != 20 || cs[19].Number != 100 {
		t.Errorf("a limit of 20 gives %d changes", len(cs))
	}
	seen, err := seenOf(s, ctx, c, "e1")
	if k, _ := directory.Key(person(91).ID); err != nil || len(seen) != 6 {
		t.Errorf("%d IDs seen, %v", len(seen), err)
	} else if _, ok := seen[k]; !ok {
		t.Error("an ID seen is missing")
	}
	if other, _ := seenOf(s, ctx, c, "e"); len(other) != 0 {
		t.Error("another enumeration's IDs show")
	}
	rows, err := s.SeenRows(ctx, c, 2)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows of IDs seen, %v", len(rows), err)
	}
	if f, err = s.Commit(ctx, c, f, directory.Batch{DropSeen: rows}); err != nil {
		t.Fatal(err)
	}
	if rows, _ := s.SeenRows(ctx, c, 10); len(rows) != 1 {
		t.Errorf("%d rows of IDs seen left, want 1", len(rows))
	}
	if ids, _ := s.Listed(ctx, c, directory.PendingPeople, "", 10); len(ids) != 3 {
		t.Errorf("%d pending, want 3", len(ids))
	}
	if _, err = s.Commit(ctx, c, f, directory.Batch{Lists: []directory.Listing{{List: directory.PendingPeople, ID: person(5).ID, Off: true}}}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := s.Listed(ctx, c, directory.PendingPeople, "", 10); len(ids) != 2 || ids[0] != person(95).ID {
		t.Errorf("pending %v", ids)
	}
}
