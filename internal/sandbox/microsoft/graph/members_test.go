package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// ask sends one request with the roles and reads the answer.
func (w *world) ask(t *testing.T, method, uri, body string, roles []string, header ...string) (int, doc, http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, base+"/v1.0"+uri, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, _ := w.do(r, w.bearer(t, roles...))
	var d doc
	if err := json.Unmarshal(res.Body.Bytes(), &d); err != nil {
		t.Fatalf("%s: %s", uri, res.Body)
	}
	return res.Code, d, res.Header()
}

var basic = []string{"User.Read.All", "GroupMember.Read.All"}

func idsOf(list []doc) (out []string) {
	for _, x := range list {
		out = append(out, x["id"].(string))
	}
	return out
}

func TestMembersAreListedFlatAndInPages(t *testing.T) {
	w, p, g := crew(t, 5, 3, 200, 500)
	for _, l := range [][2]string{{g[0], p[0]}, {g[0], g[1]}, {g[1], p[1]}, {g[1], p[0]}, {g[1], g[2]}, {g[2], p[4]}, {g[2], g[0]}, {g[2], p[2]}} {
		w.must(t, w.t.AddMember(l[0], l[1]))
	}
	at := "/groups/" + g[0]
	list, pages := w.all(t, base+"/v1.0"+at+"/transitiveMembers?$top=2&$select=id,displayName,jobTitle")
	got := idsOf(list)
	slices.Sort(got)
	want := []string{p[0], p[1], p[2], p[4], g[1], g[2]}
	slices.Sort(want)
	expect(t, "transitive members", []any{got, pages}, []any{want, 3})
	for _, x := range list {
		isGroup := x["@odata.type"] == "#microsoft.graph.group"
		if _, job := x["jobTitle"]; isGroup != slices.Contains(g, x["id"].(string)) || job == isGroup || x["displayName"] == nil {
			t.Errorf("member %v", x)
		}
	}
	list, _ = w.all(t, base+"/v1.0"+at+"/members")
	expect(t, "direct members", idsOf(list), []string{p[0], g[1]})
	list, _ = w.all(t, base+"/v1.0/users/"+p[0]+"/memberOf?$top=1&$select=displayName")
	expect(t, "member of", list, []doc{
		{"@odata.type": "#microsoft.graph.group", "id": g[0], "displayName": "G0"}, {"@odata.type": "#microsoft.graph.group", "id": g[1], "displayName": "G1"}})

	// Who joins and leaves between two pages does not hide who stays.
	_, one, _ := w.ask(t, "GET", at+"/transitiveMembers?$top=3", "", basic)
	first := idsOf(items(t, one))
	w.must(t, w.t.Remove(p[0]))
	w.must(t, w.t.AddMember(g[2], p[3]))
	rest, _ := w.all(t, one["@odata.nextLink"].(string))
	for _, id := range []string{p[1], p[2], p[4], g[1], g[2]} {
		n := 0
		for _, x := range slices.Concat(first, idsOf(rest)) {
			if x == id {
				n++
			}
		}
		expect(t, "times that one who stays was listed", n, 1)
	}

	advanced := []string{"ConsistencyLevel", "eventual"}
	for _, path := range []string{at + "/members", at + "/transitiveMembers", "/users/" + p[1] + "/memberOf"} {
		for uri, h := range map[string][]string{
			path + "/microsoft.graph.user": nil, path + "/microsoft.graph.group?$count=true": nil, path + "/microsoft.graph.group": advanced} {
			status, d, _ := w.ask(t, "GET", uri, "", basic, h...)
			expect(t, uri, []any{status, code(d)}, []any{400, "Request_UnsupportedQuery"})
		}
		if status, _, _ := w.ask(t, "GET", path+"/microsoft.graph.device?$count=true", "", basic, advanced...); status != 400 {
			t.Errorf("an unknown cast: %d", status)
		}
	}
	_, d, _ := w.ask(t, "GET", at+"/transitiveMembers/microsoft.graph.user?$count=true&$top=1", "", basic, advanced...)
	expect(t, "users of it", []any{d["@odata.count"], len(items(t, d))}, []any{4.0, 1})
	list, _ = w.all(t, d["@odata.nextLink"].(string), advanced...)
	if both := append(idsOf(items(t, d)), idsOf(list)...); len(both) != 4 || slices.Contains(both, g[1]) {
		t.Errorf("users by cast: %v", both)
	}
	_, d, _ = w.ask(t, "GET", at+"/members/microsoft.graph.group?$count=true", "", basic, advanced...)
	expect(t, "groups of it", []any{d["@odata.count"], idsOf(items(t, d))}, []any{1.0, []string{g[1]}})

	next := one["@odata.nextLink"].(string)
	for name, uri := range map[string]string{
		"another group's page": strings.Replace(next, g[0], g[1], 1), "another list's page": strings.Replace(next, "transitiveMembers", "members", 1),
		"too large a page": at + "/members?$top=1000", "a property of nothing": at + "/members?$select=shoeSize", "filter": at + "/members?$filter=x"} {
		if status, _, _ := w.ask(t, "GET", strings.TrimPrefix(uri, base+"/v1.0"), "", basic); status != 400 {
			t.Errorf("%s: status %d", name, status)
		}
	}
	for _, uri := range []string{"/groups/" + p[1], "/groups/" + p[1] + "/members", "/users/" + g[1] + "/memberOf", "/groups/x/transitiveMembers"} {
		status, d, _ := w.ask(t, "GET", uri, "", basic)
		expect(t, uri, []any{status, code(d)}, []any{404, "Request_ResourceNotFound"})
	}
	// Without the permission to read people they are only type and ID.
	_, d, _ = w.ask(t, "GET", at+"/transitiveMembers?$select=mail,jobTitle", "", []string{"GroupMember.Read.All"})
	for _, x := range items(t, d) {
		if x["@odata.type"] == "#microsoft.graph.user" {
			expect(t, "unreadable member", x, doc{"@odata.type": "#microsoft.graph.user", "id": x["id"], "mail": nil, "jobTitle": nil})
		}
	}
}

func TestHiddenMembershipsAreLeftOutQuietly(t *testing.T) {
	w, p, g := crew(t, 2, 1, 200, 500)
	hidden := w.group(t, tenant.Fields{"displayName": "Secret", "visibility": "HiddenMembership", "groupTypes": []string{"Unified"}}, p[0])
	w.must(t, w.t.AddMember(g[0], hidden))
	w.must(t, w.t.AddMember(g[0], p[1]))
	body := fmt.Sprintf(`{"groupIds":[%q,%q]}`, g[0], hidden)
	for _, c := range []struct {
		roles                                  []string
		members, transitive, memberOf, checked []string
		delta                                  int
	}{
		{basic, nil, []string{hidden, p[1]}, nil, []string{}, 2},
		{append([]string{"Member.Read.Hidden"}, basic...), []string{p[0]}, []string{hidden, p[0], p[1]}, []string{hidden}, []string{g[0], hidden}, 3},
	} {
		read := func(uri string) []string {
			status, d, _ := w.ask(t, "GET", uri, "", c.roles)
			expect(t, uri, status, 200)
			ids := idsOf(items(t, d))
			slices.Sort(ids)
			return ids
		}
		slices.Sort(c.transitive)
		expect(t, "members", read("/groups/"+hidden+"/members"), c.members)
		expect(t, "transitive members", read("/groups/"+g[0]+"/transitiveMembers"), c.transitive)
		expect(t, "member of", read("/users/"+p[0]+"/memberOf"), c.memberOf)
		_, d, _ := w.ask(t, "POST", "/users/"+p[0]+"/checkMemberGroups", body, c.roles)
		expect(t, "checked", fmt.Sprint(d["value"]), fmt.Sprint(c.checked))
		_, d, _ = w.ask(t, "GET", "/groups/delta", "", c.roles)
		n := 0
		for _, x := range items(t, d) {
			ms, _ := x["members@delta"].([]any)
			n += len(ms)
		}
		expect(t, "memberships in the delta", n, c.delta)
	}
}

func TestCheckMemberGroups(t *testing.T) {
	w, p, g := crew(t, 2, 4, 200, 500)
	for _, l := range [][2]string{{g[0], p[0]}, {g[1], g[0]}, {g[2], g[1]}, {g[1], g[2]}} {
		w.must(t, w.t.AddMember(l[0], l[1]))
	}
	all := fmt.Sprintf(`{"groupIds":[%q,%q,%q,%q,%q]}`, g[3], g[2], g[0], g[1], w.t.ID)
	upn, _ := w.t.Person(p[0])
	for uri, want := range map[string][]any{
		"/users/" + p[0]:                  {g[2], g[0], g[1]},
		"/users/" + upn.UserPrincipalName: {g[2], g[0], g[1]},
		"/directoryObjects/" + p[0]:       {g[2], g[0], g[1]},
		"/directoryObjects/" + p[1]:       {},
		"/directoryObjects/" + g[0]:       {g[2], g[1]},
	} {
		status, d, h := w.ask(t, "POST", uri+"/checkMemberGroups", all, basic)
		expect(t, uri, []any{status, d["value"], h.Get("x-ms-resource-unit")}, []any{200, want, "4"})
	}
	many := `{"groupIds":[` + strings.Repeat(`"`+w.t.ID+`",`, 20) + `"` + w.t.ID + `"]}`
	for body, want := range map[string]int{many: 400, `{}`: 400, `x`: 400, `{"groupIds":["x"]}`: 400} {
		status, _, _ := w.ask(t, "POST", "/users/"+p[0]+"/checkMemberGroups", body, basic)
		expect(t, body, status, want)
	}
	for _, id := range []string{"/users/" + g[0], "/users/x", "/directoryObjects/" + w.t.ID} {
		status, _, _ := w.ask(t, "POST", id+"/checkMemberGroups", all, basic)
		expect(t, id, status, 404)
	}

	body := func(types string) string { return fmt.Sprintf(`{"ids":[%q,%q,%q]%s}`, g[0], p[0], w.t.ID, types) }
	for types, want := range map[string][]string{``: {g[0], p[0]}, `,"types":["group"]`: {g[0]}, `,"types":["user"]`: {p[0]}, `,"types":["group","user"]`: {g[0], p[0]}} {
		_, d, _ := w.ask(t, "POST", "/directoryObjects/getByIds?$select=displayName", body(types), basic)
		expect(t, "by IDs"+types, idsOf(items(t, d)), want)
	}
	_, d, _ := w.ask(t, "POST", "/directoryObjects/getByIds?$select=displayName,visibility", body(`,"types":["group"]`), basic)
	expect(t, "a group by ID", items(t, d), []doc{{"@odata.type": "#microsoft.graph.group", "id": g[0], "displayName": "G0", "visibility": nil}})
}

func TestGroupsAreFoundByNameAndKind(t *testing.T) {
	w := newWorld(t, 1, 200)
	team := w.group(t, tenant.Fields{"displayName": "Sales EMEA", "groupTypes": []string{"Unified"}, "resourceProvisioningOptions": []string{"Team"}})
	list := w.group(t, tenant.Fields{"displayName": "PresalesTeam2", "groupTypes": []string{"Unified"}})
	sec := w.group(t, tenant.Fields{"displayName": "O'Neil's sales", "securityEnabled": true, "description": "d"})
	eventual := []string{"ConsistencyLevel", "eventual"}
	for uri, want := range map[string][]string{
		"?$filter=resourceProvisioningOptions/Any(x:x%20eq%20'Team')":         {team},
		"?$filter=groupTypes/any(c:c+eq+'unified')":                           {team, list},
		"?$filter=startswith(displayName,'o''n')":                             {sec},
		`?$search="displayName:sales"`:                                        {team, sec},
		`?$search="displayName:sales%20e"`:                                    {team},
		`?$search="displayName:team"`:                                         {list},
		`?$search="displayName:2"`:                                            {list},
		`?$search="displayName:ales"`:                                         nil,
		`?$search="displayName:sal"&$filter=groupTypes/any(c:c+eq+'Unified')`: {team},
		"?$top=1": {team},
	} {
		status, d, _ := w.ask(t, "GET", "/groups"+uri, "", basic, eventual...)
		expect(t, uri, []any{status, idsOf(items(t, d))}, []any{200, want})
	}
	status, d, _ := w.ask(t, "GET", `/groups?$search="displayName:sales"`, "", basic)
	expect(t, "search without the header", []any{status, code(d)}, []any{400, "Request_UnsupportedQuery"})
	_, d, h := w.ask(t, "GET", "/groups?$count=true&$top=2&$select=displayName", "", basic, eventual...)
	expect(t, "count", []any{d["@odata.count"], items(t, d)[1], d["@odata.context"], h.Get("x-ms-resource-unit")},
		[]any{3.0, doc{"id": list, "displayName": "PresalesTeam2"}, base + "/v1.0/$metadata#groups(id,displayName)", "1"})
	rest, _ := w.all(t, d["@odata.nextLink"].(string), eventual...)
	expect(t, "next page", idsOf(rest), []string{sec})
	_, d, _ = w.ask(t, "GET", "/groups/"+sec+"?$select=description,securityEnabled,mail,groupTypes", "", basic)
	expect(t, "one", d, doc{"@odata.context": base + "/v1.0/$metadata#groups(id,description,mail,securityEnabled,groupTypes)/$entity",
		"id": sec, "description": "d", "securityEnabled": true, "mail": nil, "groupTypes": []any{}})
	for _, uri := range []string{"?$filter=members/any(x:x+eq+'a')", "?$filter=groupTypes/any(a:b+eq+'x')", "?$search=sales", `?$search="mail:x"`, "?$select=members", "?$orderby=x", "?$top=0"} {
		if status, _, _ := w.ask(t, "GET", "/groups"+uri, "", basic, eventual...); status != 400 {
			t.Errorf("%s: status %d", uri, status)
		}
	}
	for _, uri := range []string{"/groups", "/groups/delta", "/groups/" + team, "/groups/" + team + "/members", "/groups/" + team + "/transitiveMembers"} {
		if status, _, _ := w.ask(t, "GET", uri, "", []string{"User.Read.All"}); status != 403 {
			t.Errorf("%s with a role for people only: %d", uri, status)
		}
	}
	for path, want := range map[string]string{"/members": "3", "/transitiveMembers": "5", "/transitiveMembers?$select=id": "4"} {
		_, _, h := w.ask(t, "GET", "/groups/"+team+path, "", basic)
		expect(t, "units of "+path, h.Get("x-ms-resource-unit"), want)
	}
}

func FuzzGroupQuery(f *testing.F) {
	f.Add("resourceProvisioningOptions/Any(x:x eq 'Team')", `"displayName:sales"`, "id,displayName,jobTitle", []byte(`{"groupIds":["62e90394-69f5-4237-9190-012177145e10"]}`))
	f.Add("startswith(displayName,'o''n')", `"displayName:"`, "members", []byte(`{}`))
	g := &tenant.Group{DisplayName: "Straße İ 2"}
	f.Fuzz(func(t *testing.T, where, search, sel string, body []byte) {
		if match, err := groupFilter(where); err == nil && match != nil {
			match(g)
		}
		if match, err := groupSearch(search); err == nil && match != nil {
			match(g)
		}
		if show, err := selectedOfMember(sel); err == nil && (show.person&tenant.PropID == 0 || show.group&tenant.GroupMembers != 0) {
			t.Errorf("selected %+v", show)
		}
		if ids, err := parseGroupIDs(body); err == nil && (len(ids) == 0 || len(ids) > maxGroupIDs) {
			t.Errorf("%d ids", len(ids))
		}
	})
}

// A first enumeration of two million memberships, without the network.
func BenchmarkGroupsDelta2M(b *testing.B) {
	w := newWorld(b, 0, 200)
	w.tenants.Delete(w.t.ID)
	var err error
	w.t, err = tenant.New(tenant.Spec{People: 100_000, Teams: 5000, Memberships: 2_000_000, Seed: 1}, func() time.Time { return w.now })
	w.must(b, err)
	w.must(b, w.tenants.Add(w.t))
	bearer := w.bearer(b, "GroupMember.Read.All")
	for b.Loop() {
		uri, members := groupsDelta, 0
		for uri != "" {
			res, _ := w.do(httptest.NewRequest(http.MethodGet, uri, nil), bearer)
			members += bytes.Count(res.Body.Bytes(), []byte(`"#microsoft.graph.user"`))
			_, rest, _ := strings.Cut(res.Body.String(), `"@odata.nextLink":"`)
			uri, _, _ = strings.Cut(rest, `"`)
		}
		if members != 2_000_000 {
			b.Fatalf("%d memberships", members)
		}
	}
}
