package pages

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

// everything is all that can be synced, of the people of one group.
var everything = connection.Settings{
	Positions: true, ReportingLines: true, Teams: true, SecurityGroups: true, Licenses: true, Mailboxes: true, MailboxTypes: true,
	Groups: []string{"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"},
}

const appID = "5f3c0a57-2d8b-4a1e-9a44-7a1f0a3c9b11"

func profile(t *testing.T, name string) connection.Profile {
	t.Helper()
	for _, p := range connection.Profiles {
		if p.Name == name {
			return p
		}
	}
	t.Fatal("no profile " + name)
	return connection.Profile{}
}

// invitation is the page of a connection with these settings, whose app asks
// for the profile.
func invitation(t *testing.T, p connection.Profile, s connection.Settings) string {
	t.Helper()
	return show(t, "en", consent.View{Stage: consent.Invitation, Company: "Contoso", Profile: p, App: appID, Settings: s, Link: "https://sync.example/connect/x"})
}

func scopes(html string) (found []string) {
	for _, m := range regexp.MustCompile(`<code>([A-Z][A-Za-z.]+)</code>`).FindAllStringSubmatch(html, -1) {
		found = append(found, m[1])
	}
	return found
}

// The page lists exactly the permissions of the app that asks, with a reason
// for those that the settings use, and the others as what they are.
func TestPermissionsAreTheProfiles(t *testing.T) {
	group := []string{"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"}
	people := []string{"User.Read.All", "Organization.Read.All"}
	license := []string{"LicenseAssignment.Read.All"}
	member := []string{"GroupMember.Read.All", "Member.Read.Hidden"}
	report, types := []string{"Reports.Read.All"}, []string{"MailboxSettings.Read"}
	for name, c := range map[string]struct {
		profile    string
		settings   connection.Settings
		used, rest []string
	}{
		"people only":            {"base", connection.Settings{}, people, license},
		"lines and positions":    {"base", connection.Settings{ReportingLines: true, Positions: true, Guests: true, Disabled: true}, people, license},
		"licenses":               {"base", connection.Settings{Licenses: true}, slices.Concat(people, license), nil},
		"defaults":               {"teams", connection.Defaults, slices.Concat(people, license, member), nil},
		"teams":                  {"teams", connection.Settings{Teams: true}, slices.Concat(people, member), license},
		"security groups":        {"teams", connection.Settings{SecurityGroups: true}, slices.Concat(people, member), license},
		"scope groups":           {"teams", connection.Settings{Groups: group}, slices.Concat(people, member), license},
		"mailboxes":              {"mailboxes", connection.Settings{Mailboxes: true}, slices.Concat(people, report), slices.Concat(license, member, types)},
		"mailboxes with types":   {"mailboxes", connection.Settings{Mailboxes: true, MailboxTypes: true}, slices.Concat(people, report, types), slices.Concat(license, member)},
		"everything":             {"mailboxes", everything, slices.Concat(people, license, member, report, types), nil},
		"people, only one app":   {"mailboxes", connection.Settings{}, people, slices.Concat(license, member, report, types)},
		"an own app lists needs": {"", connection.Settings{Mailboxes: true}, slices.Concat(people, report), nil},
	} {
		var p connection.Profile
		if c.profile != "" {
			p = profile(t, c.profile)
		}
		body := invitation(t, p, c.settings)
		above, below, _ := strings.Cut(body, "Included, but not used")
		if got := scopes(above); !slices.Equal(got, c.used) {
			t.Errorf("%s: used %v, want %v", name, got, c.used)
		}
		if got := scopes(below); !slices.Equal(got, c.rest) {
			t.Errorf("%s: rest %v, want %v", name, got, c.rest)
		}
		if n := strings.Count(body, "Why:</strong> to "); n != len(c.used) {
			t.Errorf("%s: %d reasons for %d permissions", name, n, len(c.used))
		}
		if said := strings.Contains(below, "does not use them with your settings"); said != (c.rest != nil) {
			t.Errorf("%s: said that some are not used: %v", name, said)
		}
	}
}

// Every permission of every profile has its texts.
func TestPermissionsAreComplete(t *testing.T) {
	for _, p := range connection.Profiles {
		for _, scope := range p.Permissions {
			if !slices.ContainsFunc(permissions, func(o permission) bool { return o.scope == scope }) {
				t.Errorf("%s has no texts", scope)
			}
		}
	}
}

// What a permission is used for follows the settings too.
func TestPermissionsSayOnlyWhatIsRead(t *testing.T) {
	widest := profile(t, "mailboxes")
	for text, s := range map[string]connection.Settings{
		"Their job titles.":         {Positions: true},
		"Who their managers are.":   {ReportingLines: true},
		"Which licenses they":       {Licenses: true},
		"Your teams:":               {Teams: true},
		"Your security groups:":     {SecurityGroups: true},
		"and in the groups within":  {Groups: []string{"x"}},
		"keeps only the members of": {Groups: []string{"x"}},
	} {
		if strings.Contains(invitation(t, widest, connection.Settings{}), text) {
			t.Errorf("%q is said to be read of people alone", text)
		}
		if !strings.Contains(invitation(t, widest, s), text) {
			t.Errorf("%q is not said with %+v", text, s)
		}
	}
}

// Whose app asks is said, and which; where none can, there is no button.
func TestApp(t *testing.T) {
	v := consent.View{Stage: consent.Invitation, Company: "Contoso", App: appID, Link: "https://sync.example/connect/x"}
	const own, exactly = "Contoso’s own app registration is used", "exactly these permissions"
	if body := show(t, "en", v); strings.Contains(body, own) || !strings.Contains(body, exactly) || !strings.Contains(body, appID) || !strings.Contains(body, "<form") {
		t.Error("the vendor's app:", body)
	}
	v.Own = true
	if body := show(t, "en", v); !strings.Contains(body, own) || strings.Contains(body, exactly) || !strings.Contains(body, appID) {
		t.Error("an own app:", body)
	}
	v.App = ""
	if body := show(t, "en", v); strings.Contains(body, "<form") || !strings.Contains(body, "This cannot be approved yet") {
		t.Error("no app:", body)
	}
}

// What is missing is told by name: what was consented to lacks it, or the last
// run was denied it.
func TestMissing(t *testing.T) {
	denied := func(what, code string) *job.Run {
		return &job.Run{State: job.Succeeded, Skipped: []job.Skipped{{What: what, Code: code, Consent: true}}}
	}
	for name, c := range map[string]struct {
		view consent.View
		want []string
	}{
		"nothing":        {consent.View{}, nil},
		"settings":       {consent.View{Missing: []string{"Reports.Read.All", "MailboxSettings.Read"}}, []string{"Reports.Read.All", "MailboxSettings.Read"}},
		"licenses":       {consent.View{Run: denied("licenses", "Authorization_RequestDenied")}, []string{"LicenseAssignment.Read.All"}},
		"teams":          {consent.View{Run: denied("teams", "Authorization_RequestDenied")}, []string{"GroupMember.Read.All"}},
		"hidden members": {consent.View{Run: denied("teams", "hidden_membership")}, []string{"Member.Read.Hidden"}},
		"a scope group":  {consent.View{Run: denied("6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94", "scope_group_forbidden")}, []string{"GroupMember.Read.All"}},
		"concealed":      {consent.View{Run: &job.Run{Skipped: []job.Skipped{{What: "mailboxes", Code: "concealed_names"}}}}, nil},
		"twice":          {consent.View{Missing: []string{"Reports.Read.All"}, Run: denied("mailboxes", "ErrorAccessDenied")}, []string{"Reports.Read.All"}},
	} {
		v := c.view
		v.Stage, v.Settings, v.Verified, v.Status, v.App = consent.Invitation, everything, true, connection.Degraded, appID
		v.Profile, v.Problem = profile(t, "mailboxes"), &connection.Problem{Consent: true}
		body := show(t, "en", v)
		_, list, _ := strings.Cut(body, "Missing permissions:")
		list, _, _ = strings.Cut(list, "</ul>")
		if got := scopes(list); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		// What the settings have come to need is new; what was taken back is missing.
		marks := map[string]int{}
		for _, badge := range []string{"New", "Missing"} {
			marks[badge] = strings.Count(body, `<span class="badge">`+badge+"<")
		}
		if isNew := len(c.view.Missing); marks["New"] != isNew || marks["Missing"] != len(c.want)-isNew {
			t.Errorf("%s: marked %v, of %v", name, marks, c.want)
		}
	}
}
