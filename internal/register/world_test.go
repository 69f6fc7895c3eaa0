package register_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"rollcall/internal/connection"
	"rollcall/internal/graph"
	"rollcall/internal/register"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/wiretest"
)

var wires *wiretest.Wires

func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{Microsoft: true}, func(w *wiretest.Wires) { wires = w })
}

// engineer is signed in with some directory roles.
type engineer struct{ wiretest.Token }

func (e engineer) Tenant(connection.Access) (azcore.TokenCredential, error) { return e.Token, nil }
func (e engineer) Fresh(connection.Access) (azcore.TokenCredential, error)  { return e.Token, nil }

// tokens are kept by roles: signing one is slow under the race detector.
var tokens sync.Map

func signedIn(t *testing.T, roles ...string) engineer {
	t.Helper()
	if e, ok := tokens.Load(strings.Join(roles, " ")); ok {
		return e.(engineer)
	}
	token, err := wires.Microsoft.EngineerToken(roles...)
	if err != nil {
		t.Fatal(err)
	}
	e := engineer{wiretest.Token(token)}
	tokens.Store(strings.Join(roles, " "), e)
	return e
}

// waits counts waiting, which takes no time.
type waits []time.Duration

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	*w = append(*w, d)
	return ctx.Err()
}

// registrar is an Application Administrator's over the transport.
func registrar(t *testing.T, rt http.RoundTripper) (register.Registrar, *waits) {
	t.Helper()
	return registrarOf(t, rt, signedIn(t, tenant.ApplicationAdministrator))
}

func registrarOf(t *testing.T, rt http.RoundTripper, e engineer) (register.Registrar, *waits) {
	t.Helper()
	if rt == nil {
		rt = wires.Transport
	}
	c, err := graph.New(wires.Microsoft.GraphURL(), e, rt)
	if err != nil {
		t.Fatal(err)
	}
	w := new(waits)
	return register.Registrar{Reader: c, Writer: c, Wait: w.wait}, w
}

const callback = "https://rollcall.example.com/consent/callback"

// options are whole ones, with registrations of the test's own.
func options(t *testing.T) register.Options {
	return register.Options{
		Profiles: connection.Profiles, Stage: strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-"), Product: "Contoso Sync", Redirect: callback,
		Identity: wires.Microsoft.IdentityPrincipalID(), Authority: wires.Microsoft.AuthorityURL(), Audience: "api://AzureADTokenExchange", Principal: true,
	}
}

// ask is a request of an administrator's own, past the code under test.
func ask(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, wires.Microsoft.GraphURL()+"/v1.0"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(signedIn(t, tenant.GlobalAdministrator).Token))
	req.Header.Set("Prefer", "create-if-missing")
	resp, err := wires.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	var v map[string]any
	if len(bytes.TrimSpace(b)) > 0 {
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func stored(t *testing.T, unique string) map[string]any {
	t.Helper()
	app := ask(t, http.MethodGet, "/applications(uniqueName='"+unique+"')", "")
	app["federatedIdentityCredentials"] = ask(t, http.MethodGet, "/applications/"+app["id"].(string)+"/federatedIdentityCredentials", "")["value"]
	return app
}

// flaky passes a number of requests and then fails each one: before it is
// sent, or after it has been done.
type flaky struct {
	left  int
	after bool
}

var errCut = errors.New("the cable is cut")

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	f.left--
	if f.left < 0 && !(f.left == -1 && f.after) {
		return nil, errCut
	}
	resp, err := wires.Transport.RoundTrip(r)
	if f.left < 0 && err == nil {
		_ = resp.Body.Close()
		return nil, errCut
	}
	return resp, err
}

// scripted answers the first requests that match in place of Graph.
type scripted struct {
	match  func(*http.Request) bool
	answer func() *http.Response
	times  int
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.times > 0 && s.match(r) {
		s.times--
		resp := s.answer()
		resp.Request = r
		return resp, nil
	}
	return wires.Transport.RoundTrip(r)
}

func refusal(status int, code, message string, header ...string) func() *http.Response {
	return func() *http.Response {
		h := http.Header{"Content-Type": {"application/json"}}
		for pair := range slices.Chunk(header, 2) {
			h.Set(pair[0], pair[1])
		}
		b, _ := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)), ProtoMajor: 1, ProtoMinor: 1}
	}
}
