package graph_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/wiretest"
)

// open counts a transport's open connections.
func open(base *http.Transport) (*http.Transport, *atomic.Int32) {
	var n atomic.Int32
	t := base.Clone()
	dial := base.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err == nil {
			n.Add(1)
			c = &counted{Conn: c, n: &n}
		}
		return c, err
	}
	return t, &n
}

type counted struct {
	net.Conn
	n    *atomic.Int32
	done atomic.Bool
}

func (c *counted) Close() error {
	if !c.done.Swap(true) {
		c.n.Add(-1)
	}
	return c.Conn.Close()
}

// Calls that fail leave neither connections nor goroutines behind.
func TestNoLeak(t *testing.T) {
	tn := wires.Tenant(t, 100)
	tr, conns := open(wires.Transport)
	defer tr.CloseIdleConnections()
	c := client(t, tr)
	if _, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", nil); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for _, f := range []ms.Fault{
		{Kind: ms.Throttle}, {Kind: ms.Error, Status: 500}, {Kind: ms.Error, Status: 502}, {Kind: ms.Forbidden}, {Kind: ms.Cut}, {Kind: ms.CutChunked},
	} {
		f.Path, f.Count = ms.UsersDelta, 20
		if f.Kind == ms.Forbidden {
			f.Count = 40 // each is asked again with a new token
		}
		fired := wires.Fault(t, tn, f)
		for range 20 {
			if _, err := c.People(t.Context(), connection.Access{Tenant: tn.ID}, "", nil); err == nil {
				t.Errorf("%s passed", f.Kind)
			}
		}
		fired()
	}
	if n := conns.Load(); n > 2 {
		t.Errorf("%d connections open after 120 failures one by one", n)
	}
	tr.CloseIdleConnections()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// anyone is a token for every tenant.
type anyone struct{ wiretest.Token }

func (a anyone) Tenant(connection.Access) (azcore.TokenCredential, error) { return a.Token, nil }
func (a anyone) Fresh(connection.Access) (azcore.TokenCredential, error)  { return a.Token, nil }

// serve is a Graph of the test's own.
func serve(t *testing.T, h http.HandlerFunc) (*graph.Client, string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	c, err := graph.New(s.URL, anyone{"secret"}, s.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	return c, s.URL
}

const emptyPage = `{"value":[],"@odata.deltaLink":"x"}`

// Links are opaque: not a byte of one changes on its way back.
func TestLinksAreOpaque(t *testing.T) {
	var got, auth string
	c, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, auth = r.RequestURI, r.Header.Get("Authorization")
		_, _ = io.WriteString(w, emptyPage)
	})
	for _, query := range []string{
		"$skiptoken=aB_-9", "$deltatoken=a%2Bb%2F%3D%3D", "$deltatoken=x==", "$skiptoken=%7B%22a%22%3A1%7D", "$deltatoken=a+b", "$deltatoken=a%20b&$select=id,manager",
	} {
		if _, err := c.People(t.Context(), connection.Access{Tenant: "t"}, base+"/v1.0/users/delta?"+query, nil); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if want := "/v1.0/users/delta?" + query; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
		if auth != "Bearer secret" {
			t.Errorf("authorization %q", auth)
		}
	}
}

// A redirect is not followed: the token is for one host.
func TestRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 307, 308} {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/v1.0/users/delta", status)
		})
		if _, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil); err == nil {
			t.Errorf("%d is a page", status)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// Answers that are no page.
func TestNoPage(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"empty 200":     func(http.ResponseWriter, *http.Request) {},
		"204":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"HTML with 200": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Sign in</html>") },
		"empty 500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"401":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		c, _ := serve(t, h)
		if _, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil); !fault.Is(err, fault.Unknown) {
			t.Errorf("%s: %v", name, err)
		}
		if ids, err := c.Existing(t.Context(), connection.Access{Tenant: "t"}, directory.People, []string{someone}); err == nil || ids != nil {
			t.Errorf("%s: existing %v, %v", name, ids, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, bad := range []string{"", "http://graph.microsoft.com", "graph.microsoft.com", "https://", "\x00"} {
		if _, err := graph.New(bad, anyone{}, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
