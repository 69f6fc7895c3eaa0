package schedule

import (
	"context"
	"time"

	"rollcall/internal/connection"
)

// expiryNotice is how long before its end a credential is warned of.
const expiryNotice = 30 * 24 * time.Hour

// Credentials knows when what proves the apps comes to its end.
type Credentials interface {
	// Expiring lists what ends within the time, or has ended, the own apps'
	// included, which are given as secrets by connection. It lists what it can,
	// whatever it fails at.
	Expiring(ctx context.Context, within time.Duration, owns map[string]string) ([]connection.Expiry, error)
}

// expiries warns of credentials that end soon: once a day, or oftener where
// processes are short-lived or not all of them could be read.
func (j *Janitor) expiries(ctx context.Context, owns map[string]string, now time.Time) error {
	if j.Credentials == nil {
		return nil
	}
	const seconds = 24 * 60 * 60
	today := now.Unix() / seconds
	if j.warned.Load() == today {
		return nil
	}
	list, err := j.Credentials.Expiring(ctx, expiryNotice, owns)
	if err == nil { // else the next sweep looks again
		j.warned.Store(today)
	}
	for _, e := range list {
		j.Log.WarnContext(ctx, "credential expires soon", "what", e.What, "name", e.Name, "connection", e.Connection,
			"days", int(e.Expires.Sub(now)/(24*time.Hour)), "expires", e.Expires)
	}
	return err
}
