package tables

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

func team(n int) directory.TeamRecord {
	return directory.TeamRecord{Team: directory.Team{ID: teamID(n), DisplayName: fmt.Sprintf("Team %d", n), Kind: directory.MicrosoftTeam}}
}

func teamID(n int) string { return fmt.Sprintf("%08x-0000-0000-0000-00000000000a", n) }

// roster holds people n to below m, step apart.
func roster(teamN int, bucket string, n, m, step int) directory.Roster {
	r := directory.Roster{Team: teamID(teamN), Bucket: bucket}
	for ; n < m; n += step {
		r.Members = append(r.Members, member(n, directory.MarkPending))
	}
	return r
}

func mustCommit(t *testing.T, s *Store, part string, b directory.Batch) {
	t.Helper()
	ctx := context.Background()
	f, err := s.Fence(ctx, part)
	if err == nil {
		f.Positions.Through = 1 << 40 // all is counted, so that it may be trimmed
		_, err = s.Commit(ctx, part, f, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTeams(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	a, b, d := team(1), team(2), team(3)
	d.Level = 1
	mustCommit(t, s, c, directory.Batch{
		Teams:   []directory.TeamRecord{a, b, d},
		Rosters: []directory.Roster{roster(1, "", 0, 40, 2), roster(3, "0", 0, 9, 1), roster(3, "f", -5, 0, 1)},
	})
	b.DisplayName = "renamed"
	mustCommit(t, s, c, directory.Batch{Teams: []directory.TeamRecord{b}})
	var listed []directory.TeamRecord
	for after, pages := "", 0; ; pages++ {
		ts, next, err := s.Teams(ctx, c, after, 2)
		if err != nil || pages > 3 {
			t.Fatal(pages, err)
		}
		listed = append(listed, ts...)
		if after = next; next == "" {
			break
		}
	}
	if want := []directory.TeamRecord{a, b, d}; !reflect.DeepEqual(listed, want) {
		t.Errorf("teams %+v, want %+v", listed, want)
	}
	read, err := s.TeamRecords(ctx, c, []string{d.ID, teamID(9), b.ID})
	if want := map[string]directory.TeamRecord{b.ID: b, d.ID: d}; err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("read %+v, want %+v (%v)", read, want, err)
	}
	rs, err := s.Rosters(ctx, c, d.ID)
	if want := []directory.Roster{roster(3, "0", 0, 9, 1), roster(3, "f", -5, 0, 1)}; err != nil || !reflect.DeepEqual(rs, want) {
		t.Errorf("rosters %+v, want %+v (%v)", rs, want, err)
	}
	of, err := s.TeamsOf(ctx, c, [][16]byte{key(4), key(5), key(39), key(-1)})
	want := map[[16]byte][]string{key(4): {a.ID, d.ID}, key(5): {d.ID}, key(-1): {d.ID}}
	if err != nil || !reflect.DeepEqual(of, want) {
		t.Errorf("teams of people %v, want %v (%v)", of, want, err)
	}
}

// A roster splits in one transaction, and its old row reads as none.
func TestRosterSplit(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	whole := directory.Roster{Team: teamID(1)}
	var split directory.Batch
	for d := range 16 {
		part := directory.Roster{Team: teamID(1), Bucket: fmt.Sprintf("%x", d)}
		for n := range 1250 {
			part.Members = append(part.Members, member(d<<28|n, 0))
		}
		whole.Members = append(whole.Members, part.Members...)
		split.Rosters = append(split.Rosters, part)
	}
	if len(whole.Members) != directory.MaxRoster {
		t.Fatalf("%d members, want the most that a row takes", len(whole.Members))
	}
	mustCommit(t, s, c, directory.Batch{Rosters: []directory.Roster{whole}})
	if rs, err := s.Rosters(ctx, c, whole.Team); err != nil || !reflect.DeepEqual(rs, []directory.Roster{whole}) {
		t.Fatalf("%d rosters, or others than were written, %v", len(rs), err)
	}
	// Emptied rows need not have been there.
	want := slices.Clone(split.Rosters)
	split.Rosters = append(split.Rosters, directory.Roster{Team: whole.Team}, directory.Roster{Team: teamID(2)})
	mustCommit(t, s, c, split)
	rs, err := s.Rosters(ctx, c, whole.Team)
	if err != nil || !reflect.DeepEqual(rs, want) {
		t.Fatalf("%d rosters after the split, or others than were written, %v", len(rs), err)
	}
	if rs, err := s.Rosters(ctx, c, teamID(2)); err != nil || len(rs) != 0 {
		t.Errorf("a team without members has %v, %v", rs, err)
	}
	if of, err := s.TeamsOf(ctx, c, [][16]byte{key(7), key(2000)}); err != nil || !reflect.DeepEqual(of, map[[16]byte][]string{key(7): {whole.Team}}) {
		t.Errorf("teams of people %v, %v", of, err)
	}
	// An emptied row can be filled again.
	mustCommit(t, s, c, directory.Batch{Rosters: []directory.Roster{roster(2, "", 1, 3, 1)}})
	if rs, err := s.Rosters(ctx, c, teamID(2)); err != nil || !reflect.DeepEqual(rs, []directory.Roster{roster(2, "", 1, 3, 1)}) {
		t.Errorf("filled again: %v, %v", rs, err)
	}
}

func TestUnsortedRosterIsNotWritten(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	bad := directory.Roster{Team: teamID(1), Members: []directory.Member{member(2, 0), member(1, 0)}}
	if _, err := s.Commit(ctx, c, job.Fence{}, directory.Batch{Rosters: []directory.Roster{bad}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("error %v, want kind invalid", err)
	}
}
