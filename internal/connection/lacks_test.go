package connection

import (
	"strings"
	"testing"
)

// Only an app of the connection's own that lacks a permission is told to be
// given one; who withdrew it, or has another trouble, is not.
func TestOwnLacks(t *testing.T) {
	const denied = "Authorization_RequestDenied"
	for name, c := range map[string]struct {
		connection Connection
		want       bool
	}{
		"degraded":          {Connection{Status: Degraded, OwnApp: "s", Problem: &Problem{Code: denied, Consent: true}}, true},
		"held too":          {Connection{Status: Held, OwnApp: "s", Problem: &Problem{Code: "removals_held", Consent: true}}, true},
		"held":              {Connection{Status: Held, OwnApp: "s", Problem: &Problem{Code: "removals_held"}}, false},
		"paused":            {Connection{Status: Paused, Paused: &Pause{Before: Degraded}, OwnApp: "s", Problem: &Problem{Consent: true}}, true},
		"failed":            {Connection{Status: Failed, OwnApp: "s", Problem: &Problem{Code: denied}}, true},
		"another app":       {Connection{Status: Failed, OwnApp: "s", Problem: &Problem{Code: "app_changed", Consent: true}}, false},
		"withdrawn":         {Connection{Status: Failed, OwnApp: "s", Problem: &Problem{Code: "AADSTS700016", Consent: true}}, false},
		"disconnected":      {Connection{Status: Disconnected, OwnApp: "s", Problem: &Problem{Code: denied, Consent: true}}, false},
		"concealed names":   {Connection{Status: Degraded, OwnApp: "s", Problem: &Problem{Code: "concealed_names"}}, false},
		"the vendor's app":  {Connection{Status: Degraded, Problem: &Problem{Code: denied, Consent: true}}, false},
		"nothing is wrong":  {Connection{Status: OK, OwnApp: "s"}, false},
		"paused, of before": {Connection{Status: Paused, OwnApp: "s", Problem: &Problem{Code: denied, Consent: true}}, false},
	} {
		if got := c.connection.OwnLacks(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	c := Connection{Settings: &Settings{Licenses: true}}
	if s := c.OwnRemedy("Reports.Read.All"); !strings.HasPrefix(s, "Add Reports.Read.All to the connection's own app registration") || !strings.Contains(s, "grant admin consent") {
		t.Error(s)
	}
	if s := c.OwnLack(); !strings.Contains(s, "whatever it lacks of User.Read.All, Organization.Read.All, LicenseAssignment.Read.All to") {
		t.Error(s)
	}
}

// Each part that a run can leave out has the permission that opens it.
func TestPermissionOf(t *testing.T) {
	for _, c := range []struct{ what, code, want string }{
		{"teams", "x", "GroupMember.Read.All"}, {"teams", HiddenMembership, "Member.Read.Hidden"}, {"licenses", "", "LicenseAssignment.Read.All"},
		{"mailboxes", "", "Reports.Read.All"}, {"mailboxTypes", "", "MailboxSettings.Read"}, {"reportingLines", "", "User.Read.All"},
		{"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94", "scope_group_forbidden", "GroupMember.Read.All"},
	} {
		if got := PermissionOf(c.what, c.code); got != c.want {
			t.Errorf("%s, %s: %s", c.what, c.code, got)
		}
	}
}
