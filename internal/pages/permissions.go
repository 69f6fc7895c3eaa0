package pages

import (
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
)

// grant is one permission in plain words.
type grant struct {
	Scope, Name string
	// Badge says that it is new, or that it is missing; empty if neither.
	Badge string
	// What and Why are sentences: which of them are true depends on the settings.
	What, Why []string
}

// permission is an application permission of Microsoft Graph and its texts.
type permission struct {
	scope string
	// what and why are its texts, by the last part of their keys; nil for one
	// text that is always true.
	what, why []sentence
}

// sentence is a text that is true of some settings.
type sentence struct {
	key string
	of  func(connection.Settings) bool
}

func always(connection.Settings) bool           { return true }
func positions(s connection.Settings) bool      { return s.Positions }
func reportingLines(s connection.Settings) bool { return s.ReportingLines }
func teams(s connection.Settings) bool          { return s.Teams }
func securityGroups(s connection.Settings) bool { return s.SecurityGroups }
func licenses(s connection.Settings) bool       { return s.Licenses }
func scoped(s connection.Settings) bool         { return len(s.Groups) > 0 }
func groups(s connection.Settings) bool         { return s.Teams || s.SecurityGroups }

// permissions are all that any profile holds.
var permissions = []permission{
	{
		scope: "User.Read.All",
		what: []sentence{
			{".all", always}, {".positions", positions}, {".reportingLines", reportingLines}, {".licenses", licenses}, {".scoped", scoped},
		},
	},
	{scope: "Organization.Read.All"},
	{
		scope: "GroupMember.Read.All",
		what:  []sentence{{".teams", teams}, {".securityGroups", securityGroups}, {".scoped", scoped}},
		why: []sentence{
			{".groups", func(s connection.Settings) bool { return groups(s) && !scoped(s) }},
			{".scoped", func(s connection.Settings) bool { return !groups(s) && scoped(s) }},
			{".both", func(s connection.Settings) bool { return groups(s) && scoped(s) }},
		},
	},
	{scope: "Member.Read.Hidden"},
	{scope: "LicenseAssignment.Read.All"},
	{scope: "Reports.Read.All"},
	{scope: "MailboxSettings.Read"},
}

// grants lists exactly the permissions that will be consented to, in the
// profile's order: those that the settings use, and those that come along
// because Microsoft grants an app's permissions only as a whole.
func (p page) grants(v consent.View) (used, rest []grant) {
	needs := connection.Needs(v.Settings)
	all := v.Profile.Permissions
	if len(all) == 0 {
		all = needs
	}
	for _, scope := range all {
		key := "grant." + scope
		g := grant{Scope: scope, Name: p.T(key), Badge: p.badge(v, scope)}
		if !slices.Contains(needs, scope) {
			rest = append(rest, g)
			continue
		}
		var texts permission
		if i := slices.IndexFunc(permissions, func(o permission) bool { return o.scope == scope }); i >= 0 {
			texts = permissions[i]
		}
		g.What, g.Why = p.sentences(key+".what", texts.what, v.Settings), p.sentences(key+".why", texts.why, v.Settings)
		used = append(used, g)
	}
	return used, rest
}

// badge tells a permission that the settings have come to need, which is new to
// the administrator, from one that was approved and is not there any more.
func (p page) badge(v consent.View, scope string) string {
	switch {
	case !slices.Contains(p.missing, scope):
		return ""
	case slices.Contains(v.Missing, scope) && !v.Own:
		return p.T("grant.new")
	default:
		return p.T("grant.missing")
	}
}

func (p page) sentences(key string, all []sentence, s connection.Settings) (texts []string) {
	if all == nil {
		return []string{p.T(key)}
	}
	for _, t := range all {
		if t.of(s) {
			texts = append(texts, p.T(key+t.key))
		}
	}
	return texts
}

// missing lists the permissions that the settings need and that are not there:
// what was consented to lacks them, or the last run was denied what they open.
func missing(v consent.View) (scopes []string) {
	lacking := slices.Clone(v.Missing)
	if v.Run != nil {
		for _, s := range v.Run.Skipped {
			if s.Consent {
				lacking = append(lacking, connection.PermissionOf(s.What, s.Code))
			}
		}
	}
	for _, scope := range connection.Needs(v.Settings) {
		if slices.Contains(lacking, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}
