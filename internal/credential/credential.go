// Package credential proves who Rollcall is to Microsoft. It is the only user
// of azidentity and azsecrets.
//
// A secret, a key or a token leaves this package only towards Microsoft: never
// into a log, an error or a table.
package credential

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Kind is by what the vendor's app registrations prove themselves.
type Kind string

// The kinds of credentials.
const (
	// Federated: the registrations trust the managed identity; there is no
	// secret at all.
	Federated Kind = "federated"
	// Certificate: a certificate in Key Vault or in files.
	Certificate Kind = "certificate"
	// Secret: a client secret in Key Vault.
	Secret Kind = "secret"
)

// VaultOptions say where the vault is and what is in it.
type VaultOptions struct {
	// URL is the vault's, such as https://rollcall.vault.azure.net; empty if
	// there is none.
	URL string
	// Endpoint is the host:port to connect to if not the vault's own. Name and
	// certificate are still checked against URL.
	Endpoint string
	// Certificate is the certificate's name, Secret that of the client secret
	// of the widest profile's app. Since Microsoft makes the secrets of each
	// registration, another profile has its own, named "<Secret>-<profile>".
	Certificate, Secret string
}

// Options say who we are.
type Options struct {
	// Identity is the client ID of the user-assigned managed identity.
	Identity string
	// Authority is Microsoft's sign-in service, such as
	// https://login.microsoftonline.com.
	Authority string
	// Audience is what the managed identity's token must be made for to be
	// accepted as the app's; empty for that of the authority's cloud.
	Audience string
	// Apps are the vendor's app registrations.
	Apps connection.Apps
	// Kind is by what they prove themselves; empty means [Federated].
	Kind Kind
	// CertificateFiles are one or two files in PEM or PKCS #12 without a
	// password, newest first; if there are any, they come before Key Vault.
	CertificateFiles []string
	Vault            VaultOptions
	// Client sends the requests for customers' tokens and to the vault.
	Client *http.Client
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Log may be nil.
	Log *slog.Logger
}

// Credentials makes tokens for Azure and for customers' tenants. It is safe
// for concurrent use.
type Credentials struct {
	identity  *azidentity.ManagedIdentityCredential
	authority string
	audience  string
	apps      connection.Apps
	kind      Kind
	names     VaultOptions
	client    *http.Client
	vault     *azsecrets.Client // nil if there is none
	files     *source           // of certificates; nil if there are none
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	tenants map[connection.Access]*kept
	secrets map[string]*source // by name in the vault
}

// guid is a GUID as Entra writes it.
var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// New returns the credentials. It reads certificate files, so that a wrong one
// stops the start, and sends nothing.
func New(o Options) (_ *Credentials, err error) {
	defer fault.Wrap(&err, "credential")
	id, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ID: azidentity.ClientID(o.Identity),
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "managed identity %s: %w", o.Identity, err)
	}
	c := &Credentials{
		identity: id, authority: o.Authority, audience: o.Audience, apps: o.Apps, kind: o.Kind, names: o.Vault,
		client: o.Client, now: o.Now, log: o.Log,
		tenants: make(map[connection.Access]*kept), secrets: make(map[string]*source),
	}
	if c.client == nil {
		c.client = http.DefaultClient
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.kind == "" {
		c.kind = Federated
	}
	if c.audience == "" {
		c.audience = exchangeAudience(o.Authority)
	}
	c.audience = strings.TrimSuffix(c.audience, "/.default") + "/.default"
	if o.Vault.URL != "" {
		if c.vault, err = openVault(o.Vault, id, c.client); err != nil {
			return nil, err
		}
	}
	return c, c.configure(o)
}

// configure checks that the kind has what it needs.
func (c *Credentials) configure(o Options) error {
	if len(o.Apps) == 0 {
		return fault.New(fault.Invalid, "no app registration")
	}
	for profile, id := range o.Apps {
		if !guid.MatchString(id) {
			return fault.New(fault.Invalid, "app of profile %s: %q is no lower-case GUID", profile, id)
		}
	}
	switch c.kind {
	case Federated:
		return nil
	case Certificate:
		if len(o.CertificateFiles) == 0 {
			return c.needVault(o.Vault.Certificate)
		}
		if len(o.CertificateFiles) > versions {
			return fault.New(fault.Invalid, "%d certificate files, of which %d are used", len(o.CertificateFiles), versions)
		}
		c.files = c.newSource(o.CertificateFiles[0], loadFiles(o.CertificateFiles))
		_, err := c.files.all(context.Background())
		return err
	case Secret:
		return c.needVault(o.Vault.Secret)
	}
	return fault.New(fault.Invalid, "kind %q", string(c.kind))
}

func (c *Credentials) needVault(name string) error {
	if c.vault == nil || !vaultName.MatchString(name) {
		return fault.New(fault.Invalid, "kind %s needs a vault and a name in it, not %q", c.kind, name)
	}
	return nil
}

// exchangeAudience is what a managed identity's token must be made for to be
// accepted as a client assertion in the authority's cloud. Source: Microsoft
// Entra documentation, "Configure an application to trust a managed identity".
func exchangeAudience(authority string) string {
	switch {
	case strings.HasPrefix(authority, "https://login.microsoftonline.us"):
		return "api://AzureADTokenExchangeUSGov"
	case strings.HasPrefix(authority, "https://login.chinacloudapi.cn"), strings.HasPrefix(authority, "https://login.partner.microsoftonline.cn"):
		return "api://AzureADTokenExchangeChina"
	default:
		return "api://AzureADTokenExchange"
	}
}

// Azure is the credential for the vendor's own Azure resources.
func (c *Credentials) Azure() azcore.TokenCredential { return c.identity }

// assertion returns a token of the managed identity by which the token
// endpoint of any tenant knows the vendor's apps.
func (c *Credentials) assertion(ctx context.Context) (string, error) {
	t, err := c.identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{c.audience}})
	if err != nil {
		return "", &fault.Error{
			Kind: fault.Unknown, Class: fault.Ours, Code: "managed_identity", Err: quiet("managed identity", err),
			Remedy: "Rollcall's managed identity gives no token, which no customer can mend. Check that it is assigned to the function app and that AZURE_CLIENT_ID names it.",
		}
	}
	return t.Token, nil
}

// Tenant returns the credential for a customer's tenant. Each tenant has its
// own, kept with its token: one shared by all would make them wait for each
// other's network calls.
func (c *Credentials) Tenant(a connection.Access) (azcore.TokenCredential, error) {
	c.mu.Lock()
	cred, ok := c.tenants[a]
	c.mu.Unlock()
	if ok {
		return cred, nil
	}
	return c.open(a, false)
}

// Fresh returns a credential without any cached token, which sees the roles
// that the tenant has granted by now. From then on it is the tenant's.
func (c *Credentials) Fresh(a connection.Access) (azcore.TokenCredential, error) {
	return c.open(a, true)
}

func (c *Credentials) open(a connection.Access, fresh bool) (azcore.TokenCredential, error) {
	// Not "organizations" or a domain: a token is for one proven tenant.
	if !guid.MatchString(a.Tenant) {
		return nil, fault.New(fault.Invalid, "credential: tenant %q is no GUID", a.Tenant)
	}
	if a.App != "" && !guid.MatchString(a.App) {
		return nil, fault.New(fault.Invalid, "credential: tenant %s: app %q is no GUID", a, a.App)
	}
	if a.Own != "" && !ownName.MatchString(a.Own) {
		return nil, fault.New(fault.Invalid, "credential: tenant %s: %q does not name an own app's secret", a, a.Own)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cred, ok := c.tenants[a]; ok && !fresh {
		return cred, nil
	}
	c.tenants[a] = c.keep(a)
	return c.tenants[a], nil
}
