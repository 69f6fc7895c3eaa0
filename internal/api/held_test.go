package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/directory"
)

// teamID is the ID of the n-th team.
func teamID(n int) string { return fmt.Sprintf("20000000-0000-4000-8000-%012d", n) }

// Each kind of removal of a plan is a list of its own.
func TestRemovalsOfTeams(t *testing.T) {
	b := newBench()
	b.plan(contoso, 2)
	for i := range 3 {
		b.teams[contoso] = append(b.teams[contoso], directory.TeamRecord{
			Team: directory.Team{ID: teamID(i), DisplayName: fmt.Sprint("Team ", i), Mail: "t@contoso.com"},
			Life: directory.Life{Pending: directory.OutOfScope, Held: i != 1}, // the second has returned
		})
		b.listed[directory.HeldTeams] = append(b.listed[directory.HeldTeams], teamID(i))
	}
	path := "/v1/connections/" + contoso + "/removals?limit=1"
	var got []Removal
	pages(t, b, path+"&kind=teams", func(p *RemovalPage) string {
		if p.Plan == nil || p.Plan.Teams != 2 {
			t.Fatalf("plan %+v", p.Plan)
		}
		got = append(got, p.Removals...)
		return p.Continuation
	})
	want := []Removal{{ID: teamID(0), DisplayName: "Team 0", Mail: "t@contoso.com", Reason: "outOfScope"}, {ID: teamID(2), DisplayName: "Team 2", Mail: "t@contoso.com", Reason: "outOfScope"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	var people, same RemovalPage
	read(t, b.do(get, path, ""), 200, &people)
	read(t, b.do(get, path+"&kind=people", ""), 200, &same)
	if len(people.Removals) != 1 || !slices.Equal(people.Removals, same.Removals) {
		t.Errorf("people by default: %+v, by name: %+v", people.Removals, same.Removals)
	}
	refused(t, b.do(get, path+"&kind=teams&continuation="+people.Continuation, ""), 400, codeContinuation)
	refused(t, b.do(get, path+"&kind=licenses", ""), 422, codeValidation)
}

// Memberships are listed team by team, only those that are held, whatever the
// limit and however many a team has.
func TestRemovalsOfMemberships(t *testing.T) {
	b := newBench()
	b.plan(contoso, 1)
	var want []Removal
	for i, members := range []int{3, 0, 600, 1, 0, 0, 250} {
		team := teamID(i)
		rows := []directory.Roster{{Team: team, Bucket: "0"}, {Team: team, Bucket: "1"}}
		for n := range 2 * members {
			k, _ := directory.Key(personID(n))
			m := directory.Member{Key: k, Marks: directory.MarkPending}
			if n%2 == 0 {
				m.Marks = directory.MarkHeld
				want = append(want, Removal{Team: team, Person: personID(n)})
			}
			rows[0].Members = append(rows[0].Members, m)
		}
		if members > 0 {
			k, _ := directory.Key(team1)
			rows[1].Members = []directory.Member{{Key: k, Marks: directory.MarkHeld}}
			want = append(want, Removal{Team: team, Person: team1})
		}
		b.rosters[team] = rows
		b.listed[directory.HeldMemberships] = append(b.listed[directory.HeldMemberships], team)
	}
	for _, limit := range []int{1000, 201, 200, 37, 2} {
		var got []Removal
		pages(t, b, fmt.Sprintf("/v1/connections/%s/removals?kind=memberships&limit=%d", contoso, limit), func(p *RemovalPage) string {
			if len(p.Removals) > limit {
				t.Fatalf("%d on a page of %d", len(p.Removals), limit)
			}
			got = append(got, p.Removals...)
			return p.Continuation
		})
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %d memberships, want %d", limit, len(got), len(want))
		}
	}
	w := b.do(get, "/v1/connections/"+contoso+"/removals?kind=memberships&limit=1", "")
	if !strings.Contains(w.Body.String(), `"removals":[{"team":"`+teamID(0)+`","person":"`+personID(0)+`"}]`) {
		t.Errorf("%s", w.Body)
	}
	b.listed[directory.HeldMemberships] = nil
	if w := b.do(get, "/v1/connections/"+contoso+"/removals?kind=memberships", ""); !strings.HasPrefix(w.Body.String(), `{"removals":[],"plan":`) {
		t.Errorf("none: %s", w.Body)
	}
}

// A list of many teams whose memberships have all returned ends the page, not
// the request's time.
func TestRemovalsOfManyTeams(t *testing.T) {
	b := newBench()
	b.plan(contoso, 1)
	for i := range 2500 {
		b.listed[directory.HeldMemberships] = append(b.listed[directory.HeldMemberships], teamID(i))
	}
	k, _ := directory.Key(personID(0))
	b.rosters[teamID(2400)] = []directory.Roster{{Members: []directory.Member{{Key: k, Marks: directory.MarkHeld}}}}
	n := 0
	answers := pages(t, b, "/v1/connections/"+contoso+"/removals?kind=memberships", func(p *RemovalPage) string {
		n += len(p.Removals)
		return p.Continuation
	})
	if n != 1 || answers != 3 {
		t.Errorf("%d memberships in %d answers, want 1 in 3", n, answers)
	}
}
