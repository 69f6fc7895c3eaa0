package proof

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// A stored link that leads elsewhere than to the configured Graph is not
// followed, lest a token go there: what it was of begins anew.
func TestThreatForeignLink(t *testing.T) {
	b := siegeOf(t)
	secure, err := b.CA.ServerTLS() // as good as Graph's own
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	elsewhere := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = w.Write([]byte(`{"value":[],"@odata.deltaLink":"https://` + l.Addr().String() + `/v1.0/users/delta?$deltatoken=x"}`))
	})}
	go func() { _ = elsewhere.Serve(tls.NewListener(l, secure)) }() // ends with Close
	t.Cleanup(func() { _ = elsewhere.Close() })

	c := connected(t, b.Sandbox, tenant.Spec{People: 10, Teams: 2, Memberships: 5})
	for _, host := range []string{l.Addr().String(), "evil.example", "evil.example:443@" + strings.TrimPrefix(b.Microsoft.GraphURL(), "https://")} {
		settled(t, b.Sandbox, c)
		changed := 0
		rewrite(t, b.Sandbox, "directory", c.ID, "c!", func(fence, _ map[string]any) {
			for _, kind := range []string{"people", "groups"} {
				cursor, _ := fence[kind].(map[string]any)
				if link, _ := cursor["delta"].(string); link != "" {
					cursor["delta"] = "https://" + host + strings.TrimPrefix(link, b.Microsoft.GraphURL())
					changed++
				}
			}
		})
		if changed != 2 {
			t.Fatalf("%d links were stored, want those of people and groups", changed)
		}
		if _, err := c.tenant.Apply(tenant.Bulk{Seed: 3, Edit: 2, Create: 1}); err != nil {
			t.Fatal(err)
		}
		if r := c.sync(t, b.Sandbox); r.State != "succeeded" || !r.Full {
			t.Errorf("with a link to %s: %+v %+v, want a full one", host, r, r.Problem)
		}
		check(t, b.Sandbox, c)
	}
	if n := calls.Load(); n > 0 {
		t.Errorf("%d requests went there", n)
	}
	settled(t, b.Sandbox, c)
}
