package credential

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// assertionType is the client_assertion_type of a JWT (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	// assertionLife is how long a signed assertion may be used. Source:
	// Microsoft Entra documentation, "Certificate credentials": 5 to 10 minutes
	// after nbf at most.
	assertionLife = 5 * time.Minute
	// assertionSkew is how far our clock may be ahead of Microsoft's.
	assertionSkew = time.Minute
)

// Prove returns the form parameters by which the app proves itself at that
// token endpoint. It returns [fault.Unknown] if the credential cannot be had, and
// [fault.Denied] if an own app's secret holds none that can be used.
func (c *Credentials) Prove(ctx context.Context, app connection.App, endpoint string) (_ url.Values, err error) {
	defer fault.Wrap(&err, "credential: prove app %s", app.ID)
	s, err := c.source(&app)
	if err != nil {
		return nil, unavailable(app.Own, err)
	}
	if s == nil {
		a, err := c.assertion(ctx)
		if err != nil {
			return nil, err
		}
		return asserted(a), nil
	}
	id, ps, err := s.proven(ctx, app.ID, proofLife)
	if err != nil {
		return nil, unavailable(app.Own, err)
	}
	if p := ps[0]; p.key == nil {
		return url.Values{"client_secret": {p.secret}}, nil
	}
	jwt, err := sign(ps[0], id, endpoint, c.now())
	if err != nil {
		return nil, fault.New(fault.Unknown, "certificate %s cannot sign", ps[0].version)
	}
	return asserted(jwt), nil
}

func asserted(jwt string) url.Values {
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {jwt}}
}

// Refused tells that the token endpoint did not take what [Credentials.Prove]
// returned for the app, with its code such as AADSTS7000215. It reports
// whether another proof is worth a try, which Prove returns next.
func (c *Credentials) Refused(ctx context.Context, app connection.App, proved url.Values, code string) bool {
	s, err := c.source(&app)
	if err != nil || s == nil || !slices.Contains(notTaken, code) {
		return false
	}
	id, ps, err := s.proven(ctx, app.ID, proofLife)
	if err != nil {
		return false
	}
	for _, p := range ps {
		if p.made(proved) {
			c.refused(ctx, s, id, p.version, code)
		}
	}
	// Perhaps a newer one has come.
	id, ps, err = s.proven(ctx, app.ID, proofRest)
	return err == nil && !s.isRefused(id, ps[0].version)
}

// sign makes a client assertion. Source: Microsoft Entra documentation,
// "Certificate credentials", assertion format.
func sign(p proof, app, endpoint string, now time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: p.key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t#S256", p.thumbprint()))
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{
		"aud": endpoint, "iss": app, "sub": app, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-assertionSkew).Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(body)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// thumbprint names the certificate to Microsoft.
func (p proof) thumbprint() string {
	sum := sha256.Sum256(p.certs[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// made reports whether the form's parameters were made of the proof.
func (p proof) made(form url.Values) bool {
	if p.key == nil {
		return subtle.ConstantTimeCompare([]byte(p.secret), []byte(form.Get("client_secret"))) == 1
	}
	jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.PS256})
	if err != nil {
		return false
	}
	_, err = jws.Verify(&p.key.PublicKey)
	return err == nil
}
