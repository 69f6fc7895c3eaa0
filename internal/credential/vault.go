package credential

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"rollcall/internal/fault"
)

// vaultName is what Key Vault takes for a name. Source: Azure Key Vault
// documentation, "Keys, secrets and certificates", object identifiers.
var vaultName = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)

// openVault makes the vault's client. It sends nothing.
func openVault(o VaultOptions, cred azcore.TokenCredential, client *http.Client) (*azsecrets.Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, fault.New(fault.Invalid, "vault %q is not an https origin", o.URL)
	}
	if o.Endpoint != "" {
		if client, err = dialing(client, o.Endpoint); err != nil {
			return nil, err
		}
	}
	vault, err := azsecrets.NewClient("https://"+u.Host, cred, &azsecrets.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: client,
		// Two quick tries more: a credential is read seldom, and much waits for it.
		Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second},
	}})
	if err != nil {
		return nil, fault.New(fault.Invalid, "vault %s: %w", o.URL, err)
	}
	return vault, nil
}

// dialing is the client with every connection made to the endpoint. The name in
// TLS, and the one that the vault's challenge is compared with, stay the
// vault's own.
func dialing(client *http.Client, endpoint string) (*http.Client, error) {
	if host, port, err := net.SplitHostPort(endpoint); err != nil || host == "" || port == "" {
		return nil, fault.New(fault.Invalid, "vault endpoint %q is not host:port", endpoint)
	}
	base := client.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	t, ok := base.(*http.Transport)
	if !ok {
		return nil, fault.New(fault.Invalid, "vault endpoint %s: the client's transport is %T, which cannot dial elsewhere", endpoint, base)
	}
	t = t.Clone()
	t.Proxy = nil
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, endpoint)
	}
	other := *client
	other.Transport = t
	return &other, nil
}

// inVault is the source of a secret's versions, one for each name.
func (c *Credentials) inVault(name string, parse parser) *source {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.secrets[name]
	if !ok {
		s = c.newSource(name, func(ctx context.Context, known []proof) ([]proof, error) {
			return c.loadSecret(ctx, name, parse, known)
		})
		c.secrets[name] = s
	}
	return s
}

// parser makes a proof of a secret's value and content type. Its error holds
// nothing of the value.
type parser func(value, contentType string) (proof, error)

// loadSecret reads the newest versions of a secret that are enabled and have
// begun; those that have expired come last. A version never changes, so a
// known one is not read again.
func (c *Credentials) loadSecret(ctx context.Context, name string, parse parser, known []proof) ([]proof, error) {
	list, err := c.listVersions(ctx, name)
	if err != nil {
		return nil, vaultFault(name, err)
	}
	var ps []proof
	for _, v := range list[:min(len(list), versions)] {
		version := v.ID.Version()
		if i := slices.IndexFunc(known, func(p proof) bool { return p.version == version }); i >= 0 {
			p := known[i]
			if p.key == nil && v.Attributes.Expires != nil { // an attribute, unlike the value, can change
				p.expires = *v.Attributes.Expires
			}
			ps = append(ps, p)
			continue
		}
		got, err := c.vault.GetSecret(ctx, name, version, nil)
		if err != nil {
			return nil, vaultFault(name, err)
		}
		p, err := parse(text(got.Value), text(got.ContentType))
		if err != nil {
			p = proof{bad: fault.New(fault.Invalid, "vault secret %s, version %s: %w", name, version, err).WithRemedy("%s", fault.Of(err).Remedy)}
		}
		p.version = version
		if p.expires.IsZero() && v.Attributes.Expires != nil {
			p.expires = *v.Attributes.Expires
		}
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		return nil, fault.New(fault.NotFound, "vault secret %s has no version in use", name).WithRemedy(
			"Put the secret %s into the key vault, or enable a version of it.", name)
	}
	return ps, nil
}

// listVersions are the secret's usable versions, best first.
func (c *Credentials) listVersions(ctx context.Context, name string) ([]*azsecrets.SecretProperties, error) {
	var list []*azsecrets.SecretProperties
	now := c.now()
	for pager := c.vault.NewListSecretPropertiesVersionsPager(name, nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Value {
			if v == nil || v.ID == nil || v.Attributes == nil || v.Attributes.Created == nil || v.Attributes.Enabled == nil || !*v.Attributes.Enabled {
				continue
			}
			if nb := v.Attributes.NotBefore; nb == nil || !nb.After(now) {
				list = append(list, v)
			}
		}
	}
	expired := func(v *azsecrets.SecretProperties) int {
		if x := v.Attributes.Expires; x != nil && !x.After(now) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b *azsecrets.SecretProperties) int {
		if d := expired(a) - expired(b); d != 0 {
			return d
		}
		return b.Attributes.Created.Compare(*a.Attributes.Created)
	})
	return c.settle(ctx, name, list)
}

// settle puts the vault's current version first if others were made in the
// same second, which is all that Key Vault tells of the time.
func (c *Credentials) settle(ctx context.Context, name string, list []*azsecrets.SecretProperties) ([]*azsecrets.SecretProperties, error) {
	if len(list) < 2 || !list[0].Attributes.Created.Equal(*list[1].Attributes.Created) {
		return list, nil
	}
	current, err := c.vault.GetSecret(ctx, name, "", nil)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(v *azsecrets.SecretProperties) bool { return current.ID != nil && *v.ID == *current.ID })
	if i > 0 && list[i].Attributes.Created.Equal(*list[0].Attributes.Created) {
		v := list[i]
		list = slices.Insert(slices.Delete(list, i, i+1), 0, v)
	}
	return list, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// vaultFault classifies what the vault answered.
func vaultFault(name string, err error) error {
	e := &fault.Error{Err: quiet("vault secret "+name, err)}
	var re *azcore.ResponseError
	if !errors.As(err, &re) {
		e.Remedy = "The key vault does not answer. Rollcall tries again by itself; if that lasts, check KEY_VAULT_URL and the vault's network rules."
		return e
	}
	e.Code = re.ErrorCode
	switch re.StatusCode {
	case http.StatusNotFound:
		e.Kind = fault.NotFound
		e.Remedy = "Put the secret " + name + " into the key vault."
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = fault.Denied
		e.Remedy = "The key vault refuses Rollcall. Give its managed identity the role Key Vault Secrets User, and check the vault's network rules."
	case http.StatusTooManyRequests:
		e.Kind = fault.Throttled
		if re.RawResponse != nil {
			e.After = retryAfter(re.RawResponse.Header.Get("Retry-After"), time.Now())
		}
	}
	return e
}
