package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// listPath lists all of one field, page by page.
func pages[P any](t *testing.T, b *bench, path string, each func(*P) (continuation string)) (answers int) {
	t.Helper()
	for next := ""; ; {
		var page P
		read(t, b.do(get, path+"&continuation="+next, ""), 200, &page)
		answers++
		if next = each(&page); next == "" {
			return answers
		}
		if answers > 1000 {
			t.Fatal("no end")
		}
	}
}

// A filtered list gives everybody whom the filter means, once and in order,
// whatever the limit, and looks at a bounded number for each answer.
func TestPeopleFilters(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 12003)
	const sku = "6fd2c87f-b296-42f0-b197-1e91e994b900"
	var titled, licensed, both []string
	for i := range b.people[contoso] {
		p := &b.people[contoso][i]
		if i%7 == 3 {
			p.JobTitle = " rear  ADMIRAL"
			if i != 1004 { // who has left
				titled = append(titled, p.ID)
			}
		}
		if i == 1004 {
			p.AssignedLicenses = []string{sku}
		}
		if i%1000 == 3 {
			p.AssignedLicenses = []string{object, sku}
			licensed = append(licensed, p.ID)
		}
		if i%7 == 3 && i%1000 == 3 {
			both = append(both, p.ID)
		}
	}
	members := []int{3, 1003, 1004, 9999, 11000}
	b.hold(contoso, members...)
	b.people[contoso][1004].Archived = now
	var inTeam []string
	for _, n := range members {
		inTeam = append(inTeam, personID(n))
	}
	admirals := directory.PositionID("Rear Admiral")
	for filter, want := range map[string][]string{
		"position=" + admirals:                     titled,
		"license=" + sku:                           licensed,
		"position=" + admirals + "&license=" + sku: both,
		"team=" + team1:                            inTeam,
		"team=" + team1 + "&license=" + sku:        {personID(3), personID(1003)},
		"position=" + strings.Repeat("0", 20):      nil,
		"license=" + tenant:                        nil,
		"team=" + team2:                            nil,
	} {
		for _, limit := range []int{1000, 200, 37, 1} {
			if limit == 1 && len(want) > 20 {
				continue
			}
			var got []string
			b.reads = 0
			answers := pages(t, b, fmt.Sprintf("/v1/connections/%s/people?%s&limit=%d", contoso, filter, limit), func(p *PeoplePage) string {
				if len(p.People) > limit || p.LastChange != 12003 {
					t.Fatalf("%d people, last change %d", len(p.People), p.LastChange)
				}
				for _, v := range p.People {
					got = append(got, v.ID)
				}
				return p.Continuation
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s, limit %d: %d people, want %d", filter, limit, len(got), len(want))
			}
			if !strings.Contains(filter, "team") && b.reads > answers*25 {
				t.Errorf("%s: %d reads of 200 for %d answers", filter, b.reads, answers)
			}
			if want == nil && !strings.Contains(filter, "team") && answers != 3 { // 5,000, 5,000 and 2,003
				t.Errorf("%s: %d answers without anybody", filter, answers)
			}
		}
	}
}

func TestPeopleFilterRefused(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 3)
	path := "/v1/connections/" + contoso + "/people?limit=1&"
	for query, field := range map[string]string{
		"position=x": "query.position", "position=" + strings.Repeat("A", 20): "query.position", "position=" + strings.Repeat("a", 21): "query.position",
		"license=E5": "query.license", "license=" + strings.ToUpper(object): "query.license", "team=a%27b": "query.team", "license=" + object + "&license=" + object: "query.license",
		"title=x": "query.title",
	} {
		if p := refused(t, b.do(get, path+query, ""), 422, codeValidation); !p.names(field) {
			t.Errorf("%s: %+v", query, p.Errors)
		}
	}
	var all PeoplePage
	read(t, b.do(get, path, ""), 200, &all)
	refused(t, b.do(get, path+"license="+object+"&continuation="+all.Continuation, ""), 400, codeContinuation)
	if p := refused(t, b.do(get, path+"team="+team1, ""), 404, codeNotFound); !p.names("query.team") {
		t.Errorf("%+v", p)
	}
}

// FuzzPeopleFilter: whatever is asked for, the answer is a page or a problem.
func FuzzPeopleFilter(f *testing.F) {
	f.Add("position=5c1b9d0e7fa2384466d1")
	f.Add("license=" + object + "&team=" + team1)
	f.Add("team=")
	f.Add("kind=team;limit=0")
	f.Add("continuation=AXBlb3BsZQBr&limit=1")
	b := newBench()
	b.crowd(contoso, 2)
	b.hold(contoso, 1)
	f.Fuzz(func(t *testing.T, query string) {
		for _, list := range []string{"people", "teams", "removals", "groups"} {
			w := b.do(get, "/v1/connections/"+contoso+"/"+list+"?"+strings.ReplaceAll(clean(query), "#", "%23"), "")
			if w.Code != 200 && w.Code != 422 && w.Code != 400 && w.Code != 409 && w.Code != 404 {
				t.Errorf("%s?%s: %d %s", list, query, w.Code, w.Body)
			}
		}
	})
}

// clean leaves out what cannot be in a request line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || r > 0x7e {
			return -1
		}
		return r
	}, s)
}

// One person comes with the line of managers, however it ends, and the teams.
func TestPerson(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 120)
	people := b.people[contoso]
	boss := func(of, manager int) { people[of].Manager = personID(manager) }
	boss(0, 1)
	boss(1, 2)
	people[2].Archived = now
	boss(10, 10)
	boss(20, 21)
	boss(21, 22)
	boss(22, 21)
	people[30].Manager = object // who is not stored
	for i := 40; i < 100; i++ {
		boss(i, i+1)
	}
	people[0].JobTitle = "Captain"
	b.hold(contoso, 0, 1)
	b.rosters[team2] = []directory.Roster{{Team: team2, Members: b.rosters[team1][0].Members[:1]}}

	path := "/v1/connections/" + contoso + "/people/"
	var v PersonDetail
	if w := b.do(get, path+personID(0), ""); strings.Contains(w.Body.String(), `"teams"`) {
		t.Errorf("teams that nobody asked for: %s", w.Body)
	}
	read(t, b.do(get, path+personID(0)+"?teams=true", ""), 200, &v)
	if v.DisplayName != "Person 0" || !v.Active || v.LastChange != 1 || v.Position != directory.PositionID("CAPTAIN") || v.Manager != personID(1) {
		t.Errorf("%+v", v)
	}
	if want := []Superior{{personID(1), "Person 1", false}, {personID(2), "Person 2", true}}; !slices.Equal(v.Line.Managers, want) || v.Line.Cycle || v.Line.Missing != "" {
		t.Errorf("line %+v, want %+v", v.Line, want)
	}
	if want := []TeamRef{{team1, "Compilers"}, {team2, "Admirals"}}; !slices.Equal(v.Teams, want) {
		t.Errorf("teams %+v, want %+v", v.Teams, want)
	}
	b.teams[contoso][0].Archived = now
	v = PersonDetail{}
	read(t, b.do(get, path+personID(0)+"?teams=true", ""), 200, &v)
	if want := []TeamRef{{team2, "Admirals"}}; !slices.Equal(v.Teams, want) {
		t.Errorf("teams %+v, want %+v", v.Teams, want)
	}
	for person, want := range map[int]struct {
		managers int
		end      Line
	}{
		5: {0, Line{}}, 10: {0, Line{Cycle: true}}, 20: {2, Line{Cycle: true}}, 21: {1, Line{Cycle: true}}, 30: {0, Line{Missing: object}},
		40: {50, Line{More: true}}, 50: {50, Line{}}, 51: {49, Line{}},
	} {
		var v PersonDetail
		w := b.do(get, path+personID(person)+"?teams=true", "")
		read(t, w, 200, &v)
		if l := v.Line; len(l.Managers) != want.managers || l.Cycle != want.end.Cycle || l.Missing != want.end.Missing || l.More != want.end.More {
			t.Errorf("person %d: line %+v, want %d managers and %+v", person, v.Line, want.managers, want.end)
		}
		if !strings.Contains(w.Body.String(), `"teams":[`) || !strings.Contains(w.Body.String(), `"managers":[`) {
			t.Errorf("empty lists are left out: %s", w.Body)
		}
	}
	for _, person := range []string{object, strings.ToUpper(object), "x", "a%27b"} {
		if p := refused(t, b.do(get, path+person, ""), 404, codeNotFound); person == object && !p.names("path.person") {
			t.Errorf("%+v", p.Errors)
		}
	}
	refused(t, b.do(get, "/v1/connections/unknown/people/"+personID(0), ""), 404, codeNotFound)
}

// A record says what has become of its proposed removal.
func TestProposedRemoval(t *testing.T) {
	for want, life := range map[string]directory.Life{
		"": {}, "pending": {Pending: directory.Missing}, "held": {Pending: directory.Missing, Held: true}, "kept": {Kept: true},
	} {
		b := newBench()
		b.crowd(contoso, 1)
		b.hold(contoso)
		b.people[contoso][0].Life, b.teams[contoso][0].Life = life, life
		for _, path := range []string{"/people/" + personID(0), "/people", "/teams/" + team1, "/teams?kind=team"} {
			body := b.do(get, "/v1/connections/"+contoso+path, "").Body.String()
			if strings.Contains(body, `"removal":`) != (want != "") || want != "" && !strings.Contains(body, `"removal":"`+want+`"`) {
				t.Errorf("%s, want %q: %s", path, want, body)
			}
		}
	}
}

func TestTeams(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 400)
	var all []int
	for i := range 400 {
		all = append(all, i)
	}
	b.hold(contoso, all...)
	b.people[contoso][7].Archived = now
	b.people[contoso] = slices.Delete(b.people[contoso], 5, 6)
	path := "/v1/connections/" + contoso + "/teams"
	for filter, want := range map[string][]string{"": {team1, team2}, "&kind=team": {team1}, "&kind=security": {team2}} {
		var got []string
		pages(t, b, path+"?limit=1"+filter, func(p *TeamPage) string {
			for _, v := range p.Teams {
				got = append(got, v.ID)
			}
			return p.Continuation
		})
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", filter, got)
		}
	}
	refused(t, b.do(get, path+"?kind=other", ""), 422, codeValidation)
	var v TeamDetail
	read(t, b.do(get, path+"/"+team1, ""), 200, &v)
	if v.ID != team1 || v.DisplayName != "Compilers" || v.Kind != "team" || v.Mail != "c@contoso.com" || v.Visibility != "Private" || v.Dynamic || !v.Active || v.LastChange != 7 || v.Members != 401 {
		t.Errorf("%+v", v)
	}
	for _, limit := range []int{1000, 401, 200, 37} {
		n := 0
		pages(t, b, fmt.Sprintf("%s/%s/members?limit=%d", path, team1, limit), func(p *MemberPage) string {
			for _, m := range p.Members {
				want := Member{ID: personID(n), DisplayName: fmt.Sprint("Person ", n), Stored: true, Active: n != 7}
				switch n {
				case 5:
					want = Member{ID: personID(5)}
				case 400: // in the second row
					want = Member{ID: team2}
				}
				if m != want {
					t.Fatalf("member %+v, want %+v", m, want)
				}
				n++
			}
			return p.Continuation
		})
		if n != 401 {
			t.Errorf("limit %d: %d members", limit, n)
		}
	}
	for _, team := range []string{object, "x", strings.ToUpper(object)} {
		refused(t, b.do(get, path+"/"+team, ""), 404, codeNotFound)
		refused(t, b.do(get, path+"/"+team+"/members", ""), 404, codeNotFound)
	}
	var page MemberPage
	read(t, b.do(get, path+"/"+team1+"/members?limit=1", ""), 200, &page)
	refused(t, b.do(get, path+"/"+team2+"/members?limit=1&continuation="+page.Continuation, ""), 400, codeContinuation)
}

func TestHoldings(t *testing.T) {
	b := newBench()
	b.hold(contoso)
	path := "/v1/connections/" + contoso
	var ps PositionPage
	read(t, b.do(get, path+"/positions", ""), 200, &ps)
	var p Position
	read(t, b.do(get, path+"/positions/"+position, ""), 200, &p)
	if len(ps.Positions) != 1 || ps.Positions[0] != p || p.ID != position || p.Title != "Rear Admiral" || p.People != 2 || !p.Active {
		t.Errorf("%+v, alone %+v", ps, p)
	}
	refused(t, b.do(get, path+"/positions/0000", ""), 404, codeNotFound)
	refused(t, b.do(get, path+"/positions/A%27B", ""), 404, codeNotFound)

	var ls LicenseList
	read(t, b.do(get, path+"/licenses", ""), 200, &ls)
	if len(ls.Licenses) != 3 || ls.Totals != (LicenseCounts{15, 11, 6}) {
		t.Fatalf("%+v", ls)
	}
	if l := ls.Licenses[1]; l.ID != tenant || l.PartNumber != "E3" || l.Status != "Suspended" || l.LicenseCounts != (LicenseCounts{5, 7, 0}) || !l.Active {
		t.Errorf("%+v", l)
	}
	if l := ls.Licenses[2]; l.Active || l.Reason != "missing" || l.Available != 99 {
		t.Errorf("%+v", l)
	}

	var ms MailboxPage
	read(t, b.do(get, path+"/mailboxes", ""), 200, &ms)
	if len(ms.Mailboxes) != 1 {
		t.Fatalf("%+v", ms)
	}
	m := ms.Mailboxes[0]
	m.Life = Life{}
	if m != (Mailbox{ID: object, UserPrincipalName: "u@contoso.com", Purpose: "shared", Created: "2019-04-01", LastActivity: "2026-11-18", Items: 3, Size: 1 << 40, Quota: 1 << 41, HasArchive: true}) {
		t.Errorf("%+v", m)
	}
	for list, want := range map[string]string{
		"positions": `{"positions":[]}`, "mailboxes": `{"mailboxes":[]}`, "teams": `{"teams":[]}`,
		"licenses": `{"licenses":[],"totals":{"total":0,"consumed":0,"available":0}}`,
	} {
		if w := b.do(get, "/v1/connections/"+fabrica+"/"+list, ""); strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s: %s, want %s", list, w.Body, want)
		}
	}
}

func TestGroups(t *testing.T) {
	b := newBench()
	var fail error
	b.search = func(in, text string) ([]directory.Team, error) {
		if in != tenant || text != `Ärzte "& Co"` {
			t.Errorf("searched for %q in %q", text, in)
		}
		return []directory.Team{{ID: team1, DisplayName: "Ärzte", Kind: directory.OtherGroup, Dynamic: true}}, fail
	}
	path := "/v1/connections/" + fabrica + "/groups"
	good := path + "?search=%C3%84rzte+%22%26+Co%22"
	var v GroupList
	read(t, b.do(get, good, ""), 200, &v)
	if len(v.Groups) != 1 || v.Groups[0] != (Group{ID: team1, DisplayName: "Ärzte", Kind: "other", Dynamic: true}) {
		t.Errorf("%+v", v)
	}
	for _, f := range []struct {
		err    error
		status int
		code   string
	}{
		{fault.New(fault.Denied, "secret").WithRemedy("Consent again."), 403, codeForbidden},
		{fault.New(fault.Throttled, "secret"), 429, codeThrottled},
		{fault.New(fault.Invalid, "secret").WithRemedy("Please report this with the run's ID."), 400, codeRejected},
		{fault.New(fault.Unknown, "secret"), 503, codeUnavailable},
	} {
		fail = f.err
		p := refused(t, b.do(get, good, ""), f.status, f.code)
		if f.code == codeRejected && !strings.Contains(p.Remedy, "group's name") {
			t.Errorf("%+v", p)
		}
		if strings.Contains(p.Detail, "secret") || f.code == codeForbidden && p.Remedy != "Consent again." {
			t.Errorf("%+v", p)
		}
	}
	b.search = func(_, text string) ([]directory.Team, error) {
		t.Errorf("searched for %q", text)
		return nil, nil
	}
	for _, query := range []string{"", "?search=", "?search=a", "?search=" + strings.Repeat("a", 65), "?search=a%00b", "?search=ab%0A", "?search=+ab", "?search=ab&search=cd", "?name=ab", "?search=a%E2%80%AEb"} {
		refused(t, b.do(get, path+query, ""), 422, codeValidation)
	}
	refused(t, b.do(get, "/v1/connections/"+contoso+"/groups?search=compilers", ""), 409, codeNotConnected)
	refused(t, b.do(get, "/v1/connections/unknown/groups?search=compilers", ""), 404, codeNotFound)
}
