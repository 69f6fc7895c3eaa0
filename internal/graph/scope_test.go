package graph_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// nested is a tenant in which a group holds people, a group that holds more of
// them, and itself by way of that.
func nested(t *testing.T, n int) (tn *tenant.Tenant, outer, inner string, direct, deep []string) {
	t.Helper()
	tn = wires.Tenant(t, n)
	var err error
	add := func(f tenant.Fields) string {
		id, e := tn.CreateGroup(f)
		err = errors.Join(err, e)
		return id
	}
	outer = add(tenant.Fields{"displayName": "Outer", "securityEnabled": true})
	inner = add(tenant.Fields{"displayName": "Inner", "securityEnabled": true})
	for i, p := range tn.People() {
		in := []string{outer, inner}[i%2]
		if i%5 == 4 {
			continue
		}
		err = errors.Join(err, tn.AddMember(in, p.ID))
		deep = append(deep, p.ID)
		if in == outer {
			direct = append(direct, p.ID)
		}
	}
	if err := errors.Join(err, tn.AddMember(outer, inner), tn.AddMember(inner, outer)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(direct)
	slices.Sort(deep)
	return tn, outer, inner, direct, deep
}

// members follows the pages of a list to its end.
func members(t *testing.T, list func(link string) (directory.IDPage, error)) (all []string, pages int) {
	t.Helper()
	for link := ""; ; {
		p, err := list(link)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		all = append(all, p.IDs...)
		if link = p.Next; link == "" {
			slices.Sort(all)
			return all, pages
		}
	}
}

// Members are people only, direct ones or all through nested groups.
func TestMembers(t *testing.T) {
	tn, outer, _, direct, deep := nested(t, 1500)
	c := client(t, nil)
	got, _ := members(t, func(link string) (directory.IDPage, error) {
		return c.Members(t.Context(), connection.Access{Tenant: tn.ID}, outer, link)
	})
	if !slices.Equal(got, direct) || len(direct) != 600 {
		t.Errorf("%d direct members, want %d", len(got), len(direct))
	}
	got, pages := members(t, func(link string) (directory.IDPage, error) {
		return c.Transitive(t.Context(), connection.Access{Tenant: tn.ID}, outer, link)
	})
	if !slices.Equal(got, deep) || len(deep) != 1200 || pages != 2 {
		t.Errorf("%d members on %d pages, want %d on 2", len(got), pages, len(deep))
	}
}

// A group that is gone, forbidden or cut is never an empty one.
func TestMembersRefused(t *testing.T) {
	tn, outer, _, _, _ := nested(t, 1500)
	c := client(t, nil)
	lists := map[string]func(group, link string) (directory.IDPage, error){
		ms.GroupMembers: func(group, link string) (directory.IDPage, error) {
			return c.Members(t.Context(), connection.Access{Tenant: tn.ID}, group, link)
		},
		ms.TransitiveMembers: func(group, link string) (directory.IDPage, error) {
			return c.Transitive(t.Context(), connection.Access{Tenant: tn.ID}, group, link)
		},
	}
	for path, list := range lists {
		for _, f := range []struct {
			fault ms.Fault
			kind  fault.Kind
		}{
			{ms.Fault{Kind: ms.Forbidden, Count: 2}, fault.Denied}, {ms.Fault{Kind: ms.Throttle, RetryAfter: "3", Count: 1}, fault.Throttled},
			{ms.Fault{Kind: ms.Error, Status: 502, Count: 1}, fault.Unknown}, {ms.Fault{Kind: ms.Cut, Count: 1}, fault.Unknown}, {ms.Fault{Kind: ms.CutChunked, Count: 1}, fault.Unknown},
		} {
			f.fault.Path = path
			fired := wires.Fault(t, tn, f.fault)
			p, err := list(outer, "")
			fired()
			if !fault.Is(err, f.kind) || p.IDs != nil || p.Next != "" {
				t.Errorf("%s, %s: %d members, %v", path, f.fault.Kind, len(p.IDs), err)
			}
			if remedy := fault.Of(err).Remedy; (f.kind == fault.Denied) != strings.Contains(remedy, "GroupMember.Read.All, and Member.Read.Hidden") {
				t.Errorf("remedy %q", remedy)
			}
		}
		for _, b := range []struct {
			group, link string
			kind        fault.Kind
		}{
			{someone, "", fault.NotFound}, {"../users", "", fault.Invalid}, {strings.ToUpper(outer), "", fault.Invalid},
			{outer, "https://evil.example/v1.0/groups", fault.Expired}, {outer, wires.Microsoft.GraphURL() + "/v1.0/groups/" + outer + "/members?$skiptoken=x", fault.Expired},
		} {
			if p, err := list(b.group, b.link); !fault.Is(err, b.kind) || p.IDs != nil {
				t.Errorf("%s, group %q, link %q: %d members, %v", path, b.group, b.link, len(p.IDs), err)
			}
		}
	}
}

// Without the permission, hidden members are not listed; with it they are.
func TestHiddenMembership(t *testing.T) {
	tn := wires.Tenant(t, 3)
	id, err := tn.CreateGroup(tenant.Fields{"displayName": "Hidden", "groupTypes": []string{"Unified"}, "visibility": "HiddenMembership"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tn.People() {
		if err := tn.AddMember(id, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	c := client(t, nil)
	g, err := c.Group(t.Context(), connection.Access{Tenant: tn.ID}, id)
	if err != nil || g.Visibility != "HiddenMembership" {
		t.Errorf("group %+v, %v", g, err)
	}
	for _, roles := range [][]string{{"GroupMember.Read.All", "User.Read.All"}, {"GroupMember.Read.All", "User.Read.All", "Member.Read.Hidden"}} {
		if err := wires.Microsoft.Consent(tn.ID, roles...); err != nil {
			t.Fatal(err)
		}
		p, err := client(t, nil).Members(t.Context(), connection.Access{Tenant: tn.ID}, id, "")
		if err != nil || len(p.IDs) != map[int]int{2: 0, 3: 3}[len(roles)] {
			t.Errorf("with %v: %d members, %v", roles, len(p.IDs), err)
		}
	}
}

func TestMemberOf(t *testing.T) {
	tn, outer, inner, direct, deep := nested(t, 45)
	c := client(t, nil)
	var ids []string
	want := map[string]string{}
	for _, p := range tn.People() {
		ids = append(ids, p.ID)
		switch {
		case slices.Contains(direct, p.ID):
			want[p.ID] = outer
		case slices.Contains(deep, p.ID):
			want[p.ID] = inner
		default:
			want[p.ID] = ""
		}
	}
	if err := tn.Remove(ids[0]); err != nil {
		t.Fatal(err)
	}
	delete(want, ids[0])
	ctx, count := metered(t)
	of, err := c.MemberOf(ctx, connection.Access{Tenant: tn.ID}, append(ids, someone))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for id, groups := range of {
		got[id] = strings.Join(groups, "+")
	}
	if !maps.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
	if n, units := count.Take(); n != 3 || units < 46 {
		t.Errorf("%d calls, %d units", n, units)
	}
	in, err := c.InGroups(t.Context(), connection.Access{Tenant: tn.ID}, append(ids, someone), []string{outer, another})
	if err != nil || len(in) != len(want) {
		t.Errorf("%d of %d judged, %v", len(in), len(want), err)
	}
	for id, yes := range in {
		if yes != slices.Contains(deep, id) {
			t.Errorf("%s: in the groups %v", id, yes)
		}
	}
	for _, f := range []struct {
		fault ms.Fault
		kind  fault.Kind
	}{
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "9", Skip: 25, Count: 1}, fault.Throttled}, {ms.Fault{Kind: ms.Error, Status: 500, Skip: 25, Count: 1}, fault.Unknown},
		{ms.Fault{Kind: ms.Forbidden, Skip: 5}, fault.Denied},
	} {
		for _, path := range []string{ms.MemberOf, ms.CheckMemberGroups} {
			f.fault.Path = path
			fired := wires.Fault(t, tn, f.fault)
			var err error
			var n int
			if path == ms.MemberOf {
				var of map[string][]string
				of, err = c.MemberOf(t.Context(), connection.Access{Tenant: tn.ID}, ids)
				n = len(of)
			} else {
				var in map[string]bool
				in, err = c.InGroups(t.Context(), connection.Access{Tenant: tn.ID}, ids, []string{outer})
				n = len(in)
			}
			fired()
			wires.Microsoft.ClearFaults()
			if !fault.Is(err, f.kind) || n != 0 {
				t.Errorf("%s, %s: %d answers, %v", path, f.fault.Kind, n, err)
			}
		}
	}
	if of, err := c.MemberOf(t.Context(), connection.Access{Tenant: tn.ID}, []string{"x"}); of != nil || !fault.Is(err, fault.Invalid) {
		t.Errorf("no ID: %v", err)
	}
	if _, err := c.InGroups(t.Context(), connection.Access{Tenant: tn.ID}, ids, make([]string, connection.MaxGroups+1)); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many groups: %v", err)
	}
}

// The pages of a person's groups are followed to the end, or nothing is told.
func TestMemberOfPages(t *testing.T) {
	var base string
	for name, x := range map[string]struct {
		next, page string
		status     int
		want       []string
	}{
		"two pages":    {"BASE/v1.0/users/x/memberOf?$skiptoken=2", `{"value":[{"id":"` + someone + `"}]}`, 200, []string{someone, another}},
		"forgotten":    {"BASE/v1.0/users/x/memberOf?$skiptoken=2", `{"error":{"code":"Directory_ExpiredPageToken"}}`, 400, nil},
		"no page":      {"BASE/v1.0/users/x/memberOf?$skiptoken=2", `{}`, 200, nil},
		"gone":         {"BASE/v1.0/users/x/memberOf?$skiptoken=2", `{"error":{"code":"x"}}`, 404, nil},
		"endless":      {"BASE/v1.0/users/x/memberOf?$skiptoken=2", `{"value":[],"@odata.nextLink":"BASE/v1.0/again"}`, 200, nil},
		"another host": {"https://evil.example/v1.0/users/x/memberOf", `{}`, 200, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first := batches(t, func(_ int, all []asked) []told {
				return []told{{"id": all[0].ID, "status": 200, "body": told{"value": []told{{"id": another}}, "@odata.nextLink": strings.Replace(x.next, "BASE", base, 1)}}}
			})
			calls := 0
			c, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1.0/$batch" {
					first(w, r)
					return
				}
				if calls++; calls > 200 {
					t.Fatal("never ends")
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(x.status)
				_, _ = io.WriteString(w, strings.Replace(x.page, "BASE", base, 1))
			})
			base = url
			of, err := c.MemberOf(t.Context(), connection.Access{Tenant: "t"}, []string{someone})
			if fmt.Sprint(of[someone]) != fmt.Sprint(x.want) || (err == nil) != (x.want != nil) {
				t.Errorf("%v, %v", of, err)
			}
			if fault.Is(err, fault.Expired) {
				t.Error("a link expired that the caller does not have")
			}
		})
	}
}
