package signin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/internal/fault"
)

const (
	// keysLife is how long a key list is used without asking again. Microsoft
	// documents that applications should look at least every 24 hours
	// ("Signing key rollover in the Microsoft identity platform").
	keysLife = 12 * time.Hour
	// keysRest is the least time between two requests for the key list: a
	// token with an unknown key may ask for a new list, but not in a row.
	keysRest = 30 * time.Second
	// tenantSlot stands for the tenant in the issuers that the endpoint for
	// all tenants publishes (documented: OpenID Connect, discovery).
	tenantSlot = "{tenantid}"
)

// signingKey is one published key. Entra adds to each whose tokens it signs:
// every tenant's, or one tenant's only, such as that of personal accounts.
type signingKey struct {
	jose.JSONWebKey
	issuer string
}

// keySet verifies signatures with the keys that the authority publishes, and
// that the key was meant for the token's issuer: without the second check,
// who has the key of one kind of account can sign in as any other
// (documented: "Validate the signing key issuer").
type keySet struct {
	discovery string
	http      *http.Client
	now       func() time.Time

	mu      sync.Mutex
	issuer  string
	keys    []signingKey
	fetched time.Time
}

// VerifySignature implements oidc.KeySet. It returns [fault.Invalid] for a
// token that was not signed for its issuer, and [fault.Unknown] if the keys
// cannot be had.
func (s *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	sig, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, fault.New(fault.Invalid, "id_token: not signed by RS256: %w", err)
	}
	kid := sig.Signatures[0].Header.KeyID
	issuer, keys, err := s.named(ctx, kid)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		payload, err := sig.Verify(k.JSONWebKey)
		if err != nil {
			continue
		}
		return payload, checkIssuer(payload, issuer, k.issuer)
	}
	return nil, fault.New(fault.Invalid, "id_token: signed by none of the authority's keys")
}

// checkIssuer compares the token's issuer with the authority's and the key's,
// each filled in with the token's tenant.
func checkIssuer(payload []byte, authority, key string) error {
	var claims struct {
		Issuer string `json:"iss"`
		Tenant string `json:"tid"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fault.New(fault.Invalid, "id_token: claims: %w", err)
	}
	if !guid.MatchString(claims.Tenant) {
		return fault.New(fault.Invalid, "id_token: tid is no GUID")
	}
	if claims.Issuer != strings.ReplaceAll(authority, tenantSlot, claims.Tenant) {
		return fault.New(fault.Invalid, "id_token: the issuer is not that of its tenant")
	}
	// A key without issuer may sign for all (documented).
	if key != "" && claims.Issuer != strings.ReplaceAll(key, tenantSlot, claims.Tenant) {
		return fault.New(fault.Invalid, "id_token: the key signs for another issuer")
	}
	return nil
}

// named returns the keys of that name and the issuer's template.
func (s *keySet) named(ctx context.Context, kid string) (issuer string, ks []signingKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.now().Sub(s.fetched)
	ks = s.find(kid)
	if s.issuer == "" || age > keysLife || len(ks) == 0 && age > keysRest {
		if err := s.fetch(ctx); err != nil {
			return "", nil, err
		}
		ks = s.find(kid)
	}
	return s.issuer, ks, nil
}

func (s *keySet) find(kid string) (ks []signingKey) {
	for _, k := range s.keys {
		if kid != "" && k.KeyID == kid {
			ks = append(ks, k)
		}
	}
	return ks
}

// fetch reads the discovery document and the keys that it points to.
func (s *keySet) fetch(ctx context.Context) error {
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := s.get(ctx, s.discovery, &doc); err != nil {
		return err
	}
	if !strings.HasPrefix(doc.Issuer, "https://") || !strings.Contains(doc.Issuer, tenantSlot) || !strings.HasPrefix(doc.Keys, "https://") {
		return fault.New(fault.Unknown, "discovery: issuer %q, keys at %q", doc.Issuer, doc.Keys)
	}
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, doc.Keys, &list); err != nil {
		return err
	}
	keys := parseKeys(list.Keys)
	if len(keys) == 0 {
		return fault.New(fault.Unknown, "key list: no usable key of %d", len(list.Keys))
	}
	s.issuer, s.keys, s.fetched = doc.Issuer, keys, s.now()
	return nil
}

// parseKeys keeps the keys that can sign for us; a list may hold others.
func parseKeys(raw []json.RawMessage) (keys []signingKey) {
	for _, b := range raw {
		var k signingKey
		var more struct {
			Issuer string `json:"issuer"`
		}
		if json.Unmarshal(b, &k.JSONWebKey) != nil || json.Unmarshal(b, &more) != nil {
			continue
		}
		if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		k.issuer = more.Issuer
		keys = append(keys, k)
	}
	return keys
}

func (s *keySet) get(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fault.New(fault.Unknown, "%s: %w", url, err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return fault.New(fault.Unknown, "%w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Unknown, "%s: status %d", url, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fault.New(fault.Unknown, "%s: %w", url, err)
	}
	return nil
}
