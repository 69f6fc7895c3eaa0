package graph

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
)

const users = base + "/v1.0/users"

func three(t *testing.T) (w *world, boss, oneil, plain string) {
	w = newWorld(t, 0, 200)
	boss = w.person(t, tenant.Fields{"userPrincipalName": "boss@x.example", "displayName": "Boss", "accountEnabled": false})
	oneil = w.person(t, tenant.Fields{"userPrincipalName": "s.o'neil@x.example", "displayName": "O'Neil", "manager": boss})
	plain = w.person(t, tenant.Fields{"userPrincipalName": "Sam@x.example", "jobTitle": "A, (B) or C"})
	return w, boss, oneil, plain
}

func TestUsersList(t *testing.T) {
	w, boss, oneil, plain := three(t)
	q := func(s string) string { return users + "?$select=id&" + strings.ReplaceAll(s, " ", "%20") }
	for query, want := range map[string][]string{
		"$filter=startswith(userPrincipalName,'s')":                                                 {oneil, plain},
		"$filter=startswith(userPrincipalName,'s.o''')":                                             {oneil},
		"$filter=id in ('" + plain + "', '" + boss + "')":                                           {boss, plain},
		"$filter=jobTitle eq 'A, (B) or C'":                                                         {plain},
		"$filter=accountEnabled eq false or not (displayName ne 'o''neil')":                         {boss, oneil},
		"$filter=startswith(userPrincipalName,'s') and accountEnabled eq true and jobTitle eq null": {oneil},
		"$top=999": {boss, oneil, plain},
	} {
		_, d, _ := w.get(t, q(query))
		var got []string
		for _, x := range items(t, d) {
			got = append(got, x["id"].(string))
		}
		expect(t, query, got, want)
	}
	_, d, _ := w.get(t, users+"?$select=id,displayName,jobTitle&$expand=manager($select=id)&$top=2&$count=true", "ConsistencyLevel", "eventual")
	expect(t, "expanded", items(t, d), []doc{
		{"id": boss, "displayName": "Boss", "jobTitle": nil},
		{"id": oneil, "displayName": "O'Neil", "jobTitle": nil, "manager": doc{"@odata.type": "#microsoft.graph.user", "id": boss}},
	})
	expect(t, "count", d["@odata.count"], 3.0)
	next, err := url.Parse(d["@odata.nextLink"].(string))
	if err != nil || next.Query().Get("$top") != "2" {
		t.Fatalf("next link %v: %v", next, err)
	}
	_, d, _ = w.get(t, next.String())
	expect(t, "second page", len(items(t, d)), 1)
	if d["@odata.nextLink"] != nil {
		t.Error("the last page has a next link")
	}

	for query, status := range map[string]int{
		"$top=0": 400, "$top=1000": 400, "$orderby=id": 400, "$filter=startswith(x,'y')": 400, "$filter=(": 400, "$filter=id in ()": 400,
		"$expand=directReports": 400, "$select=nonsense": 400, "$select=birthday": 501, "$skiptoken=zz": 400, "$top=1&$top=2": 400,
		"$filter=" + strings.Repeat("not ", 30) + "id eq 'x'": 400,
	} {
		if got, d, _ := w.get(t, users+"?"+strings.ReplaceAll(query, " ", "%20")); got != status {
			t.Errorf("%s: status %d, want %d: %v", query, got, status, d)
		}
	}
}

func TestUserCountAndOrganization(t *testing.T) {
	w, boss, oneil, _ := three(t)
	for key, want := range map[string]int{oneil: 200, "S.O'NEIL@x.example": 200, "nobody@x.example": 404} {
		if got, d, _ := w.get(t, users+"/"+url.PathEscape(key)); got != want {
			t.Errorf("%s: status %d: %v", key, got, d)
		}
	}
	_, d, _ := w.get(t, users+"/"+oneil+"?$select=displayName&$expand=manager($select=displayName)")
	expect(t, "manager", d["manager"], doc{"@odata.type": "#microsoft.graph.user", "id": boss, "displayName": "Boss"})
	w.must(t, w.t.Remove(oneil))
	if got, d, _ := w.get(t, users+"/"+oneil); got != 404 || code(d) != "Request_ResourceNotFound" {
		t.Errorf("removed: %d %v", got, d)
	}
	if got, _, _ := w.get(t, users+"/$count"); got != 400 {
		t.Errorf("count without ConsistencyLevel: %d", got)
	}
	r := httptest.NewRequest(http.MethodGet, users+"/$count", nil)
	r.Header.Set("ConsistencyLevel", "eventual")
	res, _ := w.do(r, w.bearer(t, "User.Read.All"))
	expect(t, "count", []string{res.Header().Get("Content-Type"), res.Body.String()}, []string{"text/plain", "2"})

	_, d, _ = w.get(t, base+"/v1.0/organization?$select=id,verifiedDomains")
	org := items(t, d)[0]
	expect(t, "organization", []any{len(items(t, d)), org["id"], org["verifiedDomains"].([]any)[0].(doc)["name"], len(org)}, []any{1, w.t.ID, w.t.Domain, 2})
	expect(t, "calls", w.t.Calls(), map[string]int{"user": 5, "users.count": 2, "organization": 1})
}

func TestByIDs(t *testing.T) {
	w, boss, oneil, plain := three(t)
	w.must(t, w.t.Remove(oneil))
	post := func(query, body string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, base+"/v1.0/directoryObjects/getByIds"+query, strings.NewReader(body))
		res, _ := w.do(r, w.bearer(t, "User.Read.All"))
		return res.Code, res.Body.String()
	}
	status, got := post("?$select=id", `{"ids":["`+strings.ToUpper(boss)+`","`+oneil+`","`+plain+`","00000000-0000-0000-0000-000000000000"],"types":["user"]}`)
	want := `{"@odata.context":"` + base + `/v1.0/$metadata#directoryObjects(id)","value":[` +
		`{"@odata.type":"#microsoft.graph.user","id":"` + boss + `"},{"@odata.type":"#microsoft.graph.user","id":"` + plain + `"}]}`
	expect(t, "present ones only", []any{status, got}, []any{200, want})
	if _, got := post("?$select=id", `{"ids":["`+boss+`"],"types":["group"]}`); strings.Contains(got, boss) {
		t.Error("a user among groups")
	}
	many := `{"ids":["` + strings.Repeat(boss+`","`, 1000) + boss + `"]}`
	for _, bad := range []string{"", "{}", `{"ids":["x"]}`, `[]`, many, strings.Repeat("x", 200<<10)} {
		if status, _ := post("", bad); status != 400 {
			t.Errorf("%.40s: status %d", bad, status)
		}
	}
}

func TestOnlyAGoodTokenWithTheRoleOpensAPath(t *testing.T) {
	w := newWorld(t, 1, 200)
	other, err := tenant.New(tenant.Spec{Seed: 99}, func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change string, v any) string {
		c := map[string]any{"aud": base, "tid": w.t.ID, "roles": []string{"User.Read.All"}, "nbf": w.now.Unix(), "exp": w.now.Add(time.Hour).Unix(), change: v}
		tok, err := keyring().Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + tok
	}
	good := claims("x", 1)
	for name, c := range map[string]struct {
		path, bearer string
		status       int
		code         string
	}{
		"good":             {"/users", good, 200, ""},
		"array audience":   {"/users", claims("aud", []string{base + "/"}), 200, ""},
		"none":             {"/users", "", 401, "InvalidAuthenticationToken"},
		"basic":            {"/users", "Basic YTpi", 401, "InvalidAuthenticationToken"},
		"junk":             {"/users", "Bearer a.b.c", 401, "InvalidAuthenticationToken"},
		"forged signature": {"/users", good[:len(good)-8] + "AAAAAAAA", 401, "InvalidAuthenticationToken"},
		"expired":          {"/users", claims("exp", w.now.Add(-time.Hour).Unix()), 401, "InvalidAuthenticationToken"},
		"not yet":          {"/users", claims("nbf", w.now.Add(time.Hour).Unix()), 401, "InvalidAuthenticationToken"},
		"other audience":   {"/users", claims("aud", "https://vault.azure.net"), 401, "InvalidAuthenticationToken"},
		"unknown tenant":   {"/users", claims("tid", other.ID), 401, "InvalidAuthenticationToken"},
		"no role":          {"/users/delta", claims("roles", nil), 403, "Authorization_RequestDenied"},
		"another role":     {"/organization", good, 403, "Authorization_RequestDenied"},
		"directory role":   {"/organization", claims("roles", []string{"Directory.Read.All"}), 200, ""},
		"unknown path":     {"/devices", good, 400, "BadRequest"},
	} {
		r := httptest.NewRequest(http.MethodGet, base+"/v1.0"+c.path, nil)
		res, _ := w.do(r, c.bearer)
		if res.Code != c.status || !strings.Contains(res.Body.String(), c.code) {
			t.Errorf("%s: status %d, want %d %s: %s", name, res.Code, c.status, c.code, res.Body)
		}
	}
}

// Whoever lists by beginnings only is spared a walk past everybody.
func TestBegin(t *testing.T) {
	for s, want := range map[string][]string{
		"startswith(userPrincipalName,'A')": {"a"},
		"startswith(userPrincipalName,'a') or (startswith(userPrincipalName,'B') or startswith(userPrincipalName,''''))": {"a", "b", "'"},
		"startswith(userPrincipalName,'a') or startswith(mail,'b')":                                                      nil,
		"startswith(userPrincipalName,'a') or accountEnabled eq true":                                                    nil,
		"not (startswith(userPrincipalName,'a') or startswith(userPrincipalName,'b'))":                                   nil,
	} {
		if who, err := filter(s); err != nil || !slices.Equal(who.Begin, want) {
			t.Errorf("%s: begins with any of %q, want %q, error %v", s, who.Begin, want, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"startswith(userPrincipalName,'o''n')", "id in ('a','b')", "not (accountEnabled eq true or mail ne null)", "'", "((", "mail eq 'x", "İ eq 'x'",
		"(startswith(UserPrincipalName,'O'''))", "not startswith(userPrincipalName,'x')", "startswith(userPrincipalName,'x') or id eq 'a'",
		"startswith(userPrincipalName,'x') or startswith(userPrincipalName,'o') and startswith(userPrincipalName,'O''')", "startswith(mail,'x') or startswith(userPrincipalName,'x')"} {
		f.Add(s)
	}
	p := &tenant.Person{ID: "a", Mail: "x", UserPrincipalName: "o'Neil@x"}
	f.Fuzz(func(t *testing.T, s string) {
		who, err := filter(s)
		if err != nil || who.Match == nil {
			return
		}
		got := who.Match(p)
		if negated, err := filter("not (" + s + ")"); err == nil && negated.Match(p) == got {
			t.Errorf("%q and its negation agree", s)
		}
		begins := func(b string) bool { return strings.HasPrefix("o'neil@x", b) }
		if got && who.Begin != nil && !slices.ContainsFunc(who.Begin, begins) {
			t.Errorf("%q lets in who does not begin with any of %q", s, who.Begin)
		}
	})
}

func FuzzLinkToken(f *testing.F) {
	w := newWorld(f, 0, 200)
	good := w.server.close(link{Kind: deltaLink, Tenant: w.t.ID})
	f.Add(good)
	f.Add("")
	f.Add(strings.Repeat("A", 5000))
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := w.server.open(s, deltaLink, w.t); err == nil && s != good {
			t.Errorf("opened %q, which was never issued", s)
		}
	})
}

func FuzzByIDs(f *testing.F) {
	f.Add([]byte(`{"ids":["62e90394-69f5-4237-9190-012177145e10"],"types":["user"]}`))
	f.Add([]byte(`{"ids":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, _, _, err := parseByIDs(b)
		if err == nil && (len(ids) == 0 || len(ids) > maxIDs) {
			t.Errorf("%d ids", len(ids))
		}
	})
}

func FuzzSelectAndExpand(f *testing.F) {
	f.Add("id,mail", "manager($select=id)")
	f.Add(",", "manager($select=)")
	f.Fuzz(func(t *testing.T, sel, exp string) {
		if p, err := selected(sel, tenant.PropDefault); err == nil && p&tenant.PropID == 0 {
			t.Error("a selection without id")
		}
		if p, err := expanded(exp); err == nil && p&tenant.PropManager != 0 {
			t.Error("a manager within the manager")
		}
	})
}

// A first enumeration of 100,000 people, without the network.
func BenchmarkDelta100k(b *testing.B) {
	w := newWorld(b, 100_000, 200)
	bearer := w.bearer(b, "User.Read.All")
	for b.Loop() {
		uri, pages := base+"/v1.0/users/delta?$select="+seedFields, 0
		for ; uri != ""; pages++ {
			res, _ := w.do(httptest.NewRequest(http.MethodGet, uri, nil), bearer)
			_, rest, more := strings.Cut(res.Body.String(), `"@odata.nextLink":"`)
			if uri, _, _ = strings.Cut(rest, `"`); !more {
				uri = ""
			}
		}
		if pages != 500 && pages != 501 {
			b.Fatalf("%d pages", pages)
		}
	}
}
