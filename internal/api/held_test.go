package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/job"
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
	b.plan(contoso, 1300)
	var want []Removal
	for i, members := range []int{3, 0, 600, 1, 0, 0, 250} {
		team := teamID(i)
		b.teams[contoso] = append(b.teams[contoso], directory.TeamRecord{Team: directory.Team{ID: team, DisplayName: fmt.Sprint("Team ", i)}})
		rows := []directory.Roster{{Team: team, Bucket: "0"}, {Team: team, Bucket: "1"}}
		for n := range 2 * members {
			k, _ := directory.Key(personID(n))
			m := directory.Member{Key: k, Marks: directory.MarkPending}
			if n%2 == 0 {
				m.Marks = directory.MarkHeld
				want = append(want, Removal{Team: team, TeamName: fmt.Sprint("Team ", i), Person: personID(n), PersonName: fmt.Sprint("Person ", n)})
			}
			rows[0].Members = append(rows[0].Members, m)
		}
		if members > 0 {
			k, _ := directory.Key(team1)
			rows[1].Members = []directory.Member{{Key: k, Marks: directory.MarkHeld}}
			want = append(want, Removal{Team: team, TeamName: fmt.Sprint("Team ", i), Person: team1}) // a user who is not stored
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
	if !strings.Contains(w.Body.String(), `"removals":[{"team":"`+teamID(0)+`","teamName":"Team 0","person":"`+personID(0)+`","personName":"Person 0"}]`) {
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
	if n != 1 || answers != 13 {
		t.Errorf("%d memberships in %d answers, want 1 in 13", n, answers)
	}
}

// What would wait after a preview is listed out of its own partition, pending
// removals with held ones, and only once it has ended.
func TestRemovalsOfPreview(t *testing.T) {
	b := newBench()
	b.plan(contoso, 1)
	part := contoso + "~preview"
	k := func(n int) [16]byte { k, _ := directory.Key(personID(n)); return k }
	var held, pending []string
	for i := range 500 {
		r := directory.Record{Person: directory.Person{ID: personID(i), DisplayName: fmt.Sprint("Foreseen ", i)}, Life: directory.Life{Pending: directory.Deleted}}
		switch i % 3 {
		case 0:
			r.Held = true
			held = append(held, r.ID)
		case 1:
			pending = append(pending, r.ID)
		case 2:
			r.Pending = ""
		}
		b.people[part] = append(b.people[part], r)
	}
	b.listed[directory.HeldPeople], b.listed[directory.PendingPeople] = held, pending
	b.listed[directory.PendingTeams], b.listed[directory.PendingMemberships] = []string{teamID(1)}, []string{teamID(1)}
	b.teams[part] = []directory.TeamRecord{{Team: directory.Team{ID: teamID(1), DisplayName: "Leaving"}, Life: directory.Life{Pending: directory.OutOfScope}}}
	b.rosters[teamID(1)] = []directory.Roster{{Members: []directory.Member{
		{Key: k(1), Marks: directory.MarkPending}, {Key: k(2), Marks: directory.MarkHeld}, {Key: k(3), Marks: directory.MarkKept}, {Key: k(4)},
	}}}
	path := "/v1/connections/" + contoso + "/removals?run=foreseen"
	for state, detail := range map[job.State]string{job.Running: "not ended", job.Waiting: "not ended", job.RunFailed: "failed"} {
		b.fences[part] = job.Fence{Run: job.Run{ID: "foreseen", State: state}}
		if p := refused(t, b.do(get, path, ""), 404, codeNotFound); !strings.Contains(p.Detail, detail) || !p.names("query.run") {
			t.Errorf("%s: %+v", state, p)
		}
	}
	for _, plan := range []*job.Plan{nil, {Hash: planHash, Run: "foreseen", At: now}} {
		b.fences[part] = job.Fence{Run: job.Run{ID: "foreseen", State: job.Held}, Plan: plan}
		for _, limit := range []int{1000, 199, 7} {
			n := 0
			pages(t, b, fmt.Sprintf("%s&limit=%d", path, limit), func(p *RemovalPage) string {
				if (p.Plan == nil) != (plan == nil) || len(p.Removals) > limit {
					t.Fatalf("plan %+v, %d people", p.Plan, len(p.Removals))
				}
				for _, r := range p.Removals {
					if n%3 == 2 {
						n++
					}
					if r.ID != personID(n) || r.DisplayName != fmt.Sprint("Foreseen ", n) || r.Reason != "deleted" {
						t.Fatalf("%+v, want person %d", r, n)
					}
					n++
				}
				return p.Continuation
			})
			if n != 500 {
				t.Errorf("limit %d: up to person %d", limit, n)
			}
		}
		for kind, want := range map[string][]Removal{
			"teams": {{ID: teamID(1), DisplayName: "Leaving", Reason: "outOfScope"}},
			"memberships": {{Team: teamID(1), TeamName: "Leaving", Person: personID(1), PersonName: "Foreseen 1"},
				{Team: teamID(1), TeamName: "Leaving", Person: personID(2), PersonName: "Foreseen 2"}},
		} {
			var page RemovalPage
			read(t, b.do(get, path+"&kind="+kind, ""), 200, &page)
			if !slices.Equal(page.Removals, want) {
				t.Errorf("%s: %+v, want %+v", kind, page.Removals, want)
			}
		}
	}
	var page RemovalPage
	read(t, b.do(get, path+"&limit=1", ""), 200, &page)
	refused(t, b.do(get, "/v1/connections/"+contoso+"/removals?limit=1&continuation="+page.Continuation, ""), 400, codeContinuation)
	refused(t, b.do(get, "/v1/connections/"+contoso+"/removals?run=04f8-run", ""), 404, codeNotFound) // the plan's run is no preview
}
