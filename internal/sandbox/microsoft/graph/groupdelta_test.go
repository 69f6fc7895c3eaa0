package graph

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const groupsDelta = base + "/v1.0/groups/delta"

// crew is a world with people and groups of the test's own; even groups are
// Microsoft 365 groups, odd ones security groups.
func crew(t *testing.T, people, groups, pageSize, membersPage int) (w *world, p, g []string) {
	t.Helper()
	w = newWorld(t, people, pageSize)
	w.server.MembersPage = membersPage
	for _, x := range w.t.People() {
		p = append(p, x.ID)
	}
	for i := range groups {
		f := tenant.Fields{"displayName": "G" + string(rune('0'+i))}
		if i%2 == 0 {
			f["groupTypes"] = []string{"Unified"}
		}
		g = append(g, w.group(t, f))
	}
	return w, p, g
}

func (w *world) group(tb testingT, f tenant.Fields, members ...string) string {
	tb.Helper()
	id, err := w.t.CreateGroup(f)
	w.must(tb, err)
	for _, m := range members {
		w.must(tb, w.t.AddMember(id, m))
	}
	return id
}

func user(id string) doc { return doc{"@odata.type": "#microsoft.graph.user", "id": id} }
func nested(id string) doc {
	return doc{"@odata.type": "#microsoft.graph.group", "id": id}
}
func left(d doc) doc {
	d["@removed"] = doc{"reason": "deleted"}
	return d
}

// The base permissions read groups too.
func TestGroupDeltaTellsGroupsAndTheirMembers(t *testing.T) {
	w, p, g := crew(t, 3, 2, 200, 500)
	w.must(t, w.t.AddMember(g[0], p[0]))
	w.must(t, w.t.AddMember(g[0], g[1]))
	sel := "?$select=displayName,description,members"
	got, link := w.round(t, groupsDelta+"()"+sel)
	expect(t, "initial", got, []doc{
		{"id": g[0], "displayName": "G0", "members@delta": []any{user(p[0]), nested(g[1])}},
		{"id": g[1], "displayName": "G1"},
	})
	got, link = w.round(t, link)
	expect(t, "quiet round", len(got), 0)

	w.must(t, w.t.RemoveMember(g[0], p[0]))
	w.must(t, w.t.AddMember(g[0], p[0]))
	got, link = w.round(t, link)
	expect(t, "out and in again is told once", got, []doc{{"id": g[0], "displayName": "G0", "members@delta": []any{user(p[0])}}})
	w.must(t, w.t.AddMember(g[0], p[1]))
	got, _ = w.round(t, link, "Prefer", "return=minimal")
	expect(t, "minimal", got, []doc{{"id": g[0], "members@delta": []any{user(p[1])}}})
	w.must(t, w.t.RemoveMember(g[0], p[0]))
	w.must(t, w.t.UpdateGroup(g[1], tenant.Fields{"description": "x"}))
	w.must(t, w.t.UpdateGroup(g[1], tenant.Fields{"description": nil}))
	w.must(t, w.t.UpdateGroup(g[0], tenant.Fields{"mail": "not@selected.example"}))
	got, link = w.round(t, link)
	expect(t, "came, went, and cleared", got, []doc{
		{"id": g[0], "displayName": "G0", "members@delta": []any{user(p[1]), left(user(p[0]))}},
		{"id": g[1], "displayName": "G1", "description": nil},
	})

	w.must(t, w.t.Remove(p[1]))
	got, link = w.round(t, link)
	expect(t, "member deleted", got, []doc{{"id": g[0], "displayName": "G0", "members@delta": []any{left(user(p[1]))}}})
	w.must(t, w.t.Restore(p[1]))
	got, link = w.round(t, link)
	expect(t, "member restored", got, []doc{{"id": g[0], "displayName": "G0", "members@delta": []any{user(p[1])}}})

	w.must(t, w.t.RemoveGroup(g[0]))
	w.must(t, w.t.RemoveGroup(g[1]))
	got, link = w.round(t, link)
	expect(t, "removed", got, []doc{{"id": g[0], "@removed": doc{"reason": "changed"}}, {"id": g[1], "@removed": doc{"reason": "deleted"}}})
	w.must(t, w.t.RestoreGroup(g[0]))
	got, _ = w.round(t, link)
	expect(t, "restored", got, []doc{{"id": g[0], "displayName": "G0", "members@delta": []any{user(p[1])}}})
	got, _ = w.round(t, groupsDelta+sel)
	expect(t, "an initial round may hold removed groups, but no past members", got, []doc{
		{"id": g[1], "@removed": doc{"reason": "deleted"}},
		{"id": g[0], "displayName": "G0", "members@delta": []any{user(p[1])}},
	})
	got, _ = w.round(t, groupsDelta+"?$select=displayName")
	expect(t, "without members", got[1], doc{"id": g[0], "displayName": "G0"})
}

func TestLargeGroupsComeOnSeveralPages(t *testing.T) {
	w := newWorld(t, 0, 2)
	w.server.MembersPage = 3
	var err error
	w.tenants.Delete(w.t.ID)
	if w.t, err = tenant.New(tenant.Spec{People: 20, Teams: 6, Memberships: 50, Seed: 3}, w.server.Now); err != nil {
		t.Fatal(err)
	}
	w.must(t, w.tenants.Add(w.t))

	total, uri := 0, groupsDelta
	pages := map[string][]int{} // of each group, on which it is
	held := map[string]map[string]bool{}
	for page := 0; uri != ""; page++ {
		_, doc1, _ := w.get(t, uri)
		list, members := items(t, doc1), 0
		for _, x := range list {
			id := x["id"].(string)
			pages[id] = append(pages[id], page)
			if held[id] == nil {
				held[id] = map[string]bool{}
			}
			if x["displayName"] == nil {
				t.Errorf("page %d: group without its properties: %v", page, x)
			}
			ms, _ := x["members@delta"].([]any)
			for _, m := range ms {
				members++
				total++
				held[id][m.(doc)["id"].(string)] = true
			}
		}
		if len(list) > 2 || members > 3 {
			t.Errorf("page %d has %d groups and %d members", page, len(list), members)
		}
		uri, _ = doc1["@odata.nextLink"].(string)
	}
	if total != 50+5 { // the one security group holds five teams
		t.Errorf("%d memberships, want 55", total)
	}
	between := false
	for id, on := range pages {
		if want := w.t.Members(id); len(want) != len(held[id]) {
			t.Errorf("group %s: %d members, want %d", id, len(held[id]), len(want))
		}
		for i := 1; i < len(on); i++ {
			between = between || on[i] > on[i-1]+1
		}
	}
	if !between {
		t.Error("no group has others between its pages")
	}
}

func TestGroupSyncStateEnds(t *testing.T) {
	w, _, _ := crew(t, 1, 3, 2, 500)
	_, link := w.round(t, groupsDelta+"?$select=displayName,members")
	w.t.Forget()
	status, body, h := w.get(t, link)
	expect(t, "forgotten", []any{status, code(body), h.Get("Location")},
		[]any{410, "resyncRequired", base + "/v1.0/groups/delta?$select=id,displayName,members&$deltatoken="})
	all, link := w.round(t, h.Get("Location"))
	expect(t, "groups after Location", len(all), 3)
	_, latest := w.round(t, groupsDelta+"?$deltatoken=latest")
	if got, _ := w.round(t, latest); len(got) != 0 {
		t.Errorf("after latest: %v", got)
	}
	_, people := w.round(t, delta)
	for name, uri := range map[string]string{
		"a token of users":   strings.Replace(people, "/users/", "/groups/", 1),
		"a token for users":  strings.Replace(link, "/groups/", "/users/", 1),
		"as a skip":          strings.Replace(link, "$deltatoken", "$skiptoken", 1),
		"a wrong property":   groupsDelta + "?$select=jobTitle",
		"an unknown option":  groupsDelta + "?$orderby=displayName",
		"a made up token":    groupsDelta + "?$skiptoken=abc",
		"a token of no list": base + "/v1.0/groups?$skiptoken=" + link[strings.LastIndex(link, "=")+1:],
	} {
		if status, doc, _ := w.get(t, uri); status != 400 || code(doc) == "syncStateNotFound" {
			t.Errorf("%s: status %d, %v", name, status, doc)
		}
	}
	for kind, want := range map[fault.Kind]string{fault.Resync: "resyncRequired", fault.Expired: "syncStateNotFound"} {
		_, first, _ := w.get(t, groupsDelta)
		id := w.arm(t, fault.Fault{Kind: kind, Path: fault.GroupsDelta, Count: 1})
		_, doc, _ := w.get(t, first["@odata.nextLink"].(string))
		expect(t, string(kind), []any{code(doc), w.faults.Fired(id)}, []any{want, 1})
	}
}

func (w *world) arm(t *testing.T, f fault.Fault) int {
	t.Helper()
	id, err := w.faults.Add(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFaultsOfAGroupPage(t *testing.T) {
	w, p, g := crew(t, 2, 4, 2, 500)
	w.must(t, w.t.AddMember(g[2], p[0]))
	ids := func(d doc) (out []any) {
		for _, x := range items(t, d) {
			out = append(out, x["id"])
		}
		return out
	}
	_, one, _ := w.get(t, groupsDelta)
	next := one["@odata.nextLink"].(string)
	arm := func(k fault.Kind) {
		t.Helper()
		w.arm(t, fault.Fault{Kind: k, Path: fault.GroupsDelta, Count: 1})
	}
	arm(fault.Empty)
	_, empty, _ := w.get(t, next)
	expect(t, "empty page", len(items(t, empty)), 0)
	rest, _ := w.round(t, empty["@odata.nextLink"].(string))
	expect(t, "groups after it", []any{rest[0]["id"], rest[1]["id"]}, []any{g[2], g[3]})

	arm(fault.Replay)
	_, page, _ := w.get(t, next)
	expect(t, "replay", ids(page), []any{g[0], g[1], g[2], g[3]})
	arm(fault.Permute)
	_, page, _ = w.get(t, next)
	expect(t, "permute", ids(page), []any{g[3], g[2]})
	arm(fault.Duplicate)
	_, page, _ = w.get(t, next)
	expect(t, "duplicate", []any{ids(page), items(t, page)[0]["displayName"]}, []any{[]any{g[2], g[2], g[3]}, "Formerly G2"})
	arm(fault.Flap)
	_, page, _ = w.get(t, next)
	expect(t, "flap", ids(page), []any{g[2], g[3], g[2], g[2]})
	expect(t, "flap's members", items(t, page)[3]["members@delta"], []any{user(p[0])})

	replay := w.arm(t, fault.Fault{Kind: fault.Replay, Path: fault.GroupsDelta})
	w.get(t, groupsDelta)
	expect(t, "a replay has nothing to repeat on the first page", w.faults.Fired(replay), 0)
	w.faults.ClearAll()

	for _, f := range []fault.Fault{
		{Kind: fault.Throttle}, {Kind: fault.Error, Status: 503}, {Kind: fault.Forbidden}, {Kind: fault.Cut},
	} {
		for path, uri := range map[string]string{
			fault.Groups: "/groups", fault.Group: "/groups/" + g[0], fault.GroupsDelta: "/groups/delta", fault.MemberOf: "/users/" + p[0] + "/memberOf",
			fault.GroupMembers: "/groups/" + g[0] + "/members", fault.TransitiveMembers: "/groups/" + g[0] + "/transitiveMembers",
		} {
			f.Path = path
			id := w.arm(t, f)
			res, cut := w.do(httptest.NewRequest(http.MethodGet, base+"/v1.0"+uri, nil), w.bearer(t, "GroupMember.Read.All"))
			if !cut && res.Code < 400 || w.faults.Fired(id) != 1 {
				t.Errorf("%s on %s: status %d, fired %d", f.Kind, path, res.Code, w.faults.Fired(id))
			}
			w.faults.ClearAll()
		}
	}
}

func TestOmittedObjects(t *testing.T) {
	w, p, g := crew(t, 2, 2, 200, 500)
	for _, m := range []string{p[0], p[1], g[1]} {
		w.must(t, w.t.AddMember(g[0], m))
	}
	count := func(uri, id string) (n int) {
		t.Helper()
		list, _ := w.all(t, base+"/v1.0"+uri)
		for _, x := range list {
			if x["id"] == id {
				n++
			}
			ms, _ := x["members@delta"].([]any)
			for _, m := range ms {
				if m.(doc)["id"] == id {
					n++
				}
			}
		}
		return n
	}
	for _, c := range []struct {
		path, uri, id string
	}{
		{fault.UsersDelta, "/users/delta", p[0]}, {fault.Users, "/users", p[0]}, {fault.GroupsDelta, "/groups/delta", p[1]},
		{fault.GroupsDelta, "/groups/delta?$select=displayName", g[0]}, {fault.Groups, "/groups", g[1]},
		{fault.TransitiveMembers, "/groups/" + g[0] + "/transitiveMembers", p[1]}, {fault.GroupMembers, "/groups/" + g[0] + "/members", g[1]},
		{fault.MemberOf, "/users/" + p[0] + "/memberOf", g[0]},
	} {
		id := w.arm(t, fault.Fault{Kind: fault.Omit, Path: c.path, Object: c.id, Count: 1})
		got := []int{count(c.uri, c.id), w.faults.Fired(id), count(c.uri, c.id)}
		expect(t, c.uri+" with, fired, without", got, []int{0, 1, 1})
	}
	id := w.arm(t, fault.Fault{Kind: fault.Omit, Object: w.t.ID})
	count("/users", "")
	expect(t, "an object that is not there cannot be left out", w.faults.Fired(id), 0)
	if _, err := w.faults.Add(fault.Fault{Kind: fault.Omit}); err == nil {
		t.Error("an omission of nothing was accepted")
	}
}

// all reads a list or a delta round to its end.
func (w *world) all(t *testing.T, uri string, header ...string) (list []doc, pages int) {
	t.Helper()
	for ; uri != ""; pages++ {
		status, d, _ := w.get(t, uri, header...)
		if status != http.StatusOK {
			t.Fatalf("%s: status %d: %v", uri, status, d)
		}
		list = append(list, items(t, d)...)
		uri, _ = d["@odata.nextLink"].(string)
	}
	return list, pages
}
