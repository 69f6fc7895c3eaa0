package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

// expiring is credentials that end.
type expiring struct {
	asked int
	owns  map[string]string
	list  []connection.Expiry
	err   error
}

func (e *expiring) Expiring(_ context.Context, within time.Duration, owns map[string]string) ([]connection.Expiry, error) {
	if e.asked++; within != 30*24*time.Hour {
		return nil, fmt.Errorf("asked for %s", within)
	}
	e.owns = owns
	return e.list, e.err
}

// Once a day somebody is warned, of all that could be read.
func TestExpiringCredentials(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	w.clock.Until(w.clock.Now().Truncate(24 * time.Hour).Add(24 * time.Hour))
	own := func(s connection.Status) string {
		return w.add(w.clock.Now().Add(time.Hour), func(c *connection.Connection) { c.Status, c.OwnApp = s, "rollcall-app-x" })
	}
	live, paused := own(connection.OK), own(connection.Paused)
	own(connection.Offboarded)
	w.verified(1)
	e := &expiring{
		list: []connection.Expiry{
			{What: "certificate", Name: "main", Expires: w.clock.Now().Add(29*24*time.Hour + time.Hour)},
			{What: "secret", Name: "rollcall-app-x", Connection: live, Expires: w.clock.Now().Add(-25 * time.Hour)},
		},
		err: errors.New("another could not be read"),
	}
	j.Credentials = e
	if err := j.Sweep(t.Context()); !errors.Is(err, e.err) {
		t.Errorf("an unreadable credential: %v", err)
	}
	for _, want := range []string{
		`level=WARN msg="credential expires soon" what=certificate name=main connection="" days=29 `,
		`level=WARN msg="credential expires soon" what=secret name=rollcall-app-x connection=` + live + ` days=-1 `,
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("no %s in %s", want, log)
		}
	}
	if len(e.owns) != 2 || e.owns[live] != "rollcall-app-x" || e.owns[paused] != "rollcall-app-x" {
		t.Errorf("asked for %v", e.owns)
	}
	e.err = nil
	for _, after := range []struct {
		time  time.Duration
		asked int // what could not be read is looked at in the next sweep
	}{{time.Minute, 2}, {24*time.Hour - time.Minute - time.Second, 2}, {time.Second, 3}} {
		w.clock.Advance(after.time)
		w.sweep(j)
		if e.asked != after.asked {
			t.Errorf("%s later: asked %d times, want %d", after.time, e.asked, after.asked)
		}
	}
}
