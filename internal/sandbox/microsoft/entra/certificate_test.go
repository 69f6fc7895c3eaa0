package entra

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/internal/sandbox/pki"
)

func certificate(t *testing.T, until time.Time) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	a, err := pki.App(until.Add(-48*time.Hour), until)
	if err != nil {
		t.Fatal(err)
	}
	return a.Certificate, a.Key
}

// An assertion stands for the app only if it was signed by the key of a
// certificate that is registered and valid, for this endpoint and this hour.
func TestCertificateAssertions(t *testing.T) {
	s := service()
	const path = "/d0000000-0000-4000-8000-000000000004/oauth2/v2.0/token"
	cert, key := certificate(t, now.Add(time.Hour))
	newer, newerKey := certificate(t, now.Add(40*time.Hour))
	dead, deadKey := certificate(t, now.Add(-time.Minute))
	unknown, unknownKey := certificate(t, now.Add(time.Hour))
	for _, c := range []*x509.Certificate{cert, newer, dead} {
		if err := s.RegisterCertificate(c, appID); err != nil {
			t.Fatal(err)
		}
	}
	s256 := func(c *x509.Certificate) string {
		sum := sha256.Sum256(c.Raw)
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	s1 := func(c *x509.Certificate) string {
		sum := sha1.Sum(c.Raw)
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	type header = map[jose.HeaderKey]any
	good := map[string]any{"iss": appID, "sub": appID, "aud": "https://login.test" + path, "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
	sign := func(alg jose.SignatureAlgorithm, key any, h header, change string, v any) string {
		c := map[string]any{}
		for k, x := range good {
			c[k] = x
		}
		if change != "" {
			c[change] = v
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: h})
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign(body)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	for name, c := range map[string]struct {
		assertion string
		code      string // empty: a token
	}{
		"PS256, x5t#S256":      {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "", nil), ""},
		"RS256, x5t":           {sign(jose.RS256, key, header{"x5t": s1(cert)}, "", nil), ""},
		"both thumbprints":     {sign(jose.RS256, key, header{"x5t": s1(cert), "x5t#S256": s256(cert)}, "", nil), ""},
		"a second certificate": {sign(jose.PS256, newerKey, header{"x5t#S256": s256(newer)}, "", nil), ""},
		"two certificates":     {sign(jose.RS256, key, header{"x5t": s1(newer), "x5t#S256": s256(cert)}, "", nil), "700027"},
		"another's key":        {sign(jose.PS256, newerKey, header{"x5t#S256": s256(cert)}, "", nil), "700027"},
		"unregistered":         {sign(jose.PS256, unknownKey, header{"x5t#S256": s256(unknown)}, "", nil), "700027"},
		"expired certificate":  {sign(jose.PS256, deadKey, header{"x5t#S256": s256(dead)}, "", nil), "700027"},
		"HS256":                {sign(jose.HS256, []byte(strings.Repeat("k", 32)), header{"x5t#S256": s256(cert)}, "", nil), "50027"},
		"another endpoint":     {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "aud", "https://login.test/organizations/oauth2/v2.0/token"), "50012"},
		"another issuer":       {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "iss", "x"), "50012"},
		"another subject":      {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "sub", "x"), "50012"},
		"of an hour ago":       {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "exp", now.Add(-time.Hour).Unix()), "700024"},
		"without an end":       {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "exp", nil), "700024"},
	} {
		body := post(s, path, url.Values{"client_id": {appID}, "grant_type": {"client_credentials"}, "scope": {"https://graph.test/.default"},
			"client_assertion_type": {jwtBearer}, "client_assertion": {c.assertion}}).Body.String()
		if c.code == "" && !strings.Contains(body, `"access_token"`) || c.code != "" && !strings.Contains(body, "AADSTS"+c.code+":") {
			t.Errorf("%s: %s", name, body)
		}
	}
	if err := s.RemoveCertificate(cert, appID); err != nil {
		t.Fatal(err)
	}
	body := post(s, path, url.Values{"client_id": {appID}, "grant_type": {"client_credentials"}, "scope": {"https://graph.test/.default"},
		"client_assertion_type": {jwtBearer}, "client_assertion": {sign(jose.PS256, key, header{"x5t#S256": s256(cert)}, "", nil)}}).Body.String()
	if !strings.Contains(body, "AADSTS700027:") {
		t.Errorf("a certificate that was taken back: %s", body)
	}
}
