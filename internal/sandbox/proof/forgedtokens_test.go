package proof

import (
	"testing"

	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/fault"
)

// forgedToken is a sign-in of an administrator whose ID token is false in one
// way.
func forgedToken(how string) func(f forger) func() *browser.Page {
	return func(f forger) func() *browser.Page {
		p := f.v.press(f.v.open(f.c.Link), begin)
		return func() *browser.Page {
			disarm := f.c.arm(f.t, f.Sandbox, fault.Fault{Path: fault.Token, Kind: fault.Forge, Forgery: how, Count: 1})
			defer disarm()
			return f.v.press(p, f.c.admin().Username)
		}
	}
}

// A token that was made for another app, sign-in, tenant or time proves nobody.
func TestThreatTokenForAnotherAudience(t *testing.T) {
	repelled(t, []forgery{
		{"for another app", 403, unproven, forgedToken(fault.OtherAudience)},
		{"of another sign-in", 403, unproven, forgedToken(fault.OtherNonce)},
		{"of another tenant's issuer", 403, unproven, forgedToken(fault.OtherIssuer)},
		{"of another tenant", 403, unproven, forgedToken(fault.OtherTenant)},
		{"expired", 403, unproven, forgedToken(fault.ExpiredToken)},
		{"not valid yet", 403, unproven, forgedToken(fault.EarlyToken)},
	})
}

// The token does not choose how it is verified.
func TestThreatAlgorithmConfusion(t *testing.T) {
	repelled(t, []forgery{
		{"without a signature", 403, unproven, forgedToken(fault.UnsignedToken)},
		{"signed with the public key as a secret", 403, unproven, forgedToken(fault.SymmetricToken)},
		{"with a role that was added afterwards", 403, unproven, forgedToken(fault.TamperedToken)},
	})
}

// A key signs for whom it was published, and only then; new ones are taken
// from Microsoft when they come.
func TestThreatKeyRotation(t *testing.T) {
	strangers := []forgery{
		{"a key that nobody published", 403, unproven, forgedToken(fault.StrangerToken)},
		{"a key under the name of a published one", 403, unproven, forgedToken(fault.BorrowedKeyID)},
		{"a key of personal accounts only", 403, unproven, forgedToken(fault.ConsumerToken)},
		{"a key of personal accounts, for one of them", 403, "This is a personal account", forgedToken(fault.PersonalIssuer)},
	}
	repelled(t, strangers)
	b := siegeOf(t)
	if err := b.Microsoft.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	b.Host.Kill() // it would ask again half a minute after it last did
	f := b.forger(t)
	f.v.press(f.v.signIn(f.c.Link, f.c.admin()), accept)
	awaitRuns(t, b.Sandbox, f.c, 1)
	check(t, b.Sandbox, f.c)
	repelled(t, strangers)
}
