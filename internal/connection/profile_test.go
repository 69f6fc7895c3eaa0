package connection_test

import (
	"slices"
	"testing"

	"rollcall/internal/connection"
)

// Each profile has all of the one before and more, and the widest covers
// whatever can be chosen.
func TestProfilesGrow(t *testing.T) {
	for i, p := range connection.Profiles[1:] {
		before := connection.Profiles[i]
		for _, scope := range before.Permissions {
			if !slices.Contains(p.Permissions, scope) {
				t.Errorf("%s lacks %s of %s", p.Name, scope, before.Name)
			}
		}
		if len(p.Permissions) <= len(before.Permissions) {
			t.Errorf("%s has no more than %s", p.Name, before.Name)
		}
	}
	all := connection.Settings{Positions: true, ReportingLines: true, Teams: true, SecurityGroups: true, Licenses: true, Mailboxes: true, MailboxTypes: true, Groups: []string{"g"}}
	if !connection.Profiles[len(connection.Profiles)-1].Covers(all) {
		t.Error("no profile covers everything")
	}
}

// The smallest registered profile that suffices is taken; where one is not
// registered, the next larger.
func TestAppsFor(t *testing.T) {
	three := connection.Apps{"base": "b", "teams": "t", "mailboxes": "m"}
	for name, test := range map[string]struct {
		apps     connection.Apps
		settings connection.Settings
		profile  string
		app      string
	}{
		"people only":          {three, connection.Settings{}, "base", "b"},
		"licenses":             {three, connection.Settings{Licenses: true, Positions: true, ReportingLines: true, Guests: true}, "base", "b"},
		"teams":                {three, connection.Settings{Teams: true}, "teams", "t"},
		"security groups":      {three, connection.Settings{SecurityGroups: true}, "teams", "t"},
		"scope groups":         {three, connection.Settings{Groups: []string{"g"}}, "teams", "t"},
		"mailboxes":            {three, connection.Settings{Mailboxes: true}, "mailboxes", "m"},
		"defaults":             {three, connection.Defaults, "teams", "t"},
		"one app":              {connection.Apps{"mailboxes": "m"}, connection.Settings{}, "mailboxes", "m"},
		"no base":              {connection.Apps{"teams": "t", "mailboxes": "m"}, connection.Settings{Licenses: true}, "teams", "t"},
		"none that suffices":   {connection.Apps{"base": "b", "teams": "t"}, connection.Settings{Mailboxes: true}, "", ""},
		"types, no mailboxes":  {three, connection.Settings{MailboxTypes: true}, "base", "b"},
		"none":                 {nil, connection.Settings{}, "", ""},
		"registered but empty": {connection.Apps{"base": "", "mailboxes": "m"}, connection.Settings{}, "mailboxes", "m"},
	} {
		p, app, ok := test.apps.For(test.settings)
		if p.Name != test.profile || app != test.app || ok != (test.app != "") {
			t.Errorf("%s: %s, %s, %t", name, p.Name, app, ok)
		}
	}
	for want, apps := range map[string]connection.Apps{"m": three, "t": {"base": "b", "teams": "t"}, "": {}} {
		if got := apps.Widest(); got != want {
			t.Errorf("widest of %v: %s", apps, got)
		}
	}
}

func TestCovered(t *testing.T) {
	mail := &connection.Settings{Mailboxes: true}
	for name, test := range map[string]struct {
		c       connection.Connection
		covered bool
	}{
		"from before there were profiles": {connection.Connection{Settings: mail}, true},
		"own app":                         {connection.Connection{OwnApp: "x", Profile: "base", Settings: mail}, true},
		"too little":                      {connection.Connection{Profile: "teams", Settings: mail}, false},
		"enough":                          {connection.Connection{Profile: "mailboxes", Settings: mail}, true},
		"defaults in base":                {connection.Connection{Profile: "base"}, false},
		"defaults in teams":               {connection.Connection{Profile: "teams"}, true},
		"a profile that is gone":          {connection.Connection{Profile: "huge", Settings: mail}, true},
	} {
		if test.c.Covered() != test.covered {
			t.Errorf("%s: %t", name, test.c.Covered())
		}
	}
}
