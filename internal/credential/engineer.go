package credential

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// SignedIn is the engineer at a terminal, or the pipeline, that is signed in to
// the Azure CLI or else to the Azure Developer CLI. It is never an identity
// that merely happens to be on the machine, such as a managed one.
type SignedIn struct {
	tenant string
	tools  []azcore.TokenCredential

	mu    sync.Mutex
	token azcore.AccessToken
	scope string
}

// Engineer returns the credential of whoever is signed in, in a tenant, or in
// the one that they signed in to if it is empty. It starts no program yet.
func Engineer(tenant string) (_ *SignedIn, err error) {
	defer fault.Wrap(&err, "credential: engineer")
	if tenant != "" && !guid.MatchString(tenant) {
		return nil, fault.New(fault.Invalid, "tenant %.64q is no lower-case GUID", tenant)
	}
	cli, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: tenant})
	if err != nil {
		return nil, err
	}
	azd, err := azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{TenantID: tenant})
	if err != nil {
		return nil, err
	}
	return &SignedIn{tenant: tenant, tools: []azcore.TokenCredential{cli, azd}}, nil
}

// Tenant returns itself: there is one tenant only, the vendor's.
func (s *SignedIn) Tenant(connection.Access) (azcore.TokenCredential, error) { return s, nil }

// Fresh returns itself without the token that it has kept.
func (s *SignedIn) Fresh(connection.Access) (azcore.TokenCredential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = azcore.AccessToken{}
	return s, nil
}

// tokenRest is how much life a kept token must have left: longer than a
// request may take.
const tokenRest = 5 * time.Minute

// GetToken asks the tools for a token; what they give is kept, since each
// answer takes the Azure CLI about a second.
func (s *SignedIn) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scope := fmt.Sprint(o.Scopes)
	if s.token.Token != "" && s.scope == scope && time.Until(s.token.ExpiresOn) > tokenRest {
		return s.token, nil
	}
	var errs []error
	for _, tool := range s.tools {
		t, err := tool.GetToken(ctx, o)
		if err == nil && t.Token != "" {
			s.token, s.scope = t, scope
			return t, nil
		}
		if ctx.Err() != nil {
			return t, ctx.Err()
		}
		if err != nil {
			errs = append(errs, err) // what the tool wrote to its standard error
		}
	}
	login := "az login"
	if s.tenant != "" {
		login += " --tenant " + s.tenant
	}
	e := fault.New(fault.Denied, "credential: engineer: no token: %w", errors.Join(errs...)).WithRemedy("Sign in first: %s", login)
	e.Class = fault.Ours
	return azcore.AccessToken{}, e
}
