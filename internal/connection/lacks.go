package connection

import (
	"slices"
	"strings"
)

// HiddenMembership is the code of a team whose members are not shown to an app
// without the permission Member.Read.Hidden.
const HiddenMembership = "hidden_membership"

// permissionCodes are how Microsoft Graph, and a run, name a missing permission.
var permissionCodes = []string{"Authorization_RequestDenied", "ErrorAccessDenied", "accessDenied", HiddenMembership, "scope_group_forbidden"}

// LacksPermission reports whether the code of a problem is that of a permission
// that the app does not have.
func LacksPermission(code string) bool { return slices.Contains(permissionCodes, code) }

// categoryPermissions is what is missing where Microsoft denied a category.
var categoryPermissions = map[string]string{
	"teams": "GroupMember.Read.All", "licenses": "LicenseAssignment.Read.All",
	"mailboxes": "Reports.Read.All", "mailboxTypes": "MailboxSettings.Read", "reportingLines": "User.Read.All",
}

// IsCategory reports whether what a run left out is a category; else it is a
// scope group.
func IsCategory(what string) bool { return categoryPermissions[what] != "" }

// PermissionOf is the permission whose lack made a run leave something out: a
// category, or else a scope group.
func PermissionOf(what, code string) string {
	switch {
	case code == HiddenMembership:
		return "Member.Read.Hidden"
	case IsCategory(what):
		return categoryPermissions[what]
	default:
		return "GroupMember.Read.All"
	}
}

// OwnLacks reports whether the connection's problem is that its own app
// registration lacks a permission. To consent again is no help then, before
// the registration asks for it.
func (c *Connection) OwnLacks() bool {
	if c.OwnApp == "" || c.Problem == nil {
		return false
	}
	status := c.Status
	if status == Paused && c.Paused != nil {
		status = c.Paused.Before
	}
	switch status {
	case Degraded, Held:
		return c.Problem.Consent // what a run left out because it was denied
	case Failed:
		return LacksPermission(c.Problem.Code)
	default:
		return false
	}
}

// OwnRemedy says what mends an app registration of the connection's own that
// lacks permissions.
func (c *Connection) OwnRemedy(scopes ...string) string {
	return c.OwnLack(scopes...) + " Then grant admin consent there, or have the customer's administrator do so by a new link; the next sync finds out."
}

// OwnLack is the first half of that: where to add the permissions. Where it is
// not known which, those that the settings need are named.
func (c *Connection) OwnLack(scopes ...string) string {
	what := strings.Join(scopes, ", ")
	if len(scopes) == 0 {
		what = "whatever it lacks of " + strings.Join(Needs(c.Chosen()), ", ")
	}
	return "Add " + what + " to the connection's own app registration, as application permissions of Microsoft Graph: in the Microsoft Entra admin center, App registrations, API permissions."
}
