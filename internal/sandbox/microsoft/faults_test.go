package microsoft_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
)

func TestTokenFaultsAndCutConnections(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{People: 50})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	add := func(f fault.Fault) int {
		t.Helper()
		id, err := r.AddFault(f)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, want := range []int{53003, 90033, 7000222, 50196} {
		id := add(fault.Fault{Kind: fault.AADSTS, Code: want, Tenant: a.ID, Count: 1})
		_, err := token(t, r.federated(t, a.ID))
		if _, code := refusal(t, err); code != want || r.Fired(id) != 1 {
			t.Errorf("AADSTS%d (fired %d), want %d: %v", code, r.Fired(id), want, err)
		}
	}
	add(fault.Fault{Kind: fault.NoRoles, Count: 1})
	tok, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := r.graph(t, tok, "/users"); status != 403 {
		t.Errorf("a token without roles: %d", status)
	}
	if tok, err = token(t, r.federated(t, a.ID)); err != nil {
		t.Fatal(err)
	}
	plain := r.client.Transport.(*http.Transport).Clone()
	plain.ForceAttemptHTTP2, plain.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	plain.TLSClientConfig.NextProtos = []string{"http/1.1"}
	defer plain.CloseIdleConnections()
	for name, client := range map[string]*http.Client{"HTTP/2": r.client, "HTTP/1.1": {Transport: plain}} {
		for _, kind := range []fault.Kind{fault.Cut, fault.CutChunked} {
			id := add(fault.Fault{Kind: kind, Count: 1, Path: fault.UsersDelta})
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.GraphURL()+"/v1.0/users/delta", nil)
			req.Header.Set("Authorization", "Bearer "+tok)
			res, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s %s: cut before the header: %v", name, kind, err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil || len(body) == 0 || r.Fired(id) != 1 {
				t.Errorf("%s %s: read %d bytes, err %v, fired %d", res.Proto, kind, len(body), err, r.Fired(id))
			}
			if res.Proto != name && name == "HTTP/1.1" {
				t.Errorf("spoke %s", res.Proto)
			}
		}
	}
	if got := a.Calls(); got[fault.Token] < 6 || got[fault.UsersDelta] != 4 || got[fault.Users] != 1 {
		t.Errorf("calls %v", got)
	}
}
