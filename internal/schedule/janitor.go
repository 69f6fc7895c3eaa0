package schedule

import (
	"cmp"
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

// Places keeps where the last sweep ended.
type Places interface {
	// Place is the connection with which it ended; "" before the first.
	Place(ctx context.Context) (after string, err error)
	PutPlace(ctx context.Context, after string) error
}

// Janitor goes through all connections, repairs what crashes left behind, and
// judges who is disconnected. All fields are required, but for Aged
// and Credentials: without these nobody is warned of their end.
type Janitor struct {
	Store       Keeper
	Previews    Previews
	Repairers   []Repairer
	Places      Places
	Waves       Waves
	Audit       Audit
	Credentials Credentials
	Now         func() time.Time
	Log         *slog.Logger
	// Aged is told how long ago each live connection's last success was; nil
	// tells nobody.
	Aged func(ctx context.Context, connection string, age time.Duration)
	// Retention is how long committed changes can be read; 0 means forever.
	Retention time.Duration

	// warned is the day, since 1970, on which all Credentials were last read.
	warned atomic.Int64
}

// claimGrace is how long a claim may belong to a connection that is not
// connected: the consent takes at most half an hour to be verified.
const claimGrace = 2 * time.Hour

// stepTime bounds each of what a sweep does for all connections together, so
// that none of it takes the time of the others.
const stepTime = 45 * time.Second

// Sweep does one round. What is for all connections comes first, since going
// through them may take all the time there is; the next sweep then goes on where
// this one ended, or was killed. A connection that cannot be repaired, or takes
// its time, does not keep the others from it; the first failure is returned.
func (j *Janitor) Sweep(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "schedule: janitor")
	now := j.Now().UTC()
	var first error
	step := func(what string, do func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, stepTime)
		defer cancel()
		first = cmp.Or(first, j.failed(ctx, what, "", do(ctx)))
	}
	step("nonces", func(ctx context.Context) error {
		_, err := j.Store.SweepNonces(ctx, now)
		return err
	})
	all, err := j.count(ctx, now)
	if err != nil {
		return err
	}
	step("suspicions", func(ctx context.Context) error { return j.judge(ctx, all.suspects, all.verified, now) })
	step("claims", func(ctx context.Context) error { return j.free(ctx, all.tenants, now) })
	step("credentials", func(ctx context.Context) error { return j.expiries(ctx, all.owns, now) })
	return cmp.Or(first, j.round(ctx, all.connections, now))
}

// failed tells of what could not be done.
func (j *Janitor) failed(ctx context.Context, what, id string, err error) error {
	if err != nil {
		j.Log.ErrorContext(ctx, "not repaired", "what", what, "connection", id, "err", err)
	}
	return err
}

// census is what a sweep has to know of all connections at once.
type census struct {
	// tenants are those held and owns the secrets with own apps, by connection.
	tenants, owns map[string]string
	connections   int
	// suspects seem withdrawn; verified counts those that use the vendor's app.
	suspects []connection.Connection
	verified int
}

func (j *Janitor) count(ctx context.Context, now time.Time) (all census, err error) {
	all.tenants, all.owns = make(map[string]string), make(map[string]string)
	for c, err := range ring(ctx, "", j.Store.Connections) {
		if err != nil {
			return all, err
		}
		all.connections++
		if holds(&c, c.Tenant) {
			all.tenants[c.ID] = c.Tenant
		}
		if c.OwnApp != "" && c.Status != connection.Offboarded {
			all.owns[c.ID] = c.OwnApp
		}
		if !c.Live() {
			continue
		}
		j.age(ctx, &c, now)
		if c.OwnApp == "" {
			all.verified++
		}
		if c.Health.Suspicion != nil {
			all.suspects = append(all.suspects, c)
		}
	}
	return all, nil
}

// age tells how long ago the connection's last success was, and warns of one
// that is late; not of one that is disconnected, which is tried once a day and
// has been told of.
func (j *Janitor) age(ctx context.Context, c *connection.Connection, now time.Time) {
	age, late := c.Age(now)
	if late && c.Status != connection.Disconnected {
		j.Log.WarnContext(ctx, "tenant not synced for twice its interval", "connection", c.ID, "status", string(c.Status), "hours", int(age/time.Hour))
	}
	if j.Aged != nil && age > 0 {
		j.Aged(ctx, c.ID, age)
	}
}

// holds reports whether the tenant is the connection's. Who is paused or
// disconnected keeps theirs.
func holds(c *connection.Connection, tenant string) bool {
	return c.Tenant == tenant && (c.Live() || c.Status == connection.Consenting || c.Status == connection.Paused)
}

// free releases the tenants whose owners never connected, connected another
// one, or have been offboarded. One that fails does not keep the others from
// it; the first failure is returned.
func (j *Janitor) free(ctx context.Context, tenants map[string]string, now time.Time) error {
	forgotten := func(yield func(connection.Claim, error) bool) {
		for after := ""; ; {
			cs, next, err := j.Store.Claims(ctx, after, page)
			if err != nil {
				yield(connection.Claim{}, err)
				return
			}
			for _, c := range cs {
				if tenants[c.Connection] != c.Tenant && now.Sub(c.At) >= claimGrace && !yield(c, nil) {
					return
				}
			}
			if after = next; next == "" {
				return
			}
		}
	}
	_, short, first := each(ctx, forgotten, j.release)
	return cmp.Or(first, short)
}

// release gives up a claim, unless its owner, read afresh, holds the tenant or
// cannot be read: the list of connections leaves such rows out, so absence from
// it proves nothing.
func (j *Janitor) release(ctx context.Context, claim connection.Claim) error {
	c, err := j.Previews.Connection(ctx, claim.Connection)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err == nil && holds(&c, claim.Tenant) {
		return nil
	}
	if err := j.Store.Release(ctx, claim); err != nil {
		return err
	}
	j.Log.InfoContext(ctx, "claim of a tenant that is not connected released", "connection", claim.Connection)
	return nil
}
