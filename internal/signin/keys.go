package signin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"rollcall/internal/fault"
)

const (
	// keysLife is how long a key list is used without asking again. Microsoft
	// documents that applications should look at least every 24 hours
	// ("Signing key rollover in the Microsoft identity platform").
	keysLife = 12 * time.Hour
	// keysEnd is how long a key list is used if no newer one can be had:
	// Microsoft's own bound.
	keysEnd = 24 * time.Hour
	// keysRest is the least time between two requests for the key list: a
	// token with an unknown key, or an old list, may ask for a new one, but not
	// in a row.
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

	flight singleflight.Group
	mu     sync.Mutex
	list   keyList   // the last that could be had
	tried  time.Time // when it was last tried to replace one that still served
}

// keyList is what the authority publishes. It is never changed in place.
type keyList struct {
	issuer  string // with a slot for the tenant; empty if nothing was fetched yet
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

// named returns the keys of that name and the issuer's template. While a list
// still serves, one caller at a time waits for a newer one, and if that cannot
// be had, the list serves on.
func (s *keySet) named(ctx context.Context, kid string) (issuer string, ks []signingKey, err error) {
	now := s.now()
	s.mu.Lock()
	list := s.list
	ks, age := list.find(kid), now.Sub(list.fetched)
	serves := len(ks) > 0 && age <= keysEnd
	due := age > keysLife && now.Sub(s.tried) > keysRest
	if serves && due {
		s.tried = now // this caller's turn
	}
	s.mu.Unlock()
	justNow := list.issuer != "" && age <= keysRest
	if serves && !due || justNow {
		return list.issuer, ks, nil
	}
	newer, err := s.refresh(ctx)
	switch {
	case err == nil:
		return newer.issuer, newer.find(kid), nil
	case serves:
		return list.issuer, ks, nil
	}
	return "", nil, err
}

func (l keyList) find(kid string) (ks []signingKey) {
	for _, k := range l.keys {
		if kid != "" && k.KeyID == kid {
			ks = append(ks, k)
		}
	}
	return ks
}

// refresh fetches a new list, or waits for the one that is being fetched. Who
// stops waiting does not stop the others; the client bounds each request.
func (s *keySet) refresh(ctx context.Context) (list keyList, err error) {
	done := s.flight.DoChan("", func() (any, error) {
		list, err := s.fetch(context.WithoutCancel(ctx))
		if err == nil {
			s.mu.Lock()
			s.list = list
			s.mu.Unlock()
		}
		return list, err
	})
	select {
	case <-ctx.Done():
		return list, fault.New(fault.Unknown, "keys: %w", ctx.Err())
	case r := <-done:
		return r.Val.(keyList), r.Err
	}
}

// fetch reads the discovery document and the keys that it points to.
func (s *keySet) fetch(ctx context.Context) (list keyList, err error) {
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := s.get(ctx, s.discovery, &doc); err != nil {
		return list, err
	}
	if !strings.HasPrefix(doc.Issuer, "https://") || !strings.Contains(doc.Issuer, tenantSlot) || !strings.HasPrefix(doc.Keys, "https://") {
		return list, fault.New(fault.Unknown, "discovery: issuer %q, keys at %q", doc.Issuer, doc.Keys)
	}
	var published struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, doc.Keys, &published); err != nil {
		return list, err
	}
	keys := parseKeys(published.Keys)
	if len(keys) == 0 {
		return list, fault.New(fault.Unknown, "key list: no usable key of %d", len(published.Keys))
	}
	return keyList{doc.Issuer, keys, s.now()}, nil
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
