package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// ownName is what the secret of a connection's own app is named: so, no
// connection can be pointed at another secret of the vault, such as the
// vendor's.
var ownName = regexp.MustCompile(`^rollcall-app-[0-9a-z]{1,100}$`)

func (c *Credentials) ownSource(name string) (*source, error) {
	if !ownName.MatchString(name) {
		return nil, fault.New(fault.Invalid, "vault secret %q does not name an own app", name).WithRemedy(
			"Name the secret rollcall-app- and the connection's ID.")
	}
	if c.vault == nil {
		return nil, fault.New(fault.Invalid, "vault secret %s: there is no vault", name).WithRemedy(
			"Own app registrations need a key vault: set KEY_VAULT_URL.").WithCode(connection.OwnNoVault)
	}
	return c.inVault(name, parseOwn), nil
}

// OwnApp reads the Key Vault secret of a connection's own app registration now,
// and returns its client ID. The newest version must be in order. It returns
// [fault.NotFound] if there is no such secret, [fault.Invalid] if it is not as
// documented or has expired, [fault.Denied] if the vault refuses, and
// [fault.Unknown] if it does not answer; the code says which, as
// [connection.OwnMissing] and its like.
//
// It is for whoever has just put something there; strangers must not be able
// to cause it, since the vault's quota is everybody's.
func (c *Credentials) OwnApp(ctx context.Context, secret string) (clientID string, err error) {
	defer fault.Wrap(&err, "credential: own app")
	return c.ownApp(ctx, secret, 0)
}

// KnownApp is [Credentials.OwnApp] as read at most 15 seconds ago, the error
// included, however often it is called.
func (c *Credentials) KnownApp(ctx context.Context, secret string) (clientID string, err error) {
	defer fault.Wrap(&err, "credential: known own app")
	return c.ownApp(ctx, secret, proofRest)
}

func (c *Credentials) ownApp(ctx context.Context, secret string, maxAge time.Duration) (clientID string, err error) {
	s, err := c.ownSource(secret)
	if err != nil {
		return "", err
	}
	ps, err := s.within(ctx, maxAge)
	if err != nil {
		return "", told(err)
	}
	return ps[0].app, c.disorder(ps[0], secret)
}

// told gives what the vault answered the code by which whoever asked for an own
// app tells one trouble from another; the vault's own code stays in the cause.
func told(err error) error {
	e := *fault.Of(err)
	switch e.Kind {
	case fault.NotFound:
		e.Code = connection.OwnMissing
	case fault.Denied:
		e.Code = connection.OwnForbidden
	case fault.Unknown:
		e.Code = connection.OwnUnreachable
	default:
		return err
	}
	e.Err = err
	return &e
}

// disorder is why an own app's version cannot be used, or nil.
func (c *Credentials) disorder(p proof, secret string) error {
	switch {
	case p.bad != nil:
		return because(p.bad)
	case ends(p, c.now()):
		return fault.New(fault.Invalid, "vault secret %s has expired", secret).WithRemedy(
			"Make a new secret or certificate for the app registration and store it as a new version of %s.", secret).WithCode(connection.OwnExpired)
	}
	return nil
}

// because lifts the code of what is wrong with a version out of its cause.
func because(err error) error {
	e := *fault.Of(err)
	for cause := e.Err; e.Code == "" && cause != nil; {
		inner, ok := errors.AsType[*fault.Error](cause)
		if !ok {
			break
		}
		e.Code, cause = inner.Code, inner.Err
	}
	return &e
}

// ownForm is the Key Vault secret of a connection's own app registration.
type ownForm struct {
	App         string `json:"appId"`
	Secret      string `json:"secret"`
	Certificate string `json:"certificate"`
}

const ownRemedy = `Store {"appId": "<client ID>", "secret": "<client secret>"}, or "certificate" in place of "secret" with PEM of the certificate and its RSA private key of 2048 bits or more.`

// parseOwn reads a connection's own app registration.
func parseOwn(value, _ string) (proof, error) {
	bad := func(code, why string) (proof, error) {
		return proof{}, fault.New(fault.Invalid, "own app: %s", why).WithCode(code).WithRemedy(ownRemedy)
	}
	if len(value) > maxProof {
		return bad(connection.OwnNotJSON, "too large")
	}
	var f ownForm
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	d.DisallowUnknownFields()
	if d.Decode(&f) != nil || d.More() {
		return bad(connection.OwnNotJSON, "no JSON object of appId and secret or certificate")
	}
	f.App = strings.ToLower(f.App)
	switch {
	case !guid.MatchString(f.App):
		return bad(connection.OwnNoApp, "appId is no GUID")
	case (f.Secret == "") == (f.Certificate == ""):
		return bad(connection.OwnNoProof, "not one of secret and certificate")
	case f.Secret != "" && !isSecret(f.Secret):
		return bad(connection.OwnNoProof, "secret is no client secret")
	case f.Secret != "":
		return proof{app: f.App, secret: f.Secret}, nil
	}
	p, err := readCertificate([]byte(f.Certificate))
	if err != nil {
		return proof{}, fault.New(fault.Invalid, "own app: %w", err).WithCode(connection.OwnBadCertificate).WithRemedy("%s", fault.Of(err).Remedy)
	}
	p.app = f.App
	return p, nil
}
