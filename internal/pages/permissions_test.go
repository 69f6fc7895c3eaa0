package pages

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
)

// everything is all that can be synced, of the people of one group.
var everything = connection.Settings{
	Positions: true, ReportingLines: true, Teams: true, SecurityGroups: true, Licenses: true, Mailboxes: true, MailboxTypes: true,
	Groups: []string{"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"},
}

// invitation is the page of a connection with these settings.
func invitation(t *testing.T, s connection.Settings) string {
	t.Helper()
	w := httptest.NewRecorder()
	testPages(t).View(w, httptest.NewRequest(http.MethodGet, "/", nil), consent.View{Stage: consent.Invitation, Company: "Contoso", Settings: s})
	return w.Body.String()
}

// The page lists the permissions that the chosen categories need, and no other.
func TestPermissionsFollowTheSettings(t *testing.T) {
	base := []string{"User.Read.All", "Organization.Read.All"}
	group := []string{"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"}
	for name, c := range map[string]struct {
		settings connection.Settings
		more     []string
	}{
		"people only":             {connection.Settings{}, nil},
		"lines and positions":     {connection.Settings{ReportingLines: true, Positions: true, Guests: true, Disabled: true}, nil},
		"defaults":                {connection.Defaults, []string{"GroupMember.Read.All", "Member.Read.Hidden", "LicenseAssignment.Read.All"}},
		"teams":                   {connection.Settings{Teams: true}, []string{"GroupMember.Read.All", "Member.Read.Hidden"}},
		"security groups":         {connection.Settings{SecurityGroups: true}, []string{"GroupMember.Read.All", "Member.Read.Hidden"}},
		"scope groups":            {connection.Settings{Groups: group}, []string{"GroupMember.Read.All", "Member.Read.Hidden"}},
		"licenses":                {connection.Settings{Licenses: true}, []string{"LicenseAssignment.Read.All"}},
		"mailboxes":               {connection.Settings{Mailboxes: true}, []string{"Reports.Read.All"}},
		"mailboxes with types":    {connection.Settings{Mailboxes: true, MailboxTypes: true}, []string{"Reports.Read.All", "MailboxSettings.Read"}},
		"types without mailboxes": {connection.Settings{MailboxTypes: true}, nil},
		"everything": {everything, []string{
			"GroupMember.Read.All", "Member.Read.Hidden", "LicenseAssignment.Read.All", "Reports.Read.All", "MailboxSettings.Read",
		}},
	} {
		body := invitation(t, c.settings)
		var got []string
		for _, m := range regexp.MustCompile(`<code>([A-Za-z.]+)</code>`).FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if want := slices.Concat(base, c.more); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if n := strings.Count(body, "Why:</strong> to "); n != len(got) {
			t.Errorf("%s: %d reasons for %d permissions", name, n, len(got))
		}
		if !strings.Contains(body, "all of its permissions at once") {
			t.Errorf("%s: not said that Microsoft may list more", name)
		}
	}
}

// What a permission is used for follows the settings too.
func TestPermissionsSayOnlyWhatIsRead(t *testing.T) {
	for text, s := range map[string]connection.Settings{
		"Their job titles.":         {Positions: true},
		"Who their managers are.":   {ReportingLines: true},
		"Which licenses they":       {Licenses: true},
		"Your teams:":               {Teams: true},
		"Your security groups:":     {SecurityGroups: true},
		"and in the groups within":  {Groups: []string{"x"}},
		"keeps only the members of": {Groups: []string{"x"}},
	} {
		if strings.Contains(invitation(t, connection.Settings{}), text) {
			t.Errorf("%q is said to be read of people alone", text)
		}
		if !strings.Contains(invitation(t, s), text) {
			t.Errorf("%q is not said with %+v", text, s)
		}
	}
}

// A connection that works but for a part is not told that it has failed.
func TestDegradedPage(t *testing.T) {
	for degraded, heading := range map[bool]string{true: "Part of your directory could not be read", false: "The last attempt did not succeed"} {
		w := httptest.NewRecorder()
		testPages(t).View(w, httptest.NewRequest(http.MethodGet, "/", nil), consent.View{
			Stage: consent.Invitation, Degraded: degraded, Problem: &connection.Problem{Message: "Licenses were not synced.", Remedy: "Consent again."},
		})
		if body := w.Body.String(); !strings.Contains(body, heading) || !strings.Contains(body, "Licenses were not synced. Consent again.") {
			t.Errorf("degraded %v: %s", degraded, body)
		}
	}
}
