package connection_test

import (
	"slices"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// A status moves along the table and no other way; Offboarded is the end.
func TestMove(t *testing.T) {
	for from, after := range connection.Transitions {
		for to := range connection.Transitions {
			c := connection.Connection{ID: "c", Status: from}
			err := c.Move(to)
			allowed := from == to || slices.Contains(after, to)
			if allowed && (err != nil || c.Status != to) || !allowed && (!fault.Is(err, fault.Conflict) || c.Status != from) {
				t.Errorf("%s to %s: %v, now %s", from, to, err, c.Status)
			}
		}
	}
	if len(connection.Transitions[connection.Offboarded]) != 0 {
		t.Error("an offboarded connection comes back")
	}
	for from, after := range connection.Transitions {
		if from != connection.Offboarded && !slices.Contains(after, connection.Offboarded) {
			t.Errorf("%s cannot be offboarded", from)
		}
		if slices.Contains(after, connection.OK) && !slices.Contains([]connection.Status{connection.Connected, connection.Held, connection.Degraded, connection.Failed, connection.Disconnected, connection.Paused}, from) {
			t.Errorf("%s is OK without a run", from)
		}
	}
}

func TestLiveAndStanding(t *testing.T) {
	verified := time.Unix(1, 0)
	for status, live := range map[connection.Status]bool{
		connection.Invited: false, connection.Consenting: false, connection.Connected: true, connection.OK: true, connection.Held: true,
		connection.Degraded: true, connection.Failed: true, connection.Disconnected: true, connection.Paused: false, connection.Offboarded: false,
	} {
		c := connection.Connection{Status: status, Verified: verified}
		if c.Live() != live {
			t.Errorf("%s is live: %t", status, c.Live())
		}
		open, throttled := connection.Syncing, connection.Throttled
		if !live {
			open, throttled = status, status
		}
		if c.Standing(false, true) != status || c.Standing(true, false) != open || c.Standing(true, true) != throttled {
			t.Errorf("%s is shown as %s, %s, %s", status, c.Standing(false, true), c.Standing(true, false), c.Standing(true, true))
		}
	}
	for _, c := range []connection.Connection{{Verified: verified}, {NextDue: verified}, {}} {
		c.Status = connection.Failed
		if want := c.Verified == verified || c.NextDue == verified; c.Live() != want {
			t.Errorf("%+v: live %t", c, c.Live())
		}
	}
}

func TestMayConsent(t *testing.T) {
	lacking := &connection.Problem{Consent: true}
	more := &connection.Settings{Mailboxes: true}
	for name, test := range map[string]struct {
		c   connection.Connection
		may bool
	}{
		"invited":             {connection.Connection{Status: connection.Invited}, true},
		"failed":              {connection.Connection{Status: connection.Failed}, true},
		"disconnected":        {connection.Connection{Status: connection.Disconnected}, true},
		"consenting":          {connection.Connection{Status: connection.Consenting}, false},
		"ok":                  {connection.Connection{Status: connection.OK}, false},
		"ok, wants more":      {connection.Connection{Status: connection.OK, Profile: "teams", Settings: more}, true},
		"ok, own app":         {connection.Connection{Status: connection.OK, Profile: "teams", Settings: more, OwnApp: "x"}, false},
		"degraded":            {connection.Connection{Status: connection.Degraded, Problem: &connection.Problem{}}, false},
		"degraded, lacking":   {connection.Connection{Status: connection.Degraded, Problem: lacking}, true},
		"held, wants more":    {connection.Connection{Status: connection.Held, Profile: "base", Settings: more}, true},
		"paused, lacking":     {connection.Connection{Status: connection.Paused, Problem: lacking, Profile: "base", Settings: more}, false},
		"offboarded, lacking": {connection.Connection{Status: connection.Offboarded, Problem: lacking}, false},
	} {
		if test.c.MayConsent() != test.may {
			t.Errorf("%s: %t", name, test.c.MayConsent())
		}
	}
}
