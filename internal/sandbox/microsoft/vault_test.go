package microsoft_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/vault"
)

// identity is the managed identity's credential, as in Azure.
func (r *rig) identity(t *testing.T) azcore.TokenCredential {
	t.Helper()
	t.Setenv("IDENTITY_ENDPOINT", r.IdentityURL())
	t.Setenv("IDENTITY_HEADER", r.IdentityHeader())
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(r.IdentityClientID())})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// secrets is Microsoft's own client of the vault, by its name and with its
// challenge verified; only the connection goes to loopback.
func (r *rig) secrets(t *testing.T, cred azcore.TokenCredential) *azsecrets.Client {
	t.Helper()
	tr := r.client.Transport.(*http.Transport).Clone()
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "sandbox.vault.azure.net:443" {
			return nil, errors.New("the test dialed " + addr)
		}
		return new(net.Dialer).DialContext(ctx, network, r.VaultAddr())
	}
	t.Cleanup(tr.CloseIdleConnections)
	c, err := azsecrets.NewClient(r.VaultURL(), cred, &azsecrets.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: tr}, Retry: policy.RetryOptions{MaxRetries: -1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// vaultError is what the vault answered to a refused call.
func vaultError(err error) (status int, code string) {
	var failed *azcore.ResponseError
	if errors.As(err, &failed) {
		return failed.StatusCode, failed.ErrorCode
	}
	return 0, ""
}

func TestVaultReads(t *testing.T) {
	r := start(t, microsoft.Options{})
	c := r.secrets(t, r.identity(t))
	if _, err := c.GetSecret(t.Context(), "app", "", nil); err == nil {
		t.Error("a secret that is not there")
	} else if s, code := vaultError(err); s != 404 || code != "SecretNotFound" {
		t.Errorf("a secret that is not there: %v", err)
	}
	born := r.clock.Now()
	expires := born.Add(90 * 24 * time.Hour)
	old, err := r.SetVaultSecret("app", "old\n\"value\"", microsoft.VaultSecret{ContentType: vault.PKCS12, Expires: expires, Managed: true})
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Hour)
	newest, err := r.SetVaultSecret("app", "new", microsoft.VaultSecret{NotBefore: born})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetSecret(t.Context(), "app", "", nil)
	if err != nil || *got.Value != "new" || got.ID.Version() != newest || got.ID.Name() != "app" || !strings.HasPrefix(string(*got.ID), "https://sandbox.vault.azure.net/secrets/app/") {
		t.Fatalf("newest version %+v, %v", got.Secret, err)
	}
	if got.Attributes.NotBefore.Unix() != born.Unix() || got.Attributes.Expires != nil || !*got.Attributes.Enabled || got.ContentType != nil {
		t.Errorf("newest version's attributes %+v", got.Attributes)
	}
	got, err = c.GetSecret(t.Context(), "app", old, nil)
	if err != nil || *got.Value != "old\n\"value\"" || *got.ContentType != "application/x-pkcs12" || !*got.Managed || got.KID == nil {
		t.Fatalf("older version %+v, %v", got.Secret, err)
	}
	if a := got.Attributes; a.Expires.Unix() != expires.Unix() || a.Created.Unix() != born.Unix() || a.Updated.Unix() != born.Unix() {
		t.Errorf("older version's attributes %+v", a)
	}
	if err := r.UpdateVaultSecret("app", old, microsoft.VaultSecret{Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetSecret(t.Context(), "app", old, nil); err == nil {
		t.Error("a disabled version was given out")
	} else if s, _ := vaultError(err); s != 403 {
		t.Errorf("a disabled version: %v", err)
	}
	if _, err := r.SetVaultSecret("no_such form", "x", microsoft.VaultSecret{}); err == nil {
		t.Error("a name that Key Vault does not take")
	}
	r.DeleteVaultSecret("app")
	if s, _ := vaultError(second(c.GetSecret(t.Context(), "app", "", nil))); s != 404 {
		t.Errorf("a purged secret: %d", s)
	}
}

// second is the error of two results.
func second[T any](_ T, err error) error { return err }

func TestVaultListsVersionsByPage(t *testing.T) {
	r := start(t, microsoft.Options{})
	c := r.secrets(t, r.identity(t))
	want := map[string]bool{}
	for range 60 {
		id, err := r.SetVaultSecret("cert", "v", microsoft.VaultSecret{ContentType: vault.PEM})
		if err != nil {
			t.Fatal(err)
		}
		want[id] = true
	}
	pages := 0
	for pager := c.NewListSecretPropertiesVersionsPager("cert", nil); pager.More(); pages++ {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Value {
			if !want[v.ID.Version()] || *v.ContentType != "application/x-pem-file" || v.Attributes.Created == nil {
				t.Errorf("version %s", *v.ID)
			}
			delete(want, v.ID.Version())
		}
	}
	if pages != 3 || len(want) != 0 {
		t.Errorf("%d pages, %d versions missing; want 3 pages of at most 25", pages, len(want))
	}
	for _, name := range []string{"a", "b"} {
		if _, err := r.SetVaultSecret(name, "v", microsoft.VaultSecret{}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := c.NewListSecretPropertiesPager(nil).NextPage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range page.Value {
		names = append(names, v.ID.Name())
	}
	if !slices.Equal(names, []string{"a", "b", "cert"}) {
		t.Errorf("names %v", names)
	}
}

func TestVaultWrites(t *testing.T) {
	r := start(t, microsoft.Options{})
	c := r.secrets(t, r.identity(t))
	set := func(v string) error {
		return second(c.SetSecret(t.Context(), "s", azsecrets.SetSecretParameters{Value: &v, ContentType: to.Ptr("text/plain"),
			SecretAttributes: &azsecrets.SecretAttributes{Expires: to.Ptr(time.Unix(2_000_000_000, 0))}}, nil))
	}
	if s, code := vaultError(set("one")); s != 403 || code != "Forbidden" {
		t.Errorf("a reader writes: %d %s", s, code)
	}
	r.SetVaultRole(vault.Officer)
	if err := set("one"); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetSecret(t.Context(), "s", "", nil)
	if err != nil || *got.Value != "one" || *got.ContentType != "text/plain" || got.Attributes.Expires.Unix() != 2_000_000_000 {
		t.Errorf("what was written: %+v %v", got.Secret, err)
	}
	if _, err := c.DeleteSecret(t.Context(), "s", nil); err != nil {
		t.Fatal(err)
	}
	if s, _ := vaultError(second(c.GetSecret(t.Context(), "s", "", nil))); s != 404 {
		t.Errorf("a deleted secret: %d", s)
	}
	if s, _ := vaultError(set("two")); s != 409 {
		t.Errorf("a deleted name is taken again: %d", s)
	}
	if _, err := c.PurgeDeletedSecret(t.Context(), "s", nil); err != nil {
		t.Fatal(err)
	}
	if err := set("three"); err != nil {
		t.Error(err)
	}
	r.SetVaultRole(vault.None)
	if s, code := vaultError(second(c.GetSecret(t.Context(), "s", "", nil))); s != 403 || code != "Forbidden" {
		t.Errorf("without a role: %d %s", s, code)
	}
}

// wrong is a credential that always gives the same token.
type wrong string

func (w wrong) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(w), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestVaultRefusesOtherTokens(t *testing.T) {
	r := start(t, microsoft.Options{})
	if _, err := r.SetVaultSecret("s", "v", microsoft.VaultSecret{}); err != nil {
		t.Fatal(err)
	}
	a := r.AddTenant(microsoft.TenantSpec{})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	graph, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	storage, err := r.identity(t).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tok := range map[string]string{"Graph's": graph, "storage's": storage.Token, "junk": "a.b.c"} {
		if s, _ := vaultError(second(r.secrets(t, wrong(tok)).GetSecret(t.Context(), "s", "", nil))); s != 401 {
			t.Errorf("%s token: %d", name, s)
		}
	}
	res, err := r.client.Get("https://" + r.VaultAddr() + "/secrets/s?api-version=7.4")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if want := `Bearer authorization="` + r.AuthorityURL() + "/" + r.VendorTenant() + `", resource="https://vault.azure.net"`; res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != want {
		t.Errorf("without a token: %d %q", res.StatusCode, res.Header.Get("WWW-Authenticate"))
	}
}

func TestVaultFaults(t *testing.T) {
	r := start(t, microsoft.Options{})
	if _, err := r.SetVaultSecret("s", "v", microsoft.VaultSecret{}); err != nil {
		t.Fatal(err)
	}
	c := r.secrets(t, r.identity(t))
	slept := make(chan time.Duration, 1)
	r.SetDelayHook(func(_ context.Context, d time.Duration) { slept <- d })
	for _, f := range []struct {
		fault.Fault
		status int
	}{
		{fault.Fault{Path: fault.Vault, Kind: fault.Throttle, RetryAfter: "7", Count: 1}, 429},
		{fault.Fault{Path: fault.Vault, Kind: fault.Error, Status: 503, Count: 1}, 503},
		{fault.Fault{Path: fault.Vault, Kind: fault.Forbidden, Count: 1}, 403},
		{fault.Fault{Path: fault.Vault, Kind: fault.Slow, Delay: time.Minute, Count: 1}, 0},
		{fault.Fault{Kind: fault.Throttle, Count: 1}, 0}, // of Graph only
	} {
		if _, err := r.AddFault(f.Fault); err != nil {
			t.Fatal(err)
		}
		err := second(c.GetSecret(t.Context(), "s", "", nil))
		status, _ := vaultError(err)
		if status != f.status || (err == nil) != (f.status == 0) {
			t.Errorf("%s: %v", f.Kind, err)
		}
		var failed *azcore.ResponseError
		if errors.As(err, &failed) && failed.RawResponse.Header.Get("Retry-After") != f.RetryAfter {
			t.Errorf("%s: Retry-After %q", f.Kind, failed.RawResponse.Header.Get("Retry-After"))
		}
	}
	if d := <-slept; d != time.Minute {
		t.Errorf("slept %s", d)
	}
}
