package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
)

// Settings is what is synced of a tenant, and of whom.
type Settings struct {
	Positions      bool     `json:"positions" doc:"Job titles, with their people." example:"true"`
	ReportingLines bool     `json:"reportingLines" doc:"Who is whose manager." example:"true"`
	Teams          bool     `json:"teams" doc:"Microsoft Teams, with their members." example:"true"`
	SecurityGroups bool     `json:"securityGroups" doc:"Security groups, with their members." example:"false"`
	Licenses       bool     `json:"licenses" doc:"Subscriptions, and who holds them." example:"true"`
	Mailboxes      bool     `json:"mailboxes" doc:"Mailboxes, from Microsoft's usage report." example:"false"`
	MailboxTypes   bool     `json:"mailboxTypes" doc:"Whether a mailbox is a person's, shared, a room or equipment." example:"false"`
	Guests         bool     `json:"guests" doc:"Whether guests are synced." example:"true"`
	Disabled       bool     `json:"disabled" doc:"Whether disabled accounts are synced." example:"true"`
	Groups         []string `json:"groups,omitempty" nullable:"false" doc:"The scope groups: only their members are synced, those of nested groups included. Absent if everybody is."`
}

func shapeSettings(s connection.Settings) Settings { return Settings(s) }

// SettingsRequest chooses what is synced. What it does not name stays as it
// is, or as the recommended settings have it.
type SettingsRequest struct {
	Positions      *bool     `json:"positions,omitempty" nullable:"false" doc:"Job titles, with their people. Recommended: true." example:"true"`
	ReportingLines *bool     `json:"reportingLines,omitempty" nullable:"false" doc:"Who is whose manager. Recommended: true." example:"true"`
	Teams          *bool     `json:"teams,omitempty" nullable:"false" doc:"Microsoft Teams, with their members. Recommended: true." example:"true"`
	SecurityGroups *bool     `json:"securityGroups,omitempty" nullable:"false" doc:"Security groups, with their members. Recommended: false." example:"false"`
	Licenses       *bool     `json:"licenses,omitempty" nullable:"false" doc:"Subscriptions with how many are free, and who holds them. Recommended: true." example:"true"`
	Mailboxes      *bool     `json:"mailboxes,omitempty" nullable:"false" doc:"Mailboxes with their sizes, from Microsoft's usage report, which is some days old. Recommended: false, since it needs a further permission." example:"true"`
	MailboxTypes   *bool     `json:"mailboxTypes,omitempty" nullable:"false" doc:"Asks for each mailbox whether it is a person's, shared, a room or equipment. Needs mailboxes, and a further permission. Recommended: false." example:"false"`
	Guests         *bool     `json:"guests,omitempty" nullable:"false" doc:"Whether guests are synced. Recommended: true." example:"true"`
	Disabled       *bool     `json:"disabled,omitempty" nullable:"false" doc:"Whether disabled accounts are synced. Recommended: true." example:"true"`
	Groups         []groupID `json:"groups,omitempty" nullable:"false" maxItems:"20" doc:"The object IDs of at most 20 groups, in lower case: only their members are synced, those of nested groups included. Repeats are dropped. An empty list stands for everybody." example:"[\"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94\"]"`
}

// groupID is a group's object ID.
type groupID string

// guidPattern is a GUID in its canonical form.
const guidPattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

// Schema is that of a lower-case GUID.
func (groupID) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Pattern: guidPattern, PatternDescription: "a GUID in lower case"}
	s.PrecomputeMessages()
	return s
}

// settingsInWords ends the descriptions of what takes settings.
const settingsInWords = " Settings count from the next run on; one starts by itself an hour after they were saved. Settings that need more permissions than the tenant consented to make consentNeeded true. Wider ones, be it a category, a kind of account or a group more, make that run read the whole tenant, and what was left out so far comes in. " +
	"Narrower ones make it judge everybody stored: who is no longer chosen is archived with the reason outOfScope, and these removals pass the guard like all others, so that many of them wait for a decision. " +
	"A category that is switched off is asked for no more: the job titles, managers or licenses of people are cleared, teams and security groups are archived through the guard, licenses and mailboxes stay as they were last. " +
	"A scope group that is gone, forbidden or empty stops all removals of that run, which then says so."

// settingsChange is a [SettingsRequest], described where it stands, that
// tells null from absence.
type settingsChange struct {
	given   bool
	wanted  SettingsRequest
	members map[string]json.RawMessage // nil for null
}

func (c *settingsChange) UnmarshalJSON(b []byte) error {
	c.given = true
	if err := json.Unmarshal(b, &c.members); err != nil {
		return err
	}
	return json.Unmarshal(b, &c.wanted)
}

// Schema is that of [SettingsRequest].
func (*settingsChange) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[SettingsRequest]())
}

// nulls lists where there is null in place of a value, which huma lets pass.
func (c *settingsChange) nulls(at *huma.PathBuffer) (errs []error) {
	if c.given && c.members == nil {
		return []error{&huma.ErrorDetail{Location: at.With("settings"), Message: "expected object"}}
	}
	for _, name := range slices.Sorted(maps.Keys(c.members)) {
		if string(c.members[name]) == "null" {
			errs = append(errs, &huma.ErrorDetail{Location: at.With("settings") + "." + name, Message: "expected a value; left out, it stays"})
		}
	}
	return errs
}

// detail is what the request names, for the audit log.
func (c *settingsChange) detail() map[string]string {
	d := map[string]string{}
	b, _ := json.Marshal(&c.wanted) // booleans and GUIDs: cannot fail
	var named map[string]json.RawMessage
	_ = json.Unmarshal(b, &named)
	for name, value := range named {
		d[name] = string(value)
	}
	if c.wanted.Groups != nil && len(c.wanted.Groups) == 0 {
		d["groups"] = "[]"
	}
	return d
}

// applySettings puts what the request names into the connection's settings. If
// that changes them, a sync follows by itself.
func (a *API) applySettings(c *connection.Connection, wanted *settingsChange, now time.Time) error {
	if !wanted.given {
		return nil
	}
	before := c.Chosen()
	if err := wanted.apply(c); err != nil {
		return err
	}
	if reflect.DeepEqual(before, c.Chosen()) {
		return nil
	}
	c.Hasten(now.Add(connection.SettingsDelay))
	return a.coverable(c)
}

// coverable refuses settings for which the vendor has registered no app with
// the permissions that they need. An app of the connection's own is taken to
// have them all.
func (a *API) coverable(c *connection.Connection) error {
	if c.OwnApp != "" {
		return nil
	}
	chosen := c.Chosen()
	if _, _, ok := a.Registered.For(chosen); ok {
		return nil
	}
	i := slices.IndexFunc(connection.Profiles, func(p connection.Profile) bool { return p.Covers(chosen) })
	if i < 0 {
		return problem(codeValidation, "No permission profile covers these settings.").
			at("body.settings", "expected fewer categories")
	}
	p := connection.Profiles[i]
	return problem(codeValidation, "No registered app has the permissions that these settings need.").
		withRemedy("Register an app in Microsoft Entra with the application permissions "+strings.Join(p.Permissions, ", ")+
			", and name it in the setting ENTRA_APPS as "+p.Name+"=<its client ID>; or leave out the categories that need it.").
		at("body.settings", "expected settings that a registered app covers; these need the profile "+p.Name)
}

// apply puts what the request names into the connection's settings.
func (c *settingsChange) apply(conn *connection.Connection) error {
	if !c.given {
		return nil
	}
	s, r := conn.Chosen(), &c.wanted
	for _, f := range []struct {
		named *bool
		to    *bool
	}{
		{r.Positions, &s.Positions}, {r.ReportingLines, &s.ReportingLines}, {r.Teams, &s.Teams}, {r.SecurityGroups, &s.SecurityGroups},
		{r.Licenses, &s.Licenses}, {r.Mailboxes, &s.Mailboxes}, {r.MailboxTypes, &s.MailboxTypes}, {r.Guests, &s.Guests}, {r.Disabled, &s.Disabled},
	} {
		if f.named != nil {
			*f.to = *f.named
		}
	}
	if r.Groups != nil {
		s.Groups = nil
		for _, id := range r.Groups {
			if !slices.Contains(s.Groups, string(id)) {
				s.Groups = append(s.Groups, string(id))
			}
		}
	}
	if s.MailboxTypes && !s.Mailboxes {
		return problem(codeValidation, "The types of mailboxes cannot be synced without the mailboxes.").
			at("body.settings.mailboxTypes", "expected false, or mailboxes to be true as well")
	}
	conn.Settings = &s
	return nil
}
