package connection

import "slices"

// Profile is a set of application permissions of Microsoft Graph that one app
// registration of the vendor asks for: Microsoft grants an app's permissions
// only as a whole, so who wants less needs another app.
type Profile struct {
	Name        string
	Permissions []string
}

// Profiles are the permission profiles, smallest first. Each contains the one
// before.
var Profiles = []Profile{
	{"base", []string{"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All"}},
	{"teams", []string{"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All", "GroupMember.Read.All", "Member.Read.Hidden"}},
	{"mailboxes", []string{
		"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All", "GroupMember.Read.All", "Member.Read.Hidden",
		"Reports.Read.All", "MailboxSettings.Read",
	}},
}

// Needs lists the permissions that the settings need, each the least that
// Microsoft documents for what the category asks.
func Needs(s Settings) []string {
	scopes := []string{"User.Read.All", "Organization.Read.All"}
	for _, n := range []struct {
		needed bool
		scopes []string
	}{
		{s.Licenses, []string{"LicenseAssignment.Read.All"}},
		{s.Teams || s.SecurityGroups || len(s.Groups) > 0, []string{"GroupMember.Read.All", "Member.Read.Hidden"}},
		{s.Mailboxes, []string{"Reports.Read.All"}},
		{s.Mailboxes && s.MailboxTypes, []string{"MailboxSettings.Read"}},
	} {
		if n.needed {
			scopes = append(scopes, n.scopes...)
		}
	}
	return scopes
}

// Covers reports whether the profile's permissions suffice for the settings.
func (p Profile) Covers(s Settings) bool {
	for _, scope := range Needs(s) {
		if !slices.Contains(p.Permissions, scope) {
			return false
		}
	}
	return true
}

// Apps are the client IDs of the vendor's app registrations, by profile name.
type Apps map[string]string

// For returns the smallest registered profile that covers the settings and its
// client ID; ok is false if none does.
func (a Apps) For(s Settings) (p Profile, app string, ok bool) {
	for _, p := range Profiles {
		if app := a[p.Name]; app != "" && p.Covers(s) {
			return p, app, true
		}
	}
	return Profile{}, "", false
}

// Widest is the client ID of the registered profile with the most permissions.
func (a Apps) Widest() string {
	for _, p := range slices.Backward(Profiles) {
		if a[p.Name] != "" {
			return a[p.Name]
		}
	}
	return ""
}

// Covered reports whether what the tenant consented to suffices for the
// settings. A connection of its own app, or from before there were profiles, is
// taken to have all.
func (c *Connection) Covered() bool {
	if c.OwnApp != "" || c.Profile == "" {
		return true
	}
	i := slices.IndexFunc(Profiles, func(p Profile) bool { return p.Name == c.Profile })
	return i < 0 || Profiles[i].Covers(c.Chosen())
}
