package credential

import (
	"context"
	"regexp"
	"time"

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
			"Own app registrations need a key vault: set KEY_VAULT_URL.")
	}
	return c.inVault(name, parseOwn), nil
}

// OwnApp reads the Key Vault secret of a connection's own app registration now,
// and returns its client ID. The newest version must be in order. It returns
// [fault.NotFound] if there is no such secret, [fault.Invalid] if it is not as
// documented or has expired, and [fault.Denied] if the vault refuses.
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
		return "", err
	}
	return ps[0].app, c.disorder(ps[0], secret)
}

// disorder is why an own app's version cannot be used, or nil.
func (c *Credentials) disorder(p proof, secret string) error {
	switch {
	case p.bad != nil:
		return p.bad
	case ends(p, c.now()):
		return fault.New(fault.Invalid, "vault secret %s has expired", secret).WithRemedy(
			"Make a new secret or certificate for the app registration and store it as a new version of %s.", secret)
	}
	return nil
}
