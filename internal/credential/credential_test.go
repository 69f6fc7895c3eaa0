package credential_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"rollcall/internal/connection"
	"rollcall/internal/credential"
	"rollcall/internal/fault"
	"rollcall/internal/sandbox/microsoft"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/wiretest"
)

var wires *wiretest.Wires

func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{Microsoft: true}, func(w *wiretest.Wires) { wires = w })
}

var scope = policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}}

// ask gets a token and says how many requests to the token endpoint it took.
func ask(t *testing.T, tn *tenant.Tenant, cred azcore.TokenCredential) (token string, calls int, err error) {
	t.Helper()
	before := tn.Calls()[ms.Token]
	k, err := cred.GetToken(t.Context(), scope)
	return k.Token, tn.Calls()[ms.Token] - before, err
}

func of(t *testing.T, get func(connection.Access) (azcore.TokenCredential, error), tn *tenant.Tenant) azcore.TokenCredential {
	t.Helper()
	cred, err := get(connection.Access{Tenant: tn.ID})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// A tenant's token is asked for once, and a fresh credential asks again.
func TestTokensAreKept(t *testing.T) {
	tn := wires.Tenant(t, 1)
	c := wires.Credentials(t)
	first, calls, err := ask(t, tn, of(t, c.Tenant, tn))
	if err != nil || calls != 1 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if k, _, err := ask(t, tn, of(t, c.Tenant, tn)); err != nil || k != first {
				t.Errorf("another token, %v", err)
			}
		})
	}
	wg.Wait()
	if n := tn.Calls()[ms.Token]; n != 1 {
		t.Errorf("%d requests for 21 tokens", n)
	}
	second, calls, err := ask(t, tn, of(t, c.Fresh, tn))
	if err != nil || calls != 1 || second == first {
		t.Errorf("fresh: %d calls, the same token %v, %v", calls, second == first, err)
	}
	if k, calls, err := ask(t, tn, of(t, c.Tenant, tn)); err != nil || calls != 0 || k != second {
		t.Errorf("after a fresh one: %d calls, %v", calls, err)
	}
	if k, calls, err := ask(t, tn, of(t, wires.Credentials(t).Tenant, tn)); err != nil || calls != 1 || k == second {
		t.Errorf("another process's: %d calls, %v", calls, err)
	}
}

// Many that need the first token at once do not ask many times over.
func TestFirstTokenConcurrently(t *testing.T) {
	tn := wires.Tenant(t, 1)
	cred := of(t, wires.Credentials(t).Tenant, tn)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, _, err := ask(t, tn, cred); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := tn.Calls()[ms.Token]; n != 1 {
		t.Errorf("%d requests", n)
	}
}

// One tenant's token, and its trouble, is never another's.
func TestTenantsAreApart(t *testing.T) {
	a, b := wires.Tenant(t, 1), wires.Tenant(t, 1)
	c := wires.Credentials(t)
	fired := wires.Fault(t, a, ms.Fault{Kind: ms.AADSTS, Code: 7000112})
	if _, _, err := ask(t, a, of(t, c.Tenant, a)); !fault.Is(err, fault.Denied) {
		t.Errorf("a tenant that refuses: %v", err)
	}
	fired()
	if _, calls, err := ask(t, b, of(t, c.Tenant, b)); err != nil || calls != 1 {
		t.Errorf("its neighbor: %d calls, %v", calls, err)
	}
	wires.Microsoft.ClearFaults()
	ka, _, err := ask(t, a, of(t, c.Tenant, a))
	if err != nil {
		t.Errorf("a refusal was kept: %v", err)
	}
	if kb, _, _ := ask(t, b, of(t, c.Tenant, b)); ka == kb {
		t.Error("two tenants share a token")
	}

	// A tenant that does not answer keeps nobody else waiting.
	held, letGo := make(chan struct{}), make(chan struct{})
	wires.Microsoft.SetDelayHook(func(context.Context, time.Duration) {
		close(held)
		<-letGo
	})
	slow := wires.Tenant(t, 1)
	fired = wires.Fault(t, slow, ms.Fault{Kind: ms.Slow, Delay: time.Hour, Path: ms.Token, Count: 1})
	done := make(chan error)
	go func() {
		_, _, err := ask(t, slow, of(t, c.Tenant, slow))
		done <- err
	}()
	<-held
	if _, _, err := ask(t, b, of(t, c.Fresh, b)); err != nil {
		t.Error(err)
	}
	close(letGo)
	if err := <-done; err != nil {
		t.Error(err)
	}
	fired()
}

// Who can help is told by the code, and nothing is tried twice.
func TestRefusals(t *testing.T) {
	type verdict struct {
		kind   fault.Kind
		class  fault.Class
		remedy string
	}
	withdrawn := verdict{fault.Denied, fault.Disconnected, "consent again"}
	ours := verdict{fault.Unknown, fault.Ours, "no customer can mend"} // customers' runs wait for us
	policies := verdict{fault.Denied, fault.Policy, "Conditional Access"}
	passing := verdict{fault.Unknown, fault.Transient, "by itself"}
	for code, want := range map[int]verdict{
		700016: withdrawn, 7000229: withdrawn, 7000112: withdrawn, 700011: withdrawn, 65001: withdrawn, 650056: withdrawn,
		90002:   {fault.Denied, fault.Disconnected, "AZURE_CLOUD"},
		7000215: ours, 7000222: ours, 700027: ours, 700030: ours, 700211: ours, 700212: ours, 700213: ours, 50012: ours, 70002: ours,
		70021: ours, 500011: ours, 650057: ours, 90038: ours, 900382: ours, 900432: ours, 700024: ours,
		53000: policies, 53001: policies, 53002: policies, 53003: policies, 53004: policies, 500021: policies, 500022: policies, 50105: policies,
		50033: passing, 90006: passing, 90012: passing, 90024: passing, 90033: passing, 90090: passing, 999999: passing,
		50196: {fault.Throttled, fault.Transient, "too often"},
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			tn := wires.Tenant(t, 0)
			fired := wires.Fault(t, tn, ms.Fault{Kind: ms.AADSTS, Code: code})
			_, calls, err := ask(t, tn, of(t, wires.Credentials(t).Tenant, tn))
			fired()
			e := fault.Of(err)
			if err == nil || e.Kind != want.kind || e.Class != want.class || e.Code != fmt.Sprintf("AADSTS%d", code) || !strings.Contains(e.Remedy, want.remedy) {
				t.Errorf("%s %s %s, remedy %q: %v", e.Kind, e.Class, e.Code, e.Remedy, err)
			}
			if calls != 1 {
				t.Errorf("%d requests: a worker does not retry by itself", calls)
			}
		})
	}
}

// Refusals without a code of Entra.
func TestOtherFailures(t *testing.T) {
	for _, f := range []struct {
		fault       ms.Fault
		kind        fault.Kind
		after, upto time.Duration
	}{
		{ms.Fault{Kind: ms.Throttle}, fault.Throttled, 0, 0},
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "7"}, fault.Throttled, 7 * time.Second, 7 * time.Second},
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "2.128"}, fault.Throttled, 2 * time.Second, 3 * time.Second},
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "date:90s"}, fault.Throttled, 80 * time.Second, 90 * time.Second},
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "-5"}, fault.Throttled, 0, 0},
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "999999999"}, fault.Throttled, time.Hour, 6 * time.Hour},
		{ms.Fault{Kind: ms.Throttle, RetryAfter: "99999999999999999"}, fault.Throttled, time.Hour, 6 * time.Hour},
		{ms.Fault{Kind: ms.Error, Status: 500}, fault.Unknown, 0, 0},
		{ms.Fault{Kind: ms.Error, Status: 502}, fault.Unknown, 0, 0},
		{ms.Fault{Kind: ms.Error, Status: 503}, fault.Unknown, 0, 0},
		{ms.Fault{Kind: ms.Error, Status: 503, RetryAfter: "7"}, fault.Throttled, 7 * time.Second, 7 * time.Second},
		{ms.Fault{Kind: ms.Cut}, fault.Unknown, 0, 0},
	} {
		t.Run(fmt.Sprintf("%s %d %s", f.fault.Kind, f.fault.Status, f.fault.RetryAfter), func(t *testing.T) {
			tn := wires.Tenant(t, 0)
			f.fault.Path = ms.Token
			fired := wires.Fault(t, tn, f.fault)
			_, calls, err := ask(t, tn, of(t, wires.Credentials(t).Tenant, tn))
			fired()
			if e := fault.Of(err); err == nil || e.Kind != f.kind || e.Class != fault.Transient || e.After < f.after || e.After > f.upto {
				t.Errorf("%s after %s: %v", e.Kind, e.After, err)
			}
			if calls != 1 {
				t.Errorf("%d requests", calls)
			}
		})
	}
}

// The app is known by the managed identity's token alone; if there is none,
// no tenant is to blame.
func TestManagedIdentity(t *testing.T) {
	c := wires.Credentials(t)
	form, err := c.Prove(t.Context(), connection.App{ID: wires.Microsoft.AppID()}, wires.Microsoft.AuthorityURL()+"/organizations/oauth2/v2.0/token")
	if err != nil {
		t.Fatal(err)
	}
	if err := wires.Microsoft.VerifyToken(form.Get("client_assertion"), "api://AzureADTokenExchange"); err != nil {
		t.Error(err)
	}
	tn := wires.Tenant(t, 0)
	if _, _, err := ask(t, tn, of(t, c.Tenant, tn)); err != nil {
		t.Error(err)
	}
	for resource, sc := range map[string]string{"https://storage.azure.com": "https://storage.azure.com/.default", "https://servicebus.azure.net": "https://servicebus.azure.net//.default"} {
		k, err := c.Azure().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{sc}})
		if err != nil {
			t.Error(err)
			continue
		}
		if err := wires.Microsoft.VerifyToken(k.Token, resource); err != nil {
			t.Error(err)
		}
	}
}

// Each kind of credential, and an own app, against a sign-in service and a
// vault that were not made for these tests.
func TestKinds(t *testing.T) {
	tn := wires.Tenant(t, 0)
	m := wires.Microsoft
	app := connection.Access{Tenant: tn.ID, App: m.AppID()}
	text, _ := credential.MakeCertificate(t, 2, time.Now().AddDate(1, 0, 0))
	block, _ := pem.Decode([]byte(text[strings.Index(text, "-----BEGIN CERTIFICATE"):]))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RegisterCertificate(cert, m.AppID()); err != nil {
		t.Fatal(err)
	}
	if err := m.SetSecret("s~0123456789", time.Now().Add(time.Hour), m.AppID()); err != nil {
		t.Fatal(err)
	}
	own, err := m.AddApp(microsoft.AppSpec{Tenant: tn.ID, Permissions: []string{"User.Read.All"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.ConsentApp(tn.ID, own); err != nil {
		t.Fatal(err)
	}
	if err := m.SetSecret("own~0123456789", time.Now().Add(time.Hour), own); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"kinds-cert": text, "kinds-secret": "s~0123456789", "rollcall-app-kinds": `{"appId":"` + own + `","secret":"own~0123456789"}`} {
		if _, err := m.SetVaultSecret(name, value, microsoft.VaultSecret{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []credential.Kind{credential.Federated, credential.Certificate, credential.Secret} {
		c := wires.Credentials(t, func(o *credential.Options) {
			o.Kind, o.Vault.Certificate, o.Vault.Secret = kind, "kinds-cert", "kinds-secret"
		})
		for _, a := range []connection.Access{app, {Tenant: tn.ID, App: own, Own: "rollcall-app-kinds"}} {
			cred, err := c.Tenant(a)
			if err != nil {
				t.Fatal(err)
			}
			if _, calls, err := ask(t, tn, cred); err != nil || calls != 1 {
				t.Errorf("%s, app %s: %d requests, %v", kind, a.App, calls, err)
			}
			endpoint := m.AuthorityURL() + "/" + tn.ID + "/oauth2/v2.0/token"
			form, err := c.Prove(t.Context(), connection.App{ID: a.App, Own: a.Own}, endpoint)
			if err != nil {
				t.Fatal(err)
			}
			form.Set("client_id", a.App)
			form.Set("grant_type", "client_credentials")
			form.Set("scope", scope.Scopes[0])
			resp, err := (&http.Client{Transport: wires.Transport}).PostForm(endpoint, form)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s, app %s: its own proof is answered by %d", kind, a.App, resp.StatusCode)
			}
		}
	}
}

func TestNoIdentity(t *testing.T) {
	t.Setenv("IDENTITY_HEADER", "wrong")
	// MSAL keeps an identity's tokens for the process: this one has none yet.
	c := wires.Credentials(t, func(o *credential.Options) { o.Identity = "0c0ffee0-0000-4000-8000-000000000000" })
	tn := wires.Tenant(t, 0)
	_, calls, err := ask(t, tn, of(t, c.Tenant, tn))
	if e := fault.Of(err); err == nil || e.Kind != fault.Unknown || e.Class != fault.Ours || !strings.Contains(e.Remedy, "no customer") {
		t.Errorf("%s %s, remedy %q: %v", e.Kind, e.Class, e.Remedy, err)
	}
	if calls != 0 {
		t.Errorf("%d requests without an assertion", calls)
	}
	for _, a := range []connection.Access{{Tenant: "no tenant/../x"}, {Tenant: "organizations"}, {}, {Tenant: tn.ID, App: "x"}, {Tenant: tn.ID, Own: "app-secret"}} {
		if _, err := c.Tenant(a); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", a, err)
		}
		if _, err := c.Fresh(a); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

// Whoever stops waiting gets an answer at once.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tn := wires.Tenant(t, 0)
	if _, err := of(t, wires.Credentials(t).Tenant, tn).GetToken(ctx, scope); !fault.Is(err, fault.Unknown) {
		t.Errorf("canceled: %v", err)
	}
}
