// Package credential proves who Rollcall is to Microsoft. It is the only user
// of azidentity.
//
// There is no secret: the vendor's app registration trusts a user-assigned
// managed identity as a federated credential.
package credential

import (
	"cmp"
	"context"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// exchangeAudience is what a managed identity's token must be made for to be
// accepted as a client assertion in the public cloud. Source: Microsoft Entra
// documentation, "Configure an application to trust a managed identity".
const exchangeAudience = "api://AzureADTokenExchange/.default"

// Credentials makes tokens for Azure and for customers' tenants. It is safe
// for concurrent use.
type Credentials struct {
	identity  *azidentity.ManagedIdentityCredential
	authority string
	app       string
	transport policy.Transporter

	mu      sync.Mutex
	tenants map[connection.Access]azcore.TokenCredential
}

// Options say who we are.
type Options struct {
	// Identity is the client ID of the user-assigned managed identity.
	Identity string
	// Authority is Microsoft's sign-in service, such as
	// https://login.microsoftonline.com.
	Authority string
	// App is the client ID of the multi-tenant app registration.
	App string
	// Client sends the requests for customers' tokens.
	Client *http.Client
}

// New returns the credentials. It sends nothing.
func New(o Options) (*Credentials, error) {
	id, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ID: azidentity.ClientID(o.Identity),
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "credential: managed identity %s: %w", o.Identity, err)
	}
	return &Credentials{
		identity:  id,
		authority: o.Authority,
		app:       o.App,
		transport: o.Client,
		tenants:   make(map[connection.Access]azcore.TokenCredential),
	}, nil
}

// Azure is the credential for the vendor's own Azure resources.
func (c *Credentials) Azure() azcore.TokenCredential { return c.identity }

// Assertion returns a client assertion: a token of the managed identity by
// which the token endpoint of any tenant knows the app.
func (c *Credentials) Assertion(ctx context.Context) (_ string, err error) {
	defer fault.Wrap(&err, "credential: client assertion")
	t, err := c.identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{exchangeAudience}})
	return t.Token, err
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
	return c.Fresh(a)
}

// Fresh returns a credential without any cached token, which sees the roles
// that the tenant has granted by now. From then on it is the tenant's.
func (c *Credentials) Fresh(a connection.Access) (azcore.TokenCredential, error) {
	cred, err := azidentity.NewClientAssertionCredential(a.Tenant, cmp.Or(a.App, c.app), c.Assertion, &azidentity.ClientAssertionCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.authority},
			Transport: c.transport,
			// Retries belong to the queue: a worker does not wait.
			Retry: policy.RetryOptions{MaxRetries: -1},
		},
		// The authority is the vendor's setting, never a customer's input, so
		// there is nothing to ask login.microsoftonline.com about it.
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "credential: tenant %s: %w", a, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenants[a] = classified{cred}
	return c.tenants[a], nil
}
