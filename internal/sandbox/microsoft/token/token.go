// Package token signs and checks the stand-in's JSON web tokens. A token is
// believed only under a published key, a named algorithm and an unexpired
// claim.
package token

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrInvalid is wrapped by every refusal of a token.
var ErrInvalid = errors.New("invalid token")

// maxToken bounds a compact token in bytes.
const maxToken = 32 << 10

// keep is how many retired keys stay published after a rotation, so that
// tokens signed before it can still be checked.
const keep = 1

// Keyring holds the signing key and the published ones.
type Keyring struct {
	mu   sync.RWMutex
	keys []jose.JSONWebKey // the first one signs

	consumer func() (jose.JSONWebKey, error) // made when it is first asked for: making one is slow
	stranger func() (jose.JSONWebKey, error)
}

// NewKeyring makes a keyring with one RSA key.
func NewKeyring() (*Keyring, error) {
	k := &Keyring{consumer: sync.OnceValues(newKey), stranger: sync.OnceValues(newKey)}
	if err := k.Rotate(); err != nil {
		return nil, err
	}
	return k, nil
}

// Rotate makes a new signing key. The previous one stays published until the
// next rotation.
func (k *Keyring) Rotate() error {
	key, err := newKey()
	if err != nil {
		return fmt.Errorf("token: rotate: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append([]jose.JSONWebKey{key}, k.keys[:min(keep, len(k.keys))]...)
	return nil
}

func newKey() (jose.JSONWebKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(jose.RS256), Use: "sig"}
	print, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(print)
	return key, nil
}

// Public are the published keys for tenants' tokens, the one that signs first.
func (k *Keyring) Public() []jose.JSONWebKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]jose.JSONWebKey, 0, len(k.keys))
	for _, key := range k.keys {
		out = append(out, key.Public())
	}
	return out
}

// Consumer is the published key for personal accounts' tokens.
func (k *Keyring) Consumer() (jose.JSONWebKey, error) {
	key, err := k.consumer()
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("token: consumer key: %w", err)
	}
	return key.Public(), nil
}

// Sign makes a compact RS256 token of the claims.
func (k *Keyring) Sign(claims any) (string, error) { return sign(claims, jose.RS256, k.current()) }

// SignConsumer is Sign with the key for personal accounts.
func (k *Keyring) SignConsumer(claims any) (string, error) {
	key, err := k.consumer()
	if err != nil {
		return "", fmt.Errorf("token: consumer key: %w", err)
	}
	return sign(claims, jose.RS256, key)
}

func (k *Keyring) current() jose.JSONWebKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[0]
}

func sign(claims any, alg jose.SignatureAlgorithm, key jose.JSONWebKey) (string, error) {
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", key.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key.Key}, o)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	jws, err := signer.Sign(body)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	return jws.CompactSerialize()
}

// Claims are the registered and Microsoft claims that the stand-in looks at.
type Claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  Audience `json:"aud"`
	Expires   Time     `json:"exp"`
	NotBefore Time     `json:"nbf"`
	Tenant    string   `json:"tid"`
	Object    string   `json:"oid"`
	App       string   `json:"appid"`
	Roles     []string `json:"roles"`
	Scopes    string   `json:"scp"`  // of a person's token, with a space between
	Wids      []string `json:"wids"` // directory roles of that person
}

// Time is seconds since 1970; some clients write fractions.
type Time float64

// Audience is one audience or, where a client writes an array, its first.
type Audience string

// UnmarshalJSON accepts a string or an array of strings.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience(one)
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	if len(many) > 0 {
		*a = Audience(many[0])
	}
	return nil
}

// Parsed is a token whose signature has not been checked yet.
type Parsed struct {
	jws   *jose.JSONWebSignature
	KeyID string
	// Thumbprint is the x5t#S256 header of a certificate assertion, or empty;
	// Old is its x5t, by SHA-1.
	Thumbprint, Old string
}

// Parse reads a compact RS256 or PS256 token.
func Parse(compact string) (Parsed, error) {
	if len(compact) > maxToken {
		return Parsed{}, fmt.Errorf("token: parse: %w: longer than %d bytes", ErrInvalid, maxToken)
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256, jose.PS256})
	if err != nil {
		return Parsed{}, fmt.Errorf("token: parse: %w: %v", ErrInvalid, err)
	}
	p := Parsed{jws: jws, KeyID: jws.Signatures[0].Header.KeyID}
	p.Thumbprint, p.Old = thumbprints(compact)
	return p, nil
}

// thumbprints reads x5t#S256 and x5t, which go-jose keeps to itself.
func thumbprints(compact string) (now, old string) {
	head, _, _ := strings.Cut(compact, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return "", ""
	}
	var h struct {
		SHA256 string `json:"x5t#S256"`
		SHA1   string `json:"x5t"`
	}
	if json.Unmarshal(raw, &h) != nil {
		return "", ""
	}
	return h.SHA256, h.SHA1
}

// Verify checks the signature with one public key and the times against now,
// and returns the claims.
func (p Parsed) Verify(key any, now time.Time) (Claims, error) {
	var c Claims
	body, err := p.jws.Verify(key)
	if err != nil {
		return c, fmt.Errorf("token: verify: %w: signature: %v", ErrInvalid, err)
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("token: verify: %w: claims: %v", ErrInvalid, err)
	}
	return c, c.checkTimes(now)
}

// ErrTime is wrapped, with [ErrInvalid], when a token is not valid now.
var ErrTime = fmt.Errorf("%w: not valid now", ErrInvalid)

// skew is the clock difference that is forgiven (documented, "Access tokens":
// five minutes).
const skew = 5 * time.Minute

func (c Claims) checkTimes(now time.Time) error {
	t := Time(now.Unix())
	if c.Expires <= t-Time(skew.Seconds()) || c.NotBefore > t+Time(skew.Seconds()) {
		return fmt.Errorf("token: verify: %w: nbf %.0f, exp %.0f, now %.0f", ErrTime, c.NotBefore, c.Expires, t)
	}
	return nil
}

// Verify checks a token of this keyring.
func (k *Keyring) Verify(compact string, now time.Time) (Claims, error) {
	p, err := Parse(compact)
	if err != nil {
		return Claims{}, err
	}
	for _, key := range k.Public() {
		if key.KeyID == p.KeyID {
			return p.Verify(key, now)
		}
	}
	return Claims{}, fmt.Errorf("token: verify: %w: key %q is not published", ErrInvalid, p.KeyID)
}

// SameAudience compares audiences, of which Microsoft writes some with and
// some without a slash at the end.
func SameAudience(a, b string) bool {
	return strings.TrimRight(a, "/") == strings.TrimRight(b, "/")
}
