package consent

import (
	"fmt"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Cause names why the path ended. It is the key of the page's texts.
type Cause string

// The causes.
const (
	LinkUnknown Cause = "link-unknown"
	LinkExpired Cause = "link-expired"
	LinkRevoked Cause = "link-revoked"
	// LinkEnded: the connection has ended, and its links with it.
	LinkEnded Cause = "link-ended"
	// NoProfile: no app registration covers what is to be read, or the
	// connection's own cannot be used. It is the vendor's to mend.
	NoProfile Cause = "no-profile"
	// BadRequest: what arrived cannot come from Microsoft or from our page.
	BadRequest Cause = "bad-request"
	// StateUnknown: the step was finished, replayed, too slow, or never begun.
	StateUnknown Cause = "state-unknown"
	// OtherBrowser: the step was begun in another browser.
	OtherBrowser Cause = "other-browser"
	// WrongLeg: the answer to one step arrived with the state of the other.
	WrongLeg Cause = "wrong-leg"

	SignInDeclined Cause = "sign-in-declined"
	SignInFailed   Cause = "sign-in-failed"
	SignInExpired  Cause = "sign-in-expired"
	// Unproven: the sign-in's token does not prove who signed in.
	Unproven         Cause = "unproven"
	PersonalAccount  Cause = "personal-account"
	NotAdministrator Cause = "not-administrator"
	// NotNamedTenant: the vendor expects another tenant.
	NotNamedTenant Cause = "not-named-tenant"
	// BoundElsewhere: this connection already belongs to another tenant.
	BoundElsewhere Cause = "bound-elsewhere"
	// TenantOwned: another connection already owns this tenant.
	TenantOwned Cause = "tenant-owned"

	ConsentDeclined Cause = "consent-declined"
	ConsentFailed   Cause = "consent-failed"
	// OtherTenant: consent came back for another tenant than was signed in to.
	OtherTenant Cause = "other-tenant"
)

// Causes lists all causes, for whoever must have a text for each.
var Causes = []Cause{
	LinkUnknown, LinkExpired, LinkRevoked, LinkEnded, NoProfile, BadRequest, StateUnknown, OtherBrowser, WrongLeg,
	SignInDeclined, SignInFailed, SignInExpired, Unproven, PersonalAccount, NotAdministrator,
	NotNamedTenant, BoundElsewhere, TenantOwned, ConsentDeclined, ConsentFailed, OtherTenant,
}

// Refusal ends the path with the connection as it was; all that is kept of it
// is a line of the connection's audit log, with the IDs of who was proven. It is
// [fault.Denied], and holds what a page may tell the person in front of it.
type Refusal struct {
	Cause Cause
	// Connection is for the log; empty if unknown.
	Connection string
	// Company and Link are set only where this browser has shown that it may
	// know them.
	Company string
	Link    string
	// Renewal is true if the connection had its tenant before: what was consented
	// to then stands.
	Renewal bool
	// Tenant and Object identify who signed in, for the vendor to approve.
	Tenant, Object string
	// Expected is the tenant that would have been accepted.
	Expected string
	// Code is Microsoft's name of the cause, such as access_denied or
	// AADSTS65004; never its free text, which an address can forge.
	Code string
	Err  error

	// who was proved, for the audit log.
	who connection.Identity
}

// Proven reports whether it is proven who was refused: then their IDs are in the
// audit log.
func (r *Refusal) Proven() bool { return r.Object != "" || r.who.Object != "" }

func (r *Refusal) Error() string {
	s := "refused: " + string(r.Cause)
	if r.Code != "" {
		s += " (" + r.Code + ")"
	}
	if r.Err != nil {
		s = fmt.Sprintf("%s: %v", s, r.Err)
	}
	return s
}

// Unwrap classifies the refusal: trying the same again is no use.
func (r *Refusal) Unwrap() error {
	return &fault.Error{Kind: fault.Denied, Code: string(r.Cause), Err: r.Err}
}
