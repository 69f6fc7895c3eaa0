package consent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// leg is one of the two trips to Microsoft.
type leg string

const (
	legSignIn  leg = "sign-in"
	legConsent leg = "consent"
)

const (
	// stateTTL is how long one trip may take. Entra's own sign-in pages give
	// up after about as long (inferred).
	stateTTL = 15 * time.Minute
	// secretLen is the length of a state, nonce, PKCE verifier or browser
	// secret: 32 random bytes as base64url. RFC 7636 wants 43 to 128
	// characters for a verifier.
	secretLen = 43
)

const stateVersion = 2

// state is what is remembered of a trip until its one return. It is stored
// under the hash of the secret that travels, so that who reads the store
// cannot finish the trip.
type state struct {
	Version int `json:"v"`
	Leg     leg `json:"leg"`
	// Browser is the hash of the cookie of the browser that began the trip.
	Browser    string `json:"browser"`
	Connection string `json:"connection"`
	// Link is the generation of the link that the trip began with.
	Link int `json:"link"`

	// Profile, App and Own are the app that the trip is about: the name of its
	// profile, its client ID, and its Key Vault secret if it is the connection's
	// own. They are fixed here, so that settings that change on the way cannot
	// mix up two apps.
	Profile string `json:"profile"`
	App     string `json:"app"`
	Own     string `json:"own,omitempty"`

	// Nonce and Verifier (PKCE) belong to the sign-in leg.
	Nonce    string `json:"nonce,omitempty"`
	Verifier string `json:"verifier,omitempty"`

	// Tenant and Object were proved by the first leg, for the consent leg.
	// Admin is true if a directory role let them pass, false if the vendor's
	// approval did.
	Tenant string `json:"tenant,omitempty"`
	Object string `json:"object,omitempty"`
	Admin  bool   `json:"admin,omitempty"`
}

// NewSecret returns 256 random bits as base64url: 43 characters.
func NewSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// ValidSecret reports whether s has the form of a [NewSecret].
func ValidSecret(s string) bool {
	if len(s) != secretLen {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func stateKey(secret string) string { return "consent-state-" + hash(secret) }

// putState remembers a trip and returns the secret that travels.
func (f *Flow) putState(ctx context.Context, s state) (string, error) {
	s.Version = stateVersion
	b, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	secret := NewSecret()
	return secret, f.Nonces.PutNonce(ctx, stateKey(secret), b, f.Now().Add(stateTTL))
}

// takeState ends the trip that the secret belongs to: whatever else is wrong
// with this return, there is no second one. Whether this browser began it is
// for [state.begunBy] to say.
func (f *Flow) takeState(ctx context.Context, secret, browser string) (state, error) {
	if !ValidSecret(secret) {
		return state{}, &Refusal{Cause: StateUnknown}
	}
	if !ValidSecret(browser) {
		// Whatever opens addresses without cookies, such as a scanner, began no
		// trip and must not end one either.
		return state{}, &Refusal{Cause: OtherBrowser}
	}
	b, err := f.Nonces.TakeNonce(ctx, stateKey(secret), f.Now())
	switch {
	case fault.Is(err, fault.NotFound):
		return state{}, &Refusal{Cause: StateUnknown, Err: err}
	case err != nil:
		return state{}, err
	}
	s, err := decodeState(b)
	if err != nil {
		return s, &Refusal{Cause: StateUnknown, Err: err}
	}
	return s, nil
}

// begunBy reports whether the trip began in the browser that holds the secret.
func (s state) begunBy(browser string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Browser), []byte(hash(browser))) == 1
}

// decodeState reads a stored state. A row of another version was written by
// another build minutes ago: the person begins again.
func decodeState(b []byte) (state, error) {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, fault.New(fault.Invalid, "state: %w", err)
	}
	switch {
	case s.Version != stateVersion:
		return state{}, fault.New(fault.Invalid, "state: version %d", s.Version)
	case s.Browser == "" || s.Connection == "" || s.Profile == "" || s.App == "":
		return state{}, fault.New(fault.Invalid, "state: incomplete")
	case s.Leg == legSignIn && s.Nonce != "" && s.Verifier != "":
		return s, nil
	case s.Leg == legConsent && ValidGUID(s.Tenant) && ValidGUID(s.Object):
		return s, nil
	}
	return state{}, fault.New(fault.Invalid, "state: leg %q is incomplete", s.Leg)
}

// identity is who the first leg proved.
func (s state) identity() person {
	return person{Identity: connection.Identity{Tenant: s.Tenant, Object: s.Object}, admin: s.Admin}
}

// app is the app that the trip is about.
func (s state) app() connection.App { return connection.App{ID: s.App, Own: s.Own} }

// details are what the audit log holds of the trip.
func (s state) details() []string { return []string{"profile", s.Profile, "app", s.App} }

// ValidGUID reports whether s is a GUID in the lower-case form that Entra
// writes.
func ValidGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
