package proof

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// hostileName is what somebody may call themselves, their company or a team.
const hostileName = `</title></h1><script>alert(1)</script>"><img src=x onerror=alert(1)>'&amp;{{.}}<!-- \u003cb\u003e`

// fetch is a request by a stranger, or with the function key, and what came.
func (f forger) fetch(path string, header ...string) (*http.Response, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.PublicURL+strings.TrimPrefix(path, f.PublicURL), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := f.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(b)
}

// inert fails if the page holds anything that runs, loads or frames.
func (f forger) inert(what, page string) {
	f.t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		f.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode {
			f.t.Errorf("%s: a comment: %s", what, n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "img", "iframe", "object", "embed", "base", "b"}, n.Data) {
			f.t.Errorf("%s: an element %s", what, n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || strings.Contains(strings.ToLower(a.Val), "javascript:") {
				f.t.Errorf("%s: an attribute %s=%q", what, a.Key, a.Val)
			}
		}
	}
}

// What a company, a tenant and its people call themselves is text, wherever it
// is shown, and no browser takes an answer of the machine API for a page.
func TestThreatMarkup(t *testing.T) {
	b := siegeOf(t)
	f := forger{Sandbox: b.Sandbox, t: t}
	tn, err := b.Microsoft.NewTenant(tenant.Spec{Name: hostileName, Domain: "markup.example", People: 3, Teams: 1, Memberships: 3})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := b.Invite(t.Context(), hostileName, hostileName)
	if err != nil {
		t.Fatal(err)
	}
	c := customer{tn, inv}
	who := tn.People()[0].ID
	if err := tn.Update(who, tenant.Fields{
		"displayName": hostileName, "givenName": hostileName, "surname": hostileName, "jobTitle": hostileName, "department": hostileName,
	}); err != nil {
		t.Fatal(err)
	}
	if err := tn.UpdateGroup(tn.Groups()[0].ID, tenant.Fields{"displayName": hostileName}); err != nil {
		t.Fatal(err)
	}

	pages := 0
	look := func(what string) {
		t.Helper()
		for _, language := range []string{"en", "fr", "nl", "de"} {
			resp, page := f.fetch(c.Link, "Accept-Language", language)
			f.inert(what, page)
			if !strings.Contains(page, html.EscapeString("<script>alert(1)</script>")) {
				t.Errorf("%s does not name the company: %s", what, page)
			}
			csp := resp.Header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script-src") || !strings.Contains(csp, "frame-ancestors 'none'") ||
				!strings.Contains(csp, "base-uri 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s: headers %v", what, resp.Header)
			}
			pages++
		}
	}
	look("the invitation")
	v := visit(t, b.Sandbox)
	if p := v.signIn(c.Link, c.employee()); p.Status != 403 || !strings.Contains(p.Text, "alert(1)") {
		t.Errorf("the refusal is %d: %s", p.Status, p.Text)
	}
	v.press(v.signIn(c.Link, c.admin()), accept)
	awaitRuns(t, b.Sandbox, c, 1)
	look("the page of a connected tenant")

	// A callback's own text is nowhere.
	_, page := f.fetch("/consent/callback?error=" + "%3Cscript%3Ealert(1)%3C/script%3E&error_description=%3Cimg%20src=x%3E")
	f.inert("the callback", page)

	for _, path := range []string{
		"/v1/connections?limit=1000", c.path(""), c.path("/people"), c.path("/people/" + who), c.path("/teams"), c.path("/positions"), c.path("/changes?after=0"),
		c.path("/runs"), c.path("/audit"), c.path("/removals"), c.path("/licenses"), c.path("/groups?search=%3Cscript%3E"), c.path("/people?continuation=%3Cscript%3E"),
		"/v1/connections/%3Cscript%3E", "/v1/<script>", "/v1/service",
	} {
		resp, body := f.fetch(path, "X-Functions-Key", f.FunctionKey, "Accept", "text/html,*/*;q=0.1")
		kind := resp.Header.Get("Content-Type")
		if kind != "application/json" && kind != "application/problem+json" || resp.Header.Get("X-Content-Type-Options") != "nosniff" && resp.StatusCode != 400 {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
		if strings.ContainsAny(body, "<>&") || !json.Valid([]byte(body)) {
			t.Errorf("%s: %s", path, body)
		}
	}
	check(t, b.Sandbox, c) // each name is stored as it is
	things, err := b.Things(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, kind := range []string{"team", "position"} {
		for _, th := range things[kind] {
			for _, name := range []string{"displayName", "title", "name"} {
				if th.Properties[name] == hostileName {
					named++
				}
			}
		}
	}
	if named != 2 {
		t.Errorf("%d of a team and a position have their name: %v", named, things)
	}
	t.Logf("%d pages", pages)
}

// formulas are what a spreadsheet would run, and what a careless reader of a
// report would trip over.
var formulas = []string{
	`=cmd|' /C calc'!A0@x.example`, `+1+cmd|' /C calc'!A0@x.example`, `-2+3+cmd@x.example`, `@SUM(1+9)*cmd@x.example`, `=HYPERLINK("https://evil.example","x")@x.example`,
	`"quoted","cells";x@x.example`, "two\nlines@x.example", "a\ttab@x.example", `'=1+1@x.example`, `%0A=1@x.example`, "\u202e=1@x.example",
}

// A report's cells are text and stay what they are; nothing is ever written as
// CSV.
func TestThreatCSVFormulas(t *testing.T) {
	b := siegeOf(t)
	f := forger{Sandbox: b.Sandbox, t: t}
	tn, err := b.Microsoft.NewTenant(tenant.Spec{People: len(formulas) + 5})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := b.InviteWith(t.Context(), "formulas", "=1+1", map[string]any{"mailboxes": true})
	if err != nil {
		t.Fatal(err)
	}
	c := customer{tn, inv}
	want := map[string]tenant.Mailbox{}
	for i, p := range tn.People()[:len(formulas)] {
		m := tenant.Mailbox{Items: int64(i), Used: int64(1000 + i), NoReceive: 1 << 40}
		if err := tn.Update(p.ID, tenant.Fields{"userPrincipalName": formulas[i], "displayName": formulas[i], "mail": formulas[i], "jobTitle": "=1+1"}); err != nil {
			t.Fatal(err)
		}
		if err := tn.SetMailbox(p.ID, m); err != nil {
			t.Fatal(err)
		}
		want[formulas[i]] = m
	}
	if _, err := b.Consent(t.Context(), c.Link, c.admin()); err != nil {
		t.Fatal(err)
	}
	if r := awaitRuns(t, b.Sandbox, c, 1)[0]; r.State != "succeeded" {
		t.Fatalf("run %+v %+v", r, r.Problem)
	}
	check(t, b.Sandbox, c)
	things, err := b.Things(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range things["mailbox"] {
		name, _ := th.Properties["userPrincipalName"].(string)
		if m, ok := want[name]; ok {
			if delete(want, name); th.Properties["storageUsed"] != float64(m.Used) || th.Properties["itemCount"] != float64(m.Items) {
				t.Errorf("the mailbox of %q is %v, want %+v", name, th.Properties, m)
			}
		}
	}
	for name := range want {
		t.Errorf("no mailbox of %q", name)
	}
	for _, path := range []string{"/people", "/mailboxes", "/positions", "/changes?after=0"} {
		resp, body := f.fetch(c.path(path), "X-Functions-Key", f.FunctionKey, "Accept", "text/csv")
		if resp.Header.Get("Content-Type") != "application/json" || !json.Valid([]byte(body)) || resp.Header.Get("Content-Disposition") != "" {
			t.Errorf("%s as CSV: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
}
