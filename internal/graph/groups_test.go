package graph_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// teams is a directory's groups as pages tell of them.
type teams struct {
	known   map[string]directory.Team
	members map[string]map[string]bool
}

// follow applies the pages from a link to the round's end.
func (ts *teams) follow(t *testing.T, tn *tenant.Tenant, link string) (pages int, delta string) {
	t.Helper()
	if ts.known == nil {
		ts.known, ts.members = map[string]directory.Team{}, map[string]map[string]bool{}
	}
	c := client(t, nil)
	for {
		p, err := c.Groups(t.Context(), connection.Access{Tenant: tn.ID}, link)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, it := range p.Items {
			if it.Removed != "" {
				delete(ts.known, it.ID)
				delete(ts.members, it.ID)
				continue
			}
			if it.Told {
				ts.known[it.ID] = it.Team
			}
			if ts.members[it.ID] == nil {
				ts.members[it.ID] = map[string]bool{}
			}
			for _, id := range it.Left {
				delete(ts.members[it.ID], id)
			}
			for _, id := range it.Joined {
				ts.members[it.ID][id] = true
			}
		}
		if p.Delta != "" {
			return pages, p.Delta
		}
		link = p.Next
	}
}

// equal compares with the tenant's own groups.
func (ts *teams) equal(t *testing.T, tn *tenant.Tenant) {
	t.Helper()
	groups := tn.Groups()
	if len(groups) != len(ts.known) {
		t.Errorf("%d groups, want %d", len(ts.known), len(groups))
	}
	person := map[string]bool{}
	for _, p := range tn.People() {
		person[p.ID] = true
	}
	for _, g := range groups {
		kind := directory.OtherGroup
		if slices.Contains(g.ResourceProvisioningOptions, "Team") {
			kind = directory.MicrosoftTeam
		} else if g.SecurityEnabled && !slices.Contains(g.GroupTypes, "Unified") {
			kind = directory.SecurityGroup
		}
		want := directory.Team{ID: g.ID, DisplayName: g.DisplayName, Description: g.Description, Mail: g.Mail, Visibility: g.Visibility,
			Kind: kind, Dynamic: slices.Contains(g.GroupTypes, "DynamicMembership")}
		if got := ts.known[g.ID]; got != want {
			t.Errorf("group %+v, want %+v", got, want)
		}
		members := slices.DeleteFunc(tn.Members(g.ID), func(id string) bool { return !person[id] })
		slices.Sort(members)
		if got := slices.Sorted(maps.Keys(ts.members[g.ID])); !slices.Equal(got, members) {
			t.Errorf("%s has %d members, want %d", g.DisplayName, len(got), len(members))
		}
	}
}

// Following the links gives every group with all its members, and then
// whatever changes.
func TestGroups(t *testing.T) {
	tn, err := wires.Microsoft.NewTenant(tenant.Spec{People: 900, Teams: 60, Memberships: 5000})
	if err != nil {
		t.Fatal(err)
	}
	if err := wires.Microsoft.Consent(tn.ID); err != nil {
		t.Fatal(err)
	}
	var ts teams
	pages, delta := ts.follow(t, tn, "")
	if pages < 3 {
		t.Errorf("%d pages", pages)
	}
	ts.equal(t, tn)
	groups, people := tn.Groups(), tn.People()
	plain, err := tn.CreateGroup(tenant.Fields{"displayName": "O'Neil \"& Sons\" 東京"})
	if err := errors.Join(err,
		tn.UpdateGroup(groups[0].ID, tenant.Fields{"description": nil, "displayName": "Renamed"}),
		tn.UpdateGroup(plain, tenant.Fields{"resourceProvisioningOptions": []string{"Team"}}),
		tn.AddMember(plain, people[0].ID), tn.AddMember(plain, people[1].ID), tn.RemoveMember(plain, people[1].ID),
		tn.RemoveMember(groups[0].ID, tn.Members(groups[0].ID)[0]),
		tn.RemoveGroup(groups[1].ID), tn.PurgeGroup(groups[2].ID), tn.Remove(people[2].ID)); err != nil {
		t.Fatal(err)
	}
	if pages, delta = ts.follow(t, tn, delta); pages < 1 {
		t.Errorf("%d pages of changes", pages)
	}
	ts.equal(t, tn)
	p, err := client(t, nil).Groups(t.Context(), connection.Access{Tenant: tn.ID}, delta)
	if err != nil || len(p.Items) != 0 || p.Delta == "" {
		t.Errorf("a round without changes: %d items, %v", len(p.Items), err)
	}
}

// A page of groups is whole or an error that says what to do.
func TestGroupFaults(t *testing.T) {
	tn := wires.Tenant(t, 1)
	if _, err := tn.CreateGroup(tenant.Fields{"displayName": "One"}); err != nil {
		t.Fatal(err)
	}
	c := client(t, nil)
	for _, f := range []struct {
		fault ms.Fault
		kind  fault.Kind
	}{
		{ms.Fault{Kind: ms.Forbidden, Count: 2}, fault.Denied}, {ms.Fault{Kind: ms.Throttle, Count: 1}, fault.Throttled}, {ms.Fault{Kind: ms.Error, Status: 500, Count: 1}, fault.Unknown},
		{ms.Fault{Kind: ms.Cut, Count: 1}, fault.Unknown}, {ms.Fault{Kind: ms.Resync, Count: 1}, fault.Expired}, {ms.Fault{Kind: ms.Expired, Count: 1}, fault.Expired},
	} {
		_, delta := new(teams).follow(t, tn, "")
		f.fault.Path = ms.GroupsDelta
		fired := wires.Fault(t, tn, f.fault)
		p, err := c.Groups(t.Context(), connection.Access{Tenant: tn.ID}, delta)
		fired()
		if !fault.Is(err, f.kind) || p.Items != nil || p.Next+p.Delta != "" {
			t.Errorf("%s: %d items, %v", f.fault.Kind, len(p.Items), err)
		}
		if remedy := fault.Of(err).Remedy; (f.kind == fault.Denied) != strings.Contains(remedy, "(GroupMember.Read.All)") {
			t.Errorf("%s: remedy %q", f.fault.Kind, remedy)
		}
	}
	if _, err := c.Groups(t.Context(), connection.Access{Tenant: tn.ID}, "https://evil.example/v1.0/groups/delta"); !fault.Is(err, fault.Expired) {
		t.Errorf("another host: %v", err)
	}
}

// What an entry says, and what it leaves unsaid.
func TestDecodeGroups(t *testing.T) {
	const id, a, b, c = someone, "a1111111-2222-3333-4444-555555555555", "b1111111-2222-3333-4444-555555555555", "c1111111-2222-3333-4444-555555555555"
	for entry, want := range map[string]directory.TeamItem{
		`"id":"ID"`:                      {Team: directory.Team{ID: id}},
		`"id":"ID","displayName":"x"`:    {Team: directory.Team{ID: id, DisplayName: "x", Kind: directory.OtherGroup}, Told: true},
		`"id":"ID","displayName":null`:   {Team: directory.Team{ID: id, Kind: directory.OtherGroup}, Told: true},
		`"id":"ID","mail":"not alone"`:   {Team: directory.Team{ID: id}},
		`"id":"ID","members@delta":null`: {Team: directory.Team{ID: id}},
		`"id":"ID","displayName":"x","description":"d","mail":"m","visibility":"Private","securityEnabled":true,"groupTypes":["DynamicMembership","Unified"],"resourceProvisioningOptions":["Team"]`: {
			Team: directory.Team{ID: id, DisplayName: "x", Description: "d", Mail: "m", Visibility: "Private", Kind: directory.MicrosoftTeam, Dynamic: true}, Told: true},
		`"id":"ID","displayName":"x","securityEnabled":true,"groupTypes":["Unified"],"resourceProvisioningOptions":[]`: {Team: directory.Team{ID: id, DisplayName: "x", Kind: directory.OtherGroup}, Told: true},
		`"id":"ID","displayName":"x","securityEnabled":true,"groupTypes":["DynamicMembership"]`:                        {Team: directory.Team{ID: id, DisplayName: "x", Kind: directory.SecurityGroup, Dynamic: true}, Told: true},
		`"id":"ID","displayName":"x","securityEnabled":null,"mailEnabled":true`:                                        {Team: directory.Team{ID: id, DisplayName: "x", Kind: directory.OtherGroup}, Told: true},
		`"id":"ID","displayName":"x","@removed":{"reason":"changed"}`:                                                  {Team: directory.Team{ID: id}, Removed: directory.SoftDeleted},
		`"id":"ID","@removed":{"reason":"deleted"},"members@delta":[{"id":"A"}]`:                                       {Team: directory.Team{ID: id}, Removed: directory.Deleted},
		`"id":"ID","@removed":{}`: {Team: directory.Team{ID: id}, Removed: directory.Deleted},
		`"id":"ID","members@delta":[{"@odata.type":"#microsoft.graph.user","id":"B"},{"id":"A"},{"@odata.type":"#microsoft.graph.group","id":"C"},{"@odata.type":"#microsoft.graph.device","id":"C","@removed":{"reason":"deleted"}}]`: {
			Team: directory.Team{ID: id}, Joined: []string{b, a}},
		`"id":"ID","members@delta":[{"@odata.type":"#microsoft.graph.user","id":"B","@removed":{"reason":"deleted"}},{"id":"C"}]`: {Team: directory.Team{ID: id}, Joined: []string{c}, Left: []string{b}},
		`"id":"ID","members@delta":[{"id":"A","@removed":{"reason":"deleted"}},{"id":"A"},{"id":"B"},{"id":"B","@removed":{}}]`:   {Team: directory.Team{ID: id}, Joined: []string{a}, Left: []string{b}},
	} {
		text := strings.NewReplacer(`"ID"`, `"`+strings.ToUpper(id)+`"`, `"A"`, `"`+strings.ToUpper(a)+`"`, `"B"`, `"`+b+`"`, `"C"`, `"`+c+`"`).Replace(entry)
		p, err := graph.DecodeGroups([]byte(`{"value":[{` + text + `}],"@odata.nextLink":"n"}`))
		if err != nil || len(p.Items) != 1 || !reflect.DeepEqual(p.Items[0], want) {
			t.Errorf("%s: %+v, want %+v, %v", entry, p.Items, want, err)
		}
	}
	for _, bad := range []string{`"displayName":"x"`, `"id":"x"`, `"id":"ID","members@delta":[{"id":"x"}]`, `"id":"ID","members@delta":[{"@odata.type":"#microsoft.graph.group","id":"x"}]`, `"id":"ID","displayName":7`} {
		p, err := graph.DecodeGroups([]byte(`{"value":[{` + strings.ReplaceAll(bad, `"ID"`, `"`+id+`"`) + `}],"@odata.nextLink":"n"}`))
		if !fault.Is(err, fault.Unknown) || p.Items != nil || p.Next != "" {
			t.Errorf("%s: %+v, %v", bad, p, err)
		}
	}
}

func TestGroupAndSearch(t *testing.T) {
	tn := wires.Tenant(t, 1)
	c := client(t, nil)
	var last string
	for i := range 40 {
		var err error
		if last, err = tn.CreateGroup(tenant.Fields{"displayName": fmt.Sprintf("Sales & more %d", i), "securityEnabled": true, "groupTypes": []string{"DynamicMembership"}}); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]int{"sales": 25, " Sales & more 39 ": 1, "nothing like it": 0} {
		got, err := c.SearchGroups(t.Context(), connection.Access{Tenant: tn.ID}, text)
		if err != nil || len(got) != want {
			t.Errorf("%q: %d groups, want %d, %v", text, len(got), want, err)
		}
		if want == 1 && (len(got) != 1 || got[0] != directory.Team{ID: last, DisplayName: "Sales & more 39", Kind: directory.SecurityGroup, Dynamic: true}) {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"", "  ", strings.Repeat("x", 1025)} {
		if _, err := c.SearchGroups(t.Context(), connection.Access{Tenant: tn.ID}, text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	g, err := c.Group(t.Context(), connection.Access{Tenant: tn.ID}, last)
	if err != nil || g.DisplayName != "Sales & more 39" || g.Kind != directory.SecurityGroup {
		t.Errorf("%+v, %v", g, err)
	}
	if err := tn.RemoveGroup(last); err != nil {
		t.Fatal(err)
	}
	for id, kind := range map[string]fault.Kind{last: fault.NotFound, someone: fault.NotFound, "delta": fault.Invalid} {
		if g, err := c.Group(t.Context(), connection.Access{Tenant: tn.ID}, id); !fault.Is(err, kind) || g != (directory.Team{}) {
			t.Errorf("%s: %+v, %v", id, g, err)
		}
	}
	if found, err := c.Existing(t.Context(), connection.Access{Tenant: tn.ID}, directory.Teams, []string{last, tn.Groups()[0].ID, tn.People()[0].ID}); err != nil || !slices.Equal(found, []string{tn.Groups()[0].ID}) {
		t.Errorf("existing %v, %v", found, err)
	}
	if _, err := c.Existing(t.Context(), connection.Access{Tenant: tn.ID}, directory.Memberships, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("memberships have no IDs: %v", err)
	}
}

// The text that is looked for cannot break out of its quotes.
func TestSearchQuoted(t *testing.T) {
	var search, level string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		search, level = r.URL.Query().Get("$search"), r.Header.Get("ConsistencyLevel")
		_, _ = io.WriteString(w, `{"value":[]}`)
	})
	for text, want := range map[string]string{
		`a" OR "mail:b`: `"displayName:a\" OR \"mail:b"`, `back\slash`: `"displayName:back\\slash"`, `50% & + # ä`: `"displayName:50% & + # ä"`,
	} {
		if _, err := c.SearchGroups(t.Context(), connection.Access{Tenant: "t"}, text); err != nil || search != want || level != "eventual" {
			t.Errorf("%s: sent %s (%q), want %s, %v", text, search, level, want, err)
		}
	}
}
