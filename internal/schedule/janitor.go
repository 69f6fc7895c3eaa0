package schedule

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Repairer puts right what a crash left behind for one connection. It writes
// nothing if all is well.
type Repairer interface {
	Repair(ctx context.Context, c connection.Connection, now time.Time) error
}

// Keeper is what the janitor needs of the store.
type Keeper interface {
	Connections(ctx context.Context, after string, limit int) (cs []connection.Connection, next string, err error)
	Claims(ctx context.Context, after string, limit int) (cs []connection.Claim, next string, err error)
	Release(ctx context.Context, c connection.Claim) error
	Trimmer
}

// Trimmer drops what is past its time.
type Trimmer interface {
	SweepNonces(ctx context.Context, now time.Time) (int, error)
	TrimChanges(ctx context.Context, connection string, before time.Time) (int, error)
}

// Previews is where previews were written, and who asked for them.
type Previews interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
	// Purge deletes up to limit rows of a partition of the directory, and
	// reports whether it is empty.
	Purge(ctx context.Context, part string, limit int) (done bool, err error)
}

// Janitor goes through all connections, repairs what crashes left behind, and
// judges who is disconnected. All fields are required, but for Credentials:
// without them nobody is warned of their end.
type Janitor struct {
	Store       Keeper
	Previews    Previews
	Repairers   []Repairer
	Waves       Waves
	Audit       Audit
	Credentials Credentials
	Now         func() time.Time
	Log         *slog.Logger
	// Retention is how long committed changes can be read; 0 means forever.
	Retention time.Duration

	// warned is the day, since 1970, on which Credentials were last looked at.
	warned atomic.Int64
}

// claimGrace is how long a claim may belong to a connection that is not
// connected: the consent takes at most half an hour to be verified.
const claimGrace = 2 * time.Hour

// Sweep does one round. A connection that cannot be repaired does not keep
// the others from it; the first failure is returned.
func (j *Janitor) Sweep(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "schedule: janitor")
	now := j.Now().UTC()
	var first error
	note := func(what, id string, err error) {
		if err == nil {
			return
		}
		j.Log.ErrorContext(ctx, "not repaired", "what", what, "connection", id, "err", err)
		if first == nil {
			first = err
		}
	}
	tenants, owns := make(map[string]string), make(map[string]string) // by connection
	var (
		suspects []connection.Connection
		verified int
	)
	purges := maxPurges
	for after := ""; ; {
		cs, next, err := j.Store.Connections(ctx, after, page)
		if err != nil {
			return err
		}
		for _, c := range cs {
			if c.Live() || c.Status == connection.Consenting || c.Status == connection.Paused {
				tenants[c.ID] = c.Tenant
			}
			if c.OwnApp != "" && c.Status != connection.Offboarded {
				owns[c.ID] = c.OwnApp
			}
			if c.Live() {
				verified++
				if c.Health.Suspicion != nil {
					suspects = append(suspects, c)
				}
			}
			for _, r := range j.Repairers {
				note("connection", c.ID, r.Repair(ctx, c, now))
			}
			note("preview", c.ID, j.drop(ctx, c, now, &purges))
			if j.Retention > 0 && (c.Live() || c.Status == connection.Paused) {
				_, err := j.Store.TrimChanges(ctx, c.ID, now.Add(-j.Retention))
				note("changes", c.ID, err)
			}
		}
		if next == "" {
			break
		}
		after = next
	}
	note("suspicions", "", j.judge(ctx, suspects, verified, now))
	note("claims", "", j.free(ctx, tenants, now))
	note("credentials", "", j.expiries(ctx, owns, now))
	_, err = j.Store.SweepNonces(ctx, now)
	note("nonces", "", err)
	return first
}

// free releases the tenants whose owners never connected, connected another
// one, or have been offboarded. Who is paused or disconnected keeps theirs.
func (j *Janitor) free(ctx context.Context, tenants map[string]string, now time.Time) error {
	for after := ""; ; {
		cs, next, err := j.Store.Claims(ctx, after, page)
		if err != nil {
			return err
		}
		for _, c := range cs {
			if tenants[c.Connection] == c.Tenant || now.Sub(c.At) < claimGrace {
				continue
			}
			if err := j.Store.Release(ctx, c); err != nil {
				return err
			}
			j.Log.InfoContext(ctx, "claim of a tenant that is not connected released", "connection", c.Connection)
		}
		if next == "" {
			return nil
		}
		after = next
	}
}
