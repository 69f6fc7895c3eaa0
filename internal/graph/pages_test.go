package graph_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
)

// A list that is not whole, or not a list, is an error of every call, and
// never an empty answer.
func TestNotWhole(t *testing.T) {
	const next, delta = `,"@odata.nextLink":"https://x.example/v1.0/x"`, `,"@odata.deltaLink":"https://x.example/v1.0/x"`
	var body string
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	ctx := t.Context()
	calls := map[string]func() (any, error){
		"people": func() (any, error) {
			p, err := c.People(ctx, connection.Access{Tenant: "t"}, "", nil)
			return p.Items, err
		},
		"groups": func() (any, error) { p, err := c.Groups(ctx, connection.Access{Tenant: "t"}, ""); return p.Items, err },
		"members": func() (any, error) {
			p, err := c.Members(ctx, connection.Access{Tenant: "t"}, someone, "")
			return p.IDs, err
		},
		"transitive": func() (any, error) {
			p, err := c.Transitive(ctx, connection.Access{Tenant: "t"}, someone, "")
			return p.IDs, err
		},
		"search": func() (any, error) { return c.SearchGroups(ctx, connection.Access{Tenant: "t"}, "x") },
		"existing": func() (any, error) {
			return c.Existing(ctx, connection.Access{Tenant: "t"}, directory.People, []string{someone})
		},
		"managers": func() (any, error) { return c.Managers(ctx, connection.Access{Tenant: "t"}, []string{someone}) },
		"all": func() (any, error) {
			m, _, err := c.ManagerPage(ctx, connection.Access{Tenant: "t"}, "")
			return m, err
		},
		"licenses": func() (any, error) { return c.Licenses(ctx, connection.Access{Tenant: "t"}) },
		"probe":    func() (any, error) { return nil, c.Probe(ctx, connection.Access{Tenant: "t"}) },
		"group":    func() (any, error) { g, err := c.Group(ctx, connection.Access{Tenant: "t"}, someone); return g.ID, err },
		"batch":    func() (any, error) { return c.DeletedPeople(ctx, connection.Access{Tenant: "t"}, []string{someone}) },
	}
	may := map[string]string{ // what may have a link
		next: "people groups members transitive search all", delta: "people groups",
	}
	try := func(what, text string, ok func(name string) bool) {
		body = text
		for name, call := range calls {
			if got, err := call(); ok(name) != (err == nil) || err != nil && !fault.Is(err, fault.Unknown) {
				t.Errorf("%s of %s: %v, %v", what, name, got, err)
			}
		}
	}
	never := func(string) bool { return false }
	for what, text := range map[string]string{
		"no JSON": `{"value":[`, "a list": `[]`, "null": `null`, "no value": `{}`, "no value with a link": `{"x":1` + next + `}`, "a null value": `{"value":null` + next + `}`,
		"an object for a value": `{"value":{}` + next + `}`, "no ID": `{"value":[{"displayName":"x"}]` + next + `}`, "a short ID": `{"value":[{"id":"1111","skuId":"1111"}]` + next + `}`,
		"both links": `{"value":[]` + next + delta + `}`, "HTML": `<html>`, "more": `{"value":[]` + next + `} {}`,
	} {
		try(what, text, never)
	}
	for link, names := range may {
		try("a page with "+link, `{"value":[]`+link+`}`, func(name string) bool { return strings.Contains(" "+names+" ", " "+name+" ") })
	}
}

// What refused requests cost is counted with what they were asked again for.
func TestUnits(t *testing.T) {
	n := 0
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("x-ms-resource-unit", []string{"2", "3", "many", "-7", "99999999"}[n-1])
		if n == 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, emptyPage)
	})
	for _, want := range [][2]int{{2, 5}, {1, 0}, {1, 0}, {1, 0}} {
		ctx, count := metered(t)
		if _, err := c.People(ctx, connection.Access{Tenant: "t"}, "", nil); err != nil {
			t.Fatal(err)
		}
		if calls, units := count.Take(); calls != want[0] || units != want[1] {
			t.Errorf("%d calls and %d units, want %v", calls, units, want)
		}
	}
	if _, err := c.People(context.Background(), connection.Access{Tenant: "t"}, "https://x.example", nil); err == nil {
		t.Error("a foreign link, uncounted")
	}
}

// gossip is a transport whose errors tell everything.
type gossip struct{ next http.RoundTripper }

func (g gossip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == secretPath {
		return nil, errors.New("cannot get " + r.URL.String())
	}
	return g.next.RoundTrip(r)
}

func TestDownloadIsDiscreet(t *testing.T) {
	const base = "https://reports.example"
	c, err := graph.New("https://graph.example", anyone{"secret"}, gossip{redirecting(base + secretPath)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boxes(t.Context(), c.Mailboxes, "t"); !fault.Is(err, fault.Unknown) || strings.Contains(err.Error(), secretPath) {
		t.Errorf("the error tells the URL: %v", err)
	}
}

// Nor does an error of a call that got no answer tell the link.
func TestNoAnswer(t *testing.T) {
	c, err := graph.New("https://127.0.0.1:1", anyone{"secret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.People(t.Context(), connection.Access{Tenant: "t"}, "https://127.0.0.1:1/v1.0/users/delta?$skiptoken=private", nil)
	if !errors.Is(err, syscall.ECONNREFUSED) || !fault.Is(err, fault.Unknown) || strings.Contains(err.Error(), "private") {
		t.Errorf("nobody there: %v", err)
	}
}

// redirecting answers every request with a Location.
type redirecting string

func (to redirecting) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {string(to)}}, Body: http.NoBody, Request: r, ProtoMajor: 1}, nil
}
