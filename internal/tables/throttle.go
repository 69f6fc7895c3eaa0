package tables

import (
	"context"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// throttlePrefix is what the row key of an app's throttle begins with.
const throttlePrefix = "throttle!"

// Throttle reads the last throttle of an app, as its owner names it. Before the
// first it is zero, with an empty Version.
func (s *Store) Throttle(ctx context.Context, app string) (t job.Throttle, err error) {
	defer fault.Wrap(&err, "tables: throttle of app %s", app)
	r, err := get(ctx, s.service, servicePartition, throttlePrefix+app)
	if fault.Is(err, fault.NotFound) {
		return job.Throttle{}, nil
	}
	if err != nil {
		return t, err
	}
	t, err = unpack[job.Throttle](r)
	t.Version = r.etag
	return t, err
}

// PutThrottle stores t if nobody has since t.Version was read; else
// [fault.Conflict].
func (s *Store) PutThrottle(ctx context.Context, app string, t job.Throttle) (err error) {
	defer fault.Wrap(&err, "tables: put throttle of app %s", app)
	data, err := pack(t)
	if err != nil {
		return err
	}
	r := row{pk: servicePartition, rk: throttlePrefix + app, etag: t.Version, data: data}
	if t.Version == "" {
		return insert(ctx, s.service, r)
	}
	_, err = replace(ctx, s.service, r)
	return err
}
