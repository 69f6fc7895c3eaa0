package microsoft_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/pki"
)

const redirect = "https://rollcall.example/consent/callback"

// clock starts at the real time, since MSAL looks at the real one.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a stand-in and a client that trusts it and reaches nothing else.
type rig struct {
	*microsoft.Server
	clock  *clock
	client *http.Client
}

func start(t *testing.T, o microsoft.Options) *rig {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, o, ca)
}

func startWith(t *testing.T, o microsoft.Options, ca *pki.CA) *rig {
	t.Helper()
	c := &clock{now: time.Now()}
	o.CA, o.Now, o.RedirectURIs = ca, c.Now, []string{redirect}
	s, err := microsoft.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig.RootCAs = ca.Pool()
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			return nil, errors.New("the test dialed " + addr)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Server: s, clock: c, client: &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

func (r *rig) options() azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: r.AuthorityURL()},
		Transport: r.client, Retry: policy.RetryOptions{MaxRetries: -1},
	}
}

// federated is the credential that the product uses in Azure.
func (r *rig) federated(t *testing.T, tenantID string) azcore.TokenCredential {
	t.Helper()
	t.Setenv("IDENTITY_ENDPOINT", r.IdentityURL())
	t.Setenv("IDENTITY_HEADER", r.IdentityHeader())
	mi, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(r.IdentityClientID())})
	if err != nil {
		t.Fatal(err)
	}
	cred, err := azidentity.NewClientAssertionCredential(tenantID, r.AppID(), func(ctx context.Context) (string, error) {
		tok, err := mi.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"api://AzureADTokenExchange/.default"}})
		return tok.Token, err
	}, &azidentity.ClientAssertionCredentialOptions{ClientOptions: r.options(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func token(t *testing.T, cred azcore.TokenCredential) (string, error) {
	t.Helper()
	tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	return tok.Token, err
}

// refusal is the AADSTS code of a token error, or 0.
func refusal(t *testing.T, err error) (status, code int) {
	t.Helper()
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || failed.RawResponse == nil {
		return 0, 0
	}
	body, rerr := io.ReadAll(failed.RawResponse.Body)
	if rerr != nil {
		t.Fatal(rerr)
	}
	var doc struct {
		Codes       []int  `json:"error_codes"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Trace       string `json:"trace_id"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Codes) != 1 || doc.Error == "" || doc.Trace == "" || !strings.HasPrefix(doc.Description, "AADSTS") {
		t.Fatalf("error document %s: %v", body, err)
	}
	return failed.RawResponse.StatusCode, doc.Codes[0]
}

func (r *rig) graph(t *testing.T, bearer, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.GraphURL()+"/v1.0"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestFederatedCredentialThroughConsentAndWithdrawal(t *testing.T) {
	r := start(t, microsoft.Options{ConsentDelay: 10 * time.Minute})
	a, b := r.AddTenant(microsoft.TenantSpec{People: 12}), r.AddTenant(microsoft.TenantSpec{People: 3})
	if a == nil || b == nil || a.ID == b.ID {
		t.Fatal("tenants")
	}
	want := func(when string, status, code int) {
		t.Helper()
		_, err := token(t, r.federated(t, a.ID))
		if s, c := refusal(t, err); s != status || c != code {
			t.Errorf("%s: %d AADSTS%d, want %d AADSTS%d: %v", when, s, c, status, code, err)
		}
	}
	want("never consented", 401, 7000229)
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	want("consent has not spread", 401, 7000229)
	r.clock.Advance(6 * time.Minute)
	tok, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := r.graph(t, tok, "/organization"); status != 403 || !strings.Contains(body, "Authorization_RequestDenied") {
		t.Errorf("a token without roles: %d %s", status, body)
	}
	r.clock.Advance(4 * time.Minute)
	if tok, err = token(t, r.federated(t, a.ID)); err != nil {
		t.Fatal(err)
	}
	if status, body := r.graph(t, tok, "/organization"); status != 200 || !strings.Contains(body, `"id":"`+a.ID+`"`) {
		t.Errorf("organization: %d %s", status, body)
	}
	if status, body := r.graph(t, tok, "/users/delta?$select=id"); status != 200 || strings.Count(body, `{"id":`) != 12 {
		t.Errorf("delta: %d %s", status, body)
	}
	if _, err := token(t, r.federated(t, b.ID)); err == nil {
		t.Error("a consent in one tenant opened another")
	}
	r.RemoveRole(a.ID, "Organization.Read.All")
	if status, _ := r.graph(t, tok, "/organization"); status != 200 {
		t.Errorf("an issued token lost its role: %d", status)
	}
	less, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := r.graph(t, less, "/organization"); status != 403 {
		t.Errorf("a new token has the removed role: %d", status)
	}
	r.DisableApp(a.ID)
	want("disabled", 401, 7000112)
	r.EnableApp(a.ID)
	r.Revoke(a.ID)
	want("withdrawn", 400, 700016)
	_, err = token(t, r.federated(t, "11111111-2222-3333-4444-555555555555"))
	if err == nil {
		t.Error("a token of a tenant that is not there")
	}
	if err := r.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	if status, _ := r.graph(t, tok, "/organization"); status != 200 {
		t.Errorf("a token signed before the rotation: %d", status)
	}
	r.clock.Advance(2 * time.Hour)
	if status, body := r.graph(t, tok, "/organization"); status != 401 || !strings.Contains(body, "InvalidAuthenticationToken") {
		t.Errorf("an expired token: %d %s", status, body)
	}
}

func TestCertificateAndSecret(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{People: 1})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	app, err := pki.App(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	certs, key, err := azidentity.ParseCertificates(app.PEM, nil)
	if err != nil || len(certs) != 1 {
		t.Fatal(len(certs), err)
	}
	cert := certs[0]
	try := func(cred azcore.TokenCredential, err error) (int, error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		_, err = token(t, cred)
		_, code := refusal(t, err)
		return code, err
	}
	certified := func() (int, error) {
		cred, err := azidentity.NewClientCertificateCredential(a.ID, r.AppID(), []*x509.Certificate{cert}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: r.options(), DisableInstanceDiscovery: true})
		return try(cred, err)
	}
	secret := func(s string) (int, error) {
		cred, err := azidentity.NewClientSecretCredential(a.ID, r.AppID(), s,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: r.options(), DisableInstanceDiscovery: true})
		return try(cred, err)
	}
	if code, _ := certified(); code != 700027 {
		t.Errorf("an unregistered certificate: AADSTS%d", code)
	}
	r.RegisterCertificate(cert)
	if _, err := certified(); err != nil {
		t.Errorf("certificate: %v", err)
	}
	if code, _ := secret("s3cret"); code != 7000215 {
		t.Errorf("an unregistered secret: AADSTS%d", code)
	}
	r.SetSecret("s3cret", r.clock.Now().Add(time.Hour))
	if _, err := secret("s3cret"); err != nil {
		t.Errorf("secret: %v", err)
	}
	r.clock.Advance(2 * time.Hour)
	if code, _ := secret("s3cret"); code != 7000222 {
		t.Errorf("an expired secret: AADSTS%d", code)
	}
	if code, _ := certified(); code == 0 {
		t.Error("an assertion of an hour ago was accepted")
	}
}

func TestManagedIdentity(t *testing.T) {
	r := start(t, microsoft.Options{})
	t.Setenv("IDENTITY_ENDPOINT", r.IdentityURL())
	t.Setenv("IDENTITY_HEADER", r.IdentityHeader())
	mi := func(id string) (azcore.TokenCredential, error) {
		return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(id)})
	}
	cred, err := mi(r.IdentityClientID())
	if err != nil {
		t.Fatal(err)
	}
	for _, audience := range []string{"https://storage.azure.com", "https://servicebus.azure.net", "https://vault.azure.net", "api://AzureADTokenExchange"} {
		tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}})
		if err != nil {
			t.Fatalf("%s: %v", audience, err)
		}
		if err := r.VerifyToken(tok.Token, audience); err != nil {
			t.Error(err)
		}
		if err := r.VerifyToken(tok.Token, "https://graph.microsoft.com"); err == nil {
			t.Errorf("a token for %s passes for Graph", audience)
		}
		c := claims(t, tok.Token)
		iss, _ := c["iss"].(string)
		if sts := strings.HasPrefix(iss, "https://sts.windows.net/"); sts == (audience == "api://AzureADTokenExchange") || c["aud"] != audience || c["nbf"] == nil || c["iat"] == nil || c["exp"] == nil {
			t.Errorf("claims %v", c)
		}
		if status, _ := r.graph(t, tok.Token, "/organization"); status != 401 {
			t.Errorf("Graph took a token for %s: %d", audience, status)
		}
	}
	tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(25 * time.Hour)
	if err := r.VerifyToken(tok.Token, "https://vault.azure.net"); err == nil {
		t.Error("an expired token passes")
	}
	other, err := mi("99999999-0000-0000-0000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}}); err == nil {
		t.Error("another identity got a token")
	}
	res, err := r.client.Get(r.IdentityURL() + "?resource=https://vault.azure.net&api-version=2019-08-01&client_id=" + r.IdentityClientID())
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 {
		t.Errorf("without the header: %d", res.StatusCode)
	}
}
