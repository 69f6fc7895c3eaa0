package credential

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Expiring lists the credentials that end within the time, or have ended, the
// first to end first: those of the vendor's apps, and of the own apps that
// owns names by connection. Of two versions it is the one in use that counts:
// the newest, unless Microsoft has refused it. Of those that could not be read
// err tells; the rest is listed all the same.
func (c *Credentials) Expiring(ctx context.Context, within time.Duration, owns map[string]string) (list []connection.Expiry, err error) {
	var errs []error
	look := func(app connection.App, of string) {
		s, err := c.source(&app)
		if err == nil && s != nil {
			var ps []proof
			if _, ps, err = s.proven(ctx, app.ID, proofLife); err == nil && ends(ps[0], c.now().Add(within)) {
				list = append(list, connection.Expiry{What: ps[0].what(), Name: cmp.Or(ps[0].file, s.name), Connection: of, Expires: ps[0].expires.UTC()})
			}
		}
		if err != nil {
			fault.Wrap(&err, "credential: expiry of app %s%s", app.ID, app.Own)
			errs = append(errs, err)
		}
	}
	for _, id := range slices.Sorted(maps.Values(c.apps)) {
		look(connection.App{ID: id}, "")
	}
	for _, of := range slices.Sorted(maps.Keys(owns)) {
		look(connection.App{Own: owns[of]}, of)
	}
	slices.SortStableFunc(list, func(a, b connection.Expiry) int {
		return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Name, b.Name))
	})
	// Several apps may share one certificate.
	return slices.Compact(list), errors.Join(errs...)
}

func ends(p proof, by time.Time) bool { return !p.expires.IsZero() && !p.expires.After(by) }

func (p proof) what() string {
	if p.key != nil {
		return "certificate"
	}
	return "secret"
}
