package tenant

import (
	"slices"
	"time"
)

// Access is what a tenant has granted an app, as the token endpoint sees it.
type Access int

// The states of an app in a tenant.
const (
	Absent    Access = iota // never consented, or the consent has not spread at all
	Withdrawn               // the customer deleted the enterprise app
	Disabled                // the customer switched the enterprise app off
	Present                 // tokens are issued, with the roles that have spread
	Blocked                 // a policy of the customer stands in the way
)

// grant is an app's enterprise application in one tenant.
type grant struct {
	roles    []string
	before   []string // what holds until the last consent has spread
	known    bool     // the enterprise application had spread before it
	since    time.Time
	delay    time.Duration
	gone     bool
	disabled bool
	blocked  int // AADSTS code of the policy that refuses tokens, or 0
}

// Register makes an app of this tenant's own, whose enterprise application
// comes with it and has no permissions yet.
func (t *Tenant) Register(app string) { t.Consent(app, nil, 0) }

// Consent grants the app its roles in place of what it had. They spread over
// delay: in its first half the app is still unknown, in the second it gets
// tokens without the new roles.
func (t *Tenant) Consent(app string, roles []string, delay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	g := &grant{roles: slices.Clone(roles), since: now, delay: delay}
	if old := t.grants[app]; old != nil && !old.gone && now.Sub(old.since) >= old.delay {
		g.before, g.known, g.disabled, g.blocked = old.roles, true, old.disabled, old.blocked
	}
	t.grants[app] = g
}

// Revoke deletes the enterprise app, as a customer does to leave.
func (t *Tenant) Revoke(app string) {
	t.change(app, func(g *grant) { g.gone = true })
}

// Reinstate brings back a deleted enterprise app with what it was granted, as
// can be done for thirty days.
func (t *Tenant) Reinstate(app string) {
	t.change(app, func(g *grant) { g.gone = false })
}

// Block lets a policy of the tenant refuse the app's tokens with an AADSTS
// code, such as 53003 of Conditional Access; 0 lifts it.
func (t *Tenant) Block(app string, code int) {
	t.change(app, func(g *grant) { g.blocked = code })
}

// BlockedBy is the AADSTS code of the policy that refuses the app, or 0.
func (t *Tenant) BlockedBy(app string) int {
	code := 0
	t.change(app, func(g *grant) { code = g.blocked })
	return code
}

// Disable switches the enterprise app off, or on again.
func (t *Tenant) Disable(app string, off bool) {
	t.change(app, func(g *grant) { g.disabled = off })
}

// RemoveRole takes one permission back.
func (t *Tenant) RemoveRole(app, role string) {
	t.change(app, func(g *grant) {
		drop := func(l []string) []string {
			return slices.DeleteFunc(slices.Clone(l), func(r string) bool { return r == role })
		}
		g.roles, g.before = drop(g.roles), drop(g.before)
	})
}

// AddRole gives one permission more, or back, at once. Tokens that were
// issued stay as they are.
func (t *Tenant) AddRole(app, role string) {
	t.change(app, func(g *grant) {
		for _, l := range []*[]string{&g.roles, &g.before} {
			if !slices.Contains(*l, role) {
				*l = append(slices.Clone(*l), role)
			}
		}
	})
}

func (t *Tenant) change(app string, f func(*grant)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.grants[app]; g != nil {
		f(g)
	}
}

// Access tells the app's state now, and the roles that its tokens carry.
func (t *Tenant) Access(app string) (Access, []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.grants[app]
	if g == nil {
		return Absent, nil
	}
	age := t.now().Sub(g.since)
	switch {
	case g.gone:
		return Withdrawn, nil
	case g.disabled:
		return Disabled, nil
	case g.blocked != 0:
		return Blocked, nil
	case age >= g.delay:
		return Present, slices.Clone(g.roles)
	case g.known || age >= g.delay/2:
		return Present, slices.Clone(g.before)
	}
	return Absent, nil
}

// String names the state, for people.
func (a Access) String() string {
	return [...]string{"absent", "withdrawn", "disabled", "present", "blocked"}[a]
}
