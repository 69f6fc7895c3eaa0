package connection

import (
	"slices"
	"time"
)

// Settings is what is synced of a tenant, and of whom. People are always
// synced; each further category asks Microsoft only for what it needs.
type Settings struct {
	Positions      bool `json:"positions"`
	ReportingLines bool `json:"reportingLines"`
	Teams          bool `json:"teams"`
	SecurityGroups bool `json:"securityGroups"`
	Licenses       bool `json:"licenses"`
	Mailboxes      bool `json:"mailboxes"`
	// MailboxTypes asks for each mailbox whether it is a person's, shared, a
	// room or equipment. It needs Mailboxes.
	MailboxTypes bool `json:"mailboxTypes"`

	// Guests and Disabled are whether guests and disabled accounts are synced.
	Guests   bool `json:"guests"`
	Disabled bool `json:"disabled"`
	// Groups are the IDs of the scope groups: if there are any, only their
	// members are synced, those of nested groups included. At most [MaxGroups].
	Groups []string `json:"groups,omitempty"`
}

// MaxGroups is how many scope groups a connection may have: as many as one
// call of checkMemberGroups takes. Source: Microsoft Graph documentation,
// "directoryObject: checkMemberGroups".
const MaxGroups = 20

// Defaults is what a connection syncs that has no settings of its own: what
// the recommended permissions allow, of everybody.
var Defaults = Settings{
	Positions: true, ReportingLines: true, Teams: true, Licenses: true,
	Guests: true, Disabled: true,
}

// Chosen is the connection's settings, or the defaults.
func (c *Connection) Chosen() Settings {
	if c.Settings != nil {
		s := *c.Settings
		s.Groups = slices.Clone(s.Groups)
		return s
	}
	return Defaults
}

// Override is a human's leave to pass the guard once.
type Override struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// Ask is a run that somebody asked for, of one person or as a preview.
type Ask struct {
	Trigger string    `json:"trigger"`
	Run     string    `json:"run"`
	Person  string    `json:"person,omitempty"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
	// Sent is false while it is unknown whether the message reached the queue.
	Sent bool `json:"sent,omitempty"`
}

// MaxAsks bounds Connection.Asks. It is above what the limits of such runs let
// through in their ten minutes: 30 syncs of one person, 10 erasures and 5
// previews.
const MaxAsks = 64

// Ask notes a run that somebody asked for.
func (c *Connection) Ask(a Ask) {
	c.Asks = append([]Ask{a}, c.Asks...)
	if len(c.Asks) > MaxAsks {
		c.Asks = c.Asks[:MaxAsks]
	}
}
