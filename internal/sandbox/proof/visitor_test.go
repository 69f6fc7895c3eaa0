package proof

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// visitor is a person with a browser, who can look at what Microsoft sends
// back before it reaches the app.
type visitor struct {
	*browser.Browser
	t    *testing.T
	next http.RoundTripper
	// hold keeps what Microsoft sends back from the app.
	hold bool
	// spoil changes what is sent to the app; nil changes nothing.
	spoil func(r *http.Request)
	app   string // its host
	// returns are the addresses that Microsoft sent the browser back to, held
	// or not.
	returns []*url.URL
}

func visit(t *testing.T, s *sandbox.Sandbox) *visitor {
	t.Helper()
	c := s.Client()
	v := &visitor{t: t, next: c.Transport, app: strings.TrimPrefix(s.PublicURL, "https://")}
	c.Transport = v
	var err error
	if v.Browser, err = browser.New(c); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *visitor) RoundTrip(r *http.Request) (*http.Response, error) {
	if v.spoil != nil && r.URL.Host == v.app {
		r = r.Clone(r.Context())
		v.spoil(r)
	}
	if r.URL.Path != "/consent/callback" || r.Header.Get("Referer") == "" {
		return v.next.RoundTrip(r)
	}
	v.returns = append(v.returns, r.URL)
	if !v.hold {
		return v.next.RoundTrip(r)
	}
	return &http.Response{
		Status: "200 held", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"text/html"}}, Body: io.NopCloser(strings.NewReader("<h1>held</h1>")),
	}, nil
}

// open goes to an address, as if typed in.
func (v *visitor) open(address string) *browser.Page {
	v.t.Helper()
	p, err := v.Open(v.t.Context(), address)
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}

// press presses buttons, one after the other.
func (v *visitor) press(p *browser.Page, buttons ...string) *browser.Page {
	v.t.Helper()
	for _, b := range buttons {
		var err error
		if p, err = v.Press(v.t.Context(), p, b); err != nil {
			v.t.Fatal(err)
		}
	}
	return p
}

const (
	begin  = "Continue with Microsoft"
	accept = "Accept"
	cancel = "Cancel"
)

// signIn goes from the link to what follows the sign-in.
func (v *visitor) signIn(link string, a tenant.Account) *browser.Page {
	v.t.Helper()
	return v.press(v.open(link), begin, a.Username)
}

// held does what leads back to the app and returns the address that the
// browser was sent to, without having gone there.
func (v *visitor) held(do func()) *url.URL {
	v.t.Helper()
	v.hold = true
	before := len(v.returns)
	do()
	v.hold = false
	if len(v.returns) != before+1 {
		v.t.Fatalf("Microsoft sent the browser back %d times, want once", len(v.returns)-before)
	}
	return v.returns[before]
}

// first is the return of the sign-in, second that of the admin consent.
func (v *visitor) first(link string, a tenant.Account) *url.URL {
	v.t.Helper()
	return v.held(func() { v.signIn(link, a) })
}

func (v *visitor) second(link string, a tenant.Account) *url.URL {
	v.t.Helper()
	p := v.signIn(link, a)
	return v.held(func() { v.press(p, accept) })
}

// with is an address with parameters changed; an empty value takes one out.
func with(u *url.URL, pairs ...string) string {
	c, q := *u, u.Query()
	for i := 0; i < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	c.RawQuery = q.Encode()
	return c.String()
}

// shown fails unless the page has the status and the heading.
func shown(t *testing.T, p *browser.Page, status int, heading string) {
	t.Helper()
	if p.Status != status || p.Heading != heading {
		t.Errorf("the page is %d %q, want %d %q: %s", p.Status, p.Heading, status, heading, p.Text)
	}
}

// stored is every row of every table with its version, by table and keys. It
// is read past the handler and past the wire proxy.
func stored(t *testing.T, s *sandbox.Sandbox) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for tables := s.Tables.Client().NewListTablesPager(nil); tables.More(); {
		page, err := tables.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tb := range page.Tables {
			for pages := s.Tables.Client().NewClient(*tb.Name).NewListEntitiesPager(nil); pages.More(); {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entities {
					var keys struct{ PartitionKey, RowKey string }
					if err := json.Unmarshal(e, &keys); err != nil {
						t.Fatal(err)
					}
					rows[*tb.Name+"/"+keys.PartitionKey+"/"+keys.RowKey] = string(e)
				}
			}
		}
	}
	return rows
}

// unchanged fails if anything was stored or queued since before, except that
// a state may have been used up, and that the audit log may have grown.
func unchanged(t *testing.T, s *sandbox.Sandbox, before map[string]string, sent int64) {
	t.Helper()
	after := stored(t, s)
	for _, k := range slices.Sorted(maps.Keys(after)) {
		_, known := before[k]
		if before[k] != after[k] && (known || !strings.HasPrefix(k, "audit/")) {
			t.Errorf("row %s was written: %s", k, after[k])
		}
	}
	for k := range before {
		if _, there := after[k]; !there && !strings.HasPrefix(k, "nonces/") {
			t.Errorf("row %s was deleted", k)
		}
	}
	n, err := s.Bus.Counts(sandbox.Queue)
	if err != nil || n.Sent != sent || n.Active+n.Scheduled+n.Locked+n.DeadLetter > 0 {
		t.Errorf("the queue holds %+v, %v: want nothing sent beyond %d", n, err, sent)
	}
}

// sent is how many messages the queue has taken so far.
func sent(t *testing.T, s *sandbox.Sandbox) int64 {
	t.Helper()
	n, err := s.Bus.Counts(sandbox.Queue)
	if err != nil {
		t.Fatal(err)
	}
	return n.Sent
}

// connection is a connection as the machine API answers it.
type connection struct {
	Status, Tenant, LastRun, Profile, App string
	OwnApp, ConsentNeeded                 bool
	NextDue                               time.Time
	Problem                               *struct{ Code, Message, Remedy string }
	Health                                *struct{ SuspectedSince *time.Time }
	Offboarding                           *struct {
		Data, To string
		Purged   *time.Time
		Deleted  map[string]int
	}
	Revoke *struct {
		Tenant, App string
		Steps       []string
	}
}

func (c customer) connection(t *testing.T, s *sandbox.Sandbox) (conn connection) {
	t.Helper()
	if _, err := s.Call(t.Context(), "GET", c.path(""), nil, &conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

// awaitPage opens the link until it has the heading.
func (v *visitor) awaitPage(link, heading string) (p *browser.Page) {
	v.t.Helper()
	err := sandbox.Await(within(v.t, 20*time.Second), heading, func() (bool, error) {
		var err error
		p, err = v.Open(v.t.Context(), link)
		return err == nil && p.Heading == heading, err
	})
	if err != nil {
		v.t.Fatalf("%v: the page is %d %q", err, p.Status, p.Heading)
	}
	return p
}

// age moves a time in the connection's row, as if so much time had passed.
func age(t *testing.T, s *sandbox.Sandbox, c customer, field string, to time.Time) {
	t.Helper()
	amend(t, s, c, func(conn map[string]any) { conn[field] = to.UTC().Format(time.RFC3339) })
}

// amend changes the connection's row behind everybody's back.
func amend(t *testing.T, s *sandbox.Sandbox, c customer, change func(conn map[string]any)) {
	t.Helper()
	rewrite(t, s, "connections", "connection", c.ID, func(conn, row map[string]any) {
		change(conn)
		if due, ok := conn["NextDue"].(string); ok {
			at, err := time.Parse(time.RFC3339, due)
			if err != nil {
				t.Fatal(err)
			}
			if row["Due"] = at.UTC().Format("2006-01-02T15:04:05.000Z"); at.IsZero() {
				row["Due"] = "9999"
			}
		}
	})
}

// rewrite changes what a row holds: one JSON value, packed into the binary
// property D0, and columns beside it.
func rewrite(t *testing.T, s *sandbox.Sandbox, table, partition, key string, change func(value, row map[string]any)) {
	t.Helper()
	rows := s.Tables.Client().NewClient(table)
	for {
		got, err := rows.GetEntity(t.Context(), partition, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		row, value := map[string]any{}, map[string]any{}
		if err := json.Unmarshal(got.Value, &row); err != nil {
			t.Fatal(err)
		}
		packed, _ := row["D0"].(string)
		b, err := base64.StdEncoding.DecodeString(packed)
		if err != nil || row["D1"] != nil {
			t.Fatalf("row %s/%s: %v, or more than one property", partition, key, err)
		}
		if err := json.Unmarshal(b, &value); err != nil {
			t.Fatal(err)
		}
		change(value, row)
		if b, err = json.Marshal(value); err != nil {
			t.Fatal(err)
		}
		row["D0"], row["D0@odata.type"] = b, "Edm.Binary"
		maps.DeleteFunc(row, func(name string, _ any) bool {
			return strings.HasPrefix(name, "odata.") || strings.HasPrefix(name, "Timestamp")
		})
		if b, err = json.Marshal(row); err != nil {
			t.Fatal(err)
		}
		_, err = rows.UpdateEntity(t.Context(), b, &aztables.UpdateEntityOptions{UpdateMode: aztables.UpdateModeReplace, IfMatch: &got.ETag})
		if err == nil {
			return
		}
		if refused, ok := errors.AsType[*azcore.ResponseError](err); !ok || refused.StatusCode != http.StatusPreconditionFailed {
			t.Fatal(err)
		}
	}
}
