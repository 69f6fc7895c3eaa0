package graph_test

import (
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
	"rollcall/internal/sandbox/microsoft/tenant"
)

func some(prefix string) []string {
	if prefix == "" {
		return nil
	}
	return []string{prefix}
}

// list reads the list of a prefix to its end.
func list(t *testing.T, c *graph.Client, tn *tenant.Tenant, prefix string, people map[string]directory.Person) (pages int) {
	t.Helper()
	for link := ""; ; pages++ {
		p, err := c.ListPeople(t.Context(), connection.Access{Tenant: tn.ID}, some(prefix), link, directory.Properties(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range p.Items {
			if !it.HasManager || it.Removed != "" {
				t.Fatalf("%+v", it)
			}
			people[it.ID] = it.Person
		}
		if link = p.Next; link == "" {
			return pages + 1
		}
	}
}

// The list has everybody as Microsoft has them, with their managers; so have
// the lists of all first characters together, each as many as the count says.
func TestList(t *testing.T) {
	tn := wires.Tenant(t, 1200)
	c := client(t, nil)
	whole := map[string]directory.Person{}
	if pages := list(t, c, tn, "", whole); pages != 2 {
		t.Errorf("%d pages", pages)
	}
	equal(t, whole, tn)
	all, err := c.CountPeople(t.Context(), connection.Access{Tenant: tn.ID})
	if err != nil || all != 1200 {
		t.Errorf("%d people, %v", all, err)
	}
	first := map[string]bool{}
	for _, p := range whole {
		r := []rune(strings.ToLower(p.UserPrincipalName))
		first[string(r[:1])] = true
	}
	parts, shards := map[string]directory.Person{}, 0
	for prefix := range first {
		part := map[string]directory.Person{}
		list(t, c, tn, prefix, part)
		n, err := c.CountPeople(t.Context(), connection.Access{Tenant: tn.ID}, prefix)
		if err != nil || n != len(part) || n == 0 || n == 1200 {
			t.Errorf("%q: %d people, counted %d, %v", prefix, len(part), n, err)
		}
		for id, p := range part {
			parts[id] = p
			shards++
		}
	}
	equal(t, parts, tn)
	together := 0
	for prefixes := range slices.Chunk(slices.Collect(maps.Keys(first)), 10) {
		n, err := c.CountPeople(t.Context(), connection.Access{Tenant: tn.ID}, prefixes...)
		if err != nil {
			t.Error(err)
		}
		together += n
	}
	if together != 1200 {
		t.Errorf("all first characters, ten together: %d", together)
	}
	if _, err := c.CountPeople(t.Context(), connection.Access{Tenant: tn.ID}, slices.Repeat([]string{"a"}, 16)...); !fault.Is(err, fault.Invalid) {
		t.Errorf("more prefixes than a filter takes: %v", err)
	}
	if shards != 1200 {
		t.Errorf("%d people in all shards", shards)
	}
}

// What changes after the link was made comes with it, and nothing else.
func TestLatest(t *testing.T) {
	tn := wires.Tenant(t, 120)
	c := client(t, nil)
	link, err := c.LatestPeople(t.Context(), connection.Access{Tenant: tn.ID}, directory.Properties())
	if err != nil {
		t.Fatal(err)
	}
	people := tn.People()
	leads := map[string]bool{}
	for _, p := range people {
		leads[p.Manager] = true
	}
	people = slices.DeleteFunc(people, func(p tenant.Person) bool { return leads[p.ID] })
	a, b := people[0].ID, people[1].ID // whose going changes nobody else
	if err := tn.Update(a, tenant.Fields{"displayName": "After"}); err != nil {
		t.Fatal(err)
	}
	if err := tn.Remove(b); err != nil {
		t.Fatal(err)
	}
	p, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, link, nil)
	if err != nil || len(p.Items) != 2 || p.Delta == "" {
		t.Fatalf("%d items, %v", len(p.Items), err)
	}
	for _, it := range p.Items {
		if it.ID == a && it.DisplayName != "After" || it.ID == b && it.Removed != directory.SoftDeleted || it.ID != a && it.ID != b {
			t.Errorf("%+v", it)
		}
	}
}

// What is asked for, to the byte: quotes are doubled, what has a meaning in a
// URL is encoded, and no header asks for an index that a list with managers
// cannot have.
func TestListQueries(t *testing.T) {
	var uri, level, accept, body string
	c, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		uri, level, accept = r.RequestURI, r.Header.Get("ConsistencyLevel"), r.Header.Get("Accept")
		_, _ = io.WriteString(w, body)
	})
	a, ctx := connection.Access{Tenant: "t"}, t.Context()
	encoded := map[string]string{
		"a": "a", "o'": "o%27%27", "'": "%27%27", "''": "%27%27%27%27", "#": "%23", "+": "%2B", "%": "%25", "&": "%26", "%24": "%2524", " ": "%20", "é": "%C3%A9", "') or startswith(mail,'a": "%27%27%29%20or%20startswith%28mail%2C%27%27a",
	}
	for prefix, want := range encoded {
		filter := "$filter=startswith%28userPrincipalName%2C%27" + want + "%27%29"
		body = "7"
		if n, err := c.CountPeople(ctx, a, prefix); err != nil || n != 7 || uri != "/v1.0/users/$count?"+filter || level != "eventual" || accept != "text/plain" {
			t.Errorf("count of %q: %d, %v: %s %s %s", prefix, n, err, uri, level, accept)
		}
		body = `{"value":[]}`
		if _, err := c.ListPeople(ctx, a, some(prefix), "", []string{"mail", "manager", "surname"}, nil); err != nil || uri != "/v1.0/users?$top=999&$select=id%2Cmail%2Csurname&$expand=manager($select=id)&"+filter || level != "" {
			t.Errorf("list of %q: %v: %s %s", prefix, err, uri, level)
		}
		if q, err := url.ParseQuery(strings.TrimPrefix(uri, "/v1.0/users?")); err != nil || q.Get("$filter") != "startswith(userPrincipalName,'"+strings.ReplaceAll(prefix, "'", "''")+"')" {
			t.Errorf("%q: %v, %s", prefix, err, q.Get("$filter"))
		}
	}
	if _, err := c.ListPeople(ctx, a, nil, "", []string{"mail"}, nil); err != nil || uri != "/v1.0/users?$top=999&$select=id%2Cmail" {
		t.Errorf("%v: %s", err, uri)
	}
	const next = "/v1.0/users?$top=999&$skiptoken=a%2Bb%3D%3D&x=y+z"
	if _, err := c.ListPeople(ctx, a, some("ignored"), base+next, nil, nil); err != nil || uri != next {
		t.Errorf("%v: %s", err, uri)
	}
	body = `{"value":[],"@odata.deltaLink":"` + base + `/v1.0/x"}`
	if link, err := c.LatestPeople(ctx, a, []string{"mail", "manager"}); err != nil || link != base+"/v1.0/x" || uri != "/v1.0/users/delta?$deltatoken=latest&$select=id%2Cmail%2Cmanager" {
		t.Errorf("%q, %v: %s", link, err, uri)
	}
}

// Answers that are not what was asked for.
func TestListRefused(t *testing.T) {
	var body string
	status := http.StatusOK
	c, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	a, ctx := connection.Access{Tenant: "t"}, t.Context()
	for _, body = range []string{``, `{}`, `{"value":[]}`, `{"value":[],"@odata.nextLink":"n"}`, `{"value":[{"id":"` + someone + `"}],"@odata.deltaLink":"d"}`, `{"value":[],"@odata.nextLink":"n","@odata.deltaLink":"d"}`, `7`} {
		if link, err := c.LatestPeople(ctx, a, nil); !fault.Is(err, fault.Unknown) || link != "" {
			t.Errorf("latest of %s: %q, %v", body, link, err)
		}
	}
	for _, body = range []string{``, ` `, `-1`, `1.5`, `+1`, `1e3`, `0x1`, `{}`, `"7"`, `99999999999`, "7 8", "\xef\xbb\xbf", `<html>`} {
		if n, err := c.CountPeople(ctx, a); !fault.Is(err, fault.Unknown) || n != 0 {
			t.Errorf("count of %q: %d, %v", body, n, err)
		}
	}
	for text, want := range map[string]int{"0": 0, "12345": 12345, "\xef\xbb\xbf42": 42, " 7\r\n": 7} {
		body = text
		if n, err := c.CountPeople(ctx, a); err != nil || n != want {
			t.Errorf("count of %q: %d, %v", text, n, err)
		}
	}
	for _, body = range []string{``, `{}`, `{"value":[],"@odata.deltaLink":"d"}`, `{"value":[{"id":"` + someone + `","manager":{"id":"x"}}]}`, `{"value":[{}]}`} {
		if p, err := c.ListPeople(ctx, a, nil, "", nil, nil); !fault.Is(err, fault.Unknown) || p.Items != nil || p.Next != "" {
			t.Errorf("list of %s: %+v, %v", body, p, err)
		}
	}
	status, body = http.StatusBadRequest, `{"error":{"code":"Directory_ExpiredPageToken"}}`
	if _, err := c.ListPeople(ctx, a, nil, base+"/v1.0/users?$skiptoken=x", nil, nil); !fault.Is(err, fault.Expired) {
		t.Errorf("a forgotten link: %v", err)
	}
}

// The next page's link is told before the page is decoded, wherever Graph puts
// it, even of a page that turns out to be none.
func TestListTells(t *testing.T) {
	var body string
	c, base := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	next := base + "/v1.0/users?$skiptoken=\u0026a"
	quoted := `"` + strings.ReplaceAll(next, "&", `\u0026`) + `"`
	person := `{"id":"` + someone + `","manager":null,"displayName":"\"@odata.nextLink\":\"x\""}`
	people := person + strings.Repeat(","+person, 200)
	for name, x := range map[string]struct{ body, want string }{
		"at the beginning":  {`{"@odata.context":"c","@odata.nextLink":` + quoted + `,"value":[` + people + `]}`, next},
		"at the end":        {`{"value":[` + people + `],"@odata.nextLink" : ` + quoted + ` }`, next},
		"the last page":     {`{"value":[` + people + `]}`, ""},
		"a short page":      {`{"value":[],"@odata.nextLink":` + quoted + `}`, next},
		"nothing":           {``, ""},
		"no page":           {`{"@odata.nextLink":` + quoted + `}`, next},
		"cut within a link": {`{"value":[],"@odata.nextLink":"` + base, ""},
		"cut before a link": {`{"value":[],"@odata.nextLink"`, ""},
		"not a text":        {`{"value":[],"@odata.nextLink":7}`, ""},
	} {
		body = x.body
		got, times := "", 0
		p, err := c.ListPeople(t.Context(), connection.Access{Tenant: "t"}, nil, "", nil, func(link string) { got, times = link, times+1 })
		if got != x.want || times > 1 || times == 1 && got == "" || err == nil && p.Next != x.want {
			t.Errorf("%s: told %q %d times, next page %q, %v", name, got, times, p.Next, err)
		}
	}
}

// Where the link comes first, it is told before the rest of the page has come,
// and once.
func TestListTellsEarly(t *testing.T) {
	told := make(chan string, 2)
	var next string
	person := `{"id":"` + someone + `"}`
	people := person + strings.Repeat(","+person, 900)
	for _, packed := range []bool{false, true} {
		c, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			var out io.Writer = w
			flush := func() error { return http.NewResponseController(w).Flush() }
			if packed {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				defer z.Close()
				out = z
				flush = func() error { return errors.Join(z.Flush(), http.NewResponseController(w).Flush()) }
			}
			_, _ = io.WriteString(out, `{"@odata.nextLink":"`+next+`","value":[`+people[:20_000])
			if err := flush(); err != nil {
				t.Error(err)
			}
			select {
			case link := <-told:
				if link != next {
					t.Errorf("told %q", link)
				}
			case <-time.After(5 * time.Second):
				t.Error("nothing was told before the page had come")
			}
			_, _ = io.WriteString(out, people[20_000:]+`]}`)
		})
		next = base + "/v1.0/users?$skiptoken=a"
		p, err := c.ListPeople(t.Context(), connection.Access{Tenant: "t"}, nil, "", nil, func(link string) { told <- link })
		if err != nil || len(p.Items) != 901 || p.Next != next || len(told) != 0 {
			t.Errorf("%d people, next page %q, told again %d times, %v", len(p.Items), p.Next, len(told), err)
		}
	}
}
