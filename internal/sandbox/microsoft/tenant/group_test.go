package tenant

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

// crowd is a tenant with people p0, p1, … and empty groups g0, g1, … of the
// test's own.
func crowd(t *testing.T, people, groups int) (d *Tenant, p, g []string) {
	t.Helper()
	d = build(t, people, 1)
	for _, x := range d.People() {
		p = append(p, x.ID)
	}
	for i := range groups {
		f := Fields{"displayName": "Group", "groupTypes": []string{"Unified"}}
		if i%2 == 1 {
			f["groupTypes"] = nil
		}
		id, err := d.CreateGroup(f)
		ok(t, err)
		g = append(g, id)
	}
	return d, p, g
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestMembershipsComeAndGoWithTheirEnds(t *testing.T) {
	d, p, g := crowd(t, 4, 4)
	ok(t, d.AddMember(g[0], p[0]))
	ok(t, d.AddMember(g[0], p[1]))
	ok(t, d.AddMember(g[0], g[1]))
	ok(t, d.AddMember(g[1], p[2]))
	ok(t, d.AddMember(g[1], g[2]))
	ok(t, d.AddMember(g[2], g[0])) // a circle
	ok(t, d.AddMember(g[2], p[1]))
	same(t, "members", d.Members(g[0]), []string{p[0], p[1], g[1]})
	for _, at := range g[:3] {
		same(t, "in the circle", d.TransitiveUsers(at), []string{p[0], p[1], p[2]})
	}
	same(t, "member of", d.MemberOf(p[1]), []string{g[0], g[2]})

	for name, c := range map[string]struct{ got, want error }{
		"twice":         {d.AddMember(g[0], p[0]), ErrConflict},
		"itself":        {d.AddMember(g[0], g[0]), ErrInvalid},
		"nobody":        {d.AddMember(g[0], "x"), ErrNotFound},
		"to no group":   {d.AddMember(p[0], p[1]), ErrNotFound},
		"not a member":  {d.RemoveMember(g[0], p[3]), ErrNotFound},
		"only indirect": {d.RemoveMember(g[0], p[2]), ErrNotFound},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}

	ok(t, d.Remove(p[1]))
	same(t, "without a removed person", d.Members(g[0]), []string{p[0], g[1]})
	same(t, "likewise, all", d.TransitiveUsers(g[0]), []string{p[0], p[2]})
	ok(t, d.Restore(p[1]))
	same(t, "with the restored person", d.Members(g[0]), []string{p[0], p[1], g[1]})
	ok(t, d.RemoveMember(g[0], p[0]))
	ok(t, d.AddMember(g[0], p[0]))
	same(t, "out and in keeps the place", d.Members(g[0]), []string{p[0], p[1], g[1]})
	ok(t, d.Purge(p[1]))
	same(t, "purged", d.Members(g[0]), []string{p[0], g[1]})

	ok(t, d.RemoveGroup(g[0])) // Unified: restorable
	same(t, "of a removed group", d.Members(g[0]), nil)
	same(t, "without it", d.Members(g[2]), nil)
	same(t, "groups of a member", d.MemberOf(p[0]), nil)
	if n, l := d.GroupCount(), d.DeletedGroups(); n != 3 || len(l) != 1 || l[0].ID != g[0] {
		t.Errorf("%d groups, deleted %v", n, l)
	}
	ok(t, d.RestoreGroup(g[0]))
	same(t, "restored", d.Members(g[0]), []string{p[0], g[1]})
	same(t, "in its place", d.Members(g[2]), []string{g[0]})
	ok(t, d.RemoveGroup(g[1])) // not Unified: gone
	if err := d.RestoreGroup(g[1]); !errors.Is(err, ErrNotFound) {
		t.Errorf("a security group came back: %v", err)
	}
	same(t, "without the security group", d.Members(g[0]), []string{p[0]})
	ok(t, d.PurgeGroup(g[0]))
	if err := d.RestoreGroup(g[0]); !errors.Is(err, ErrNotFound) {
		t.Errorf("a purged group came back: %v", err)
	}
	if n := len(d.Groups()); n != 2 || d.GroupCount() != 2 {
		t.Errorf("%d groups, counted %d, want 2", n, d.GroupCount())
	}
}

// A reader whose page ends between a member's leaving and the group's removal
// hears of the leaving after the group was restored.
func TestLeavingIsToldAfterARestoring(t *testing.T) {
	d, p, g := crowd(t, 2, 3)
	ok(t, d.AddMember(g[0], p[0]))
	ok(t, d.AddMember(g[0], p[1]))
	v := GroupView{Track: GroupAll}
	at := d.LatestGroups() // it knows all of that
	ok(t, d.RemoveMember(g[0], p[0]))
	ok(t, d.UpdateGroup(g[1], Fields{"description": "fills the page"}))
	ok(t, d.RemoveGroup(g[0]))
	items, at, done := d.GroupChanges(at, v, 1, 10)
	if len(items) != 1 || items[0].Group.ID != g[1] || done {
		t.Fatalf("first page %+v, done %v", items, done)
	}
	ok(t, d.RestoreGroup(g[0]))
	items, _, done = d.GroupChanges(at, v, 10, 10)
	if len(items) != 1 || items[0].Group.ID != g[0] || items[0].Removed != "" || !done {
		t.Fatalf("second page %+v, done %v", items, done)
	}
	want := []MemberChange{{ID: p[0], Removed: true}, {ID: p[1]}}
	if !reflect.DeepEqual(items[0].Members, want) {
		t.Errorf("members %+v, want %+v", items[0].Members, want)
	}
}

func TestGroupEditsAreChecked(t *testing.T) {
	d, _, g := crowd(t, 1, 2)
	before := d.Groups()
	for name, f := range map[string]Fields{
		"unknown property": {"shoeSize": 44}, "wrong type": {"mailEnabled": "yes"}, "null flag": {"mailEnabled": nil},
		"no name": {"displayName": " "}, "visibility": {"visibility": "Secret"}, "new id": {"id": g[1]},
		"members": {"members": []string{}}, "hidden later": {"visibility": HiddenMembership}, "list": {"groupTypes": "Unified"},
	} {
		if err := d.UpdateGroup(g[0], f); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !reflect.DeepEqual(d.Groups(), before) {
		t.Error("a refused edit changed something")
	}
	if _, err := d.CreateGroup(Fields{"displayName": "x", "id": g[0]}); !errors.Is(err, ErrConflict) {
		t.Errorf("taken id: %v", err)
	}
	if _, err := d.CreateGroup(Fields{"mail": "x"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a name: %v", err)
	}
	if err := d.UpdateGroup("x", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such group: %v", err)
	}
	want := Group{ID: g[0], DisplayName: "Sales \"EMEA\"", MailEnabled: true, GroupTypes: []string{"Unified"}, ResourceProvisioningOptions: []string{"Team"}}
	ok(t, d.UpdateGroup(g[0], Fields{"displayName": want.DisplayName, "mailEnabled": true, "resourceProvisioningOptions": []string{"Team"}}))
	got, _ := d.Group(g[0])
	if !reflect.DeepEqual(got, want) || !got.Team() || !got.Unified() || got.Hidden() {
		t.Errorf("group %+v, want %+v", got, want)
	}
	var read Group
	if err := json.Unmarshal([]byte("{"+string(got.AppendJSON(nil, GroupAll))+"}"), &read); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("as JSON %+v, %v", read, err)
	}
}

func TestGeneratedGroupsHaveExactlyTheMemberships(t *testing.T) {
	for _, c := range []Spec{
		{People: 40, Teams: 20, Memberships: 300}, {People: 10, Teams: 7, Memberships: 70}, {People: 5, Teams: 5, Memberships: 1},
		{People: 100, Teams: 1, Memberships: 100}, {People: 3, Teams: 12, Memberships: 31}, {People: 0, Teams: 6}, {People: 9},
	} {
		c.Seed = 1
		a, err := New(c, func() time.Time { return noon })
		ok(t, err)
		people, teams, total := map[string]bool{}, 0, 0
		for _, p := range a.People() {
			people[p.ID] = true
		}
		for _, g := range a.Groups() {
			seen := map[string]bool{}
			for _, m := range a.Members(g.ID) {
				if seen[m] {
					t.Errorf("%+v: %s is twice in %s", c, m, g.ID)
				}
				if seen[m] = true; people[m] {
					total++
				}
			}
			if g.Team() {
				teams++
			}
		}
		if teams != c.Teams || a.GroupCount() != c.Teams+c.Teams/5 || total != c.Memberships {
			t.Errorf("%+v: %d teams of %d groups, %d memberships", c, teams, a.GroupCount(), total)
		}
		b, err := New(c, func() time.Time { return noon })
		ok(t, err)
		plain, err := New(Spec{People: c.People, Seed: 1}, func() time.Time { return noon })
		ok(t, err)
		if !reflect.DeepEqual(a.Groups(), b.Groups()) || !reflect.DeepEqual(a.People(), plain.People()) {
			t.Errorf("%+v: the seed does not decide", c)
		}
		for i, g := range a.Groups() {
			same(t, "members by seed", a.Members(g.ID), b.Members(b.Groups()[i].ID))
		}
	}
	for _, c := range []Spec{{Teams: -1}, {Teams: MaxTeams + 1}, {People: 3, Teams: 2, Memberships: 7}, {Memberships: 1}, {Memberships: -1}} {
		if _, err := New(c, func() time.Time { return noon }); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzGroupFields(f *testing.F) {
	f.Add([]byte(`{"displayName":"x","groupTypes":["Unified"],"mailEnabled":true,"visibility":null}`))
	f.Add([]byte(`{"resourceProvisioningOptions":null,"securityEnabled":null,"id":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var fields Fields
		if json.Unmarshal(b, &fields) != nil {
			return
		}
		d := newDirectory(1)
		at, err := d.insertGroup(Group{ID: "x", DisplayName: "x"})
		ok(t, err)
		if d.UpdateGroup("x", fields) != nil {
			return
		}
		before := len(d.groups.log)
		if err := d.UpdateGroup("x", fields); err != nil || len(d.groups.log) != before {
			t.Errorf("the same edit again: %v, %d changes", err, len(d.groups.log)-before)
		}
		if !json.Valid([]byte("{" + string(d.groups.records[at].group.AppendJSON(nil, GroupAll)) + "}")) {
			t.Error("not JSON")
		}
	})
}

// The goal is two million memberships in under twenty seconds.
func BenchmarkGenerate2MMemberships(b *testing.B) {
	for b.Loop() {
		d, err := New(Spec{People: 100_000, Teams: 5000, Memberships: 2_000_000, Seed: 1}, func() time.Time { return noon })
		if err != nil {
			b.Fatal(err)
		}
		if n := d.groups.links; n < 2_000_000 {
			b.Fatal(n)
		}
	}
	b.ReportAllocs()
}
