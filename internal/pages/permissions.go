package pages

import "rollcall/internal/connection"

// grant is one permission in plain words.
type grant struct {
	Scope, Name string
	// What and Why are sentences: which of them are true depends on the settings.
	What, Why []string
}

// permission is an application permission of Microsoft Graph. Microsoft grants
// an app's permissions only as a whole, so the page says which of them the
// connection's settings use, and for what.
type permission struct {
	scope  string
	needed func(connection.Settings) bool
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
func mailboxes(s connection.Settings) bool      { return s.Mailboxes }
func mailboxTypes(s connection.Settings) bool   { return s.Mailboxes && s.MailboxTypes }
func scoped(s connection.Settings) bool         { return len(s.Groups) > 0 }
func groups(s connection.Settings) bool         { return s.Teams || s.SecurityGroups }

// permissions is in the order in which the page shows them. Each is the least
// that Microsoft documents for what the category asks.
var permissions = []permission{
	{
		scope: "User.Read.All", needed: always,
		what: []sentence{
			{".all", always}, {".positions", positions}, {".reportingLines", reportingLines}, {".licenses", licenses}, {".scoped", scoped},
		},
	},
	{scope: "Organization.Read.All", needed: always},
	{
		scope: "GroupMember.Read.All", needed: func(s connection.Settings) bool { return groups(s) || scoped(s) },
		what: []sentence{{".teams", teams}, {".securityGroups", securityGroups}, {".scoped", scoped}},
		why: []sentence{
			{".groups", func(s connection.Settings) bool { return groups(s) && !scoped(s) }},
			{".scoped", func(s connection.Settings) bool { return !groups(s) && scoped(s) }},
			{".both", func(s connection.Settings) bool { return groups(s) && scoped(s) }},
		},
	},
	{scope: "Member.Read.Hidden", needed: func(s connection.Settings) bool { return groups(s) || scoped(s) }},
	{scope: "LicenseAssignment.Read.All", needed: licenses},
	{scope: "Reports.Read.All", needed: mailboxes},
	{scope: "MailboxSettings.Read", needed: mailboxTypes},
}

// grants lists exactly the permissions that the settings need.
func (p page) grants(s connection.Settings) (gs []grant) {
	for _, perm := range permissions {
		if perm.needed(s) {
			key := "grant." + perm.scope
			gs = append(gs, grant{perm.scope, p.T(key), p.sentences(key+".what", perm.what, s), p.sentences(key+".why", perm.why, s)})
		}
	}
	return gs
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
