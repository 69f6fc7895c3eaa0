// Package govern pauses and resumes connections, ends them, transfers their
// tenants, and purges what is stored of those that have ended.
//
// A connection ends by its fence: that is closed for good before anything else
// says that it has ended, so that nobody still writes what is being taken away.
// What is to be done is stored first and every step can be repeated, so that a
// process that dies anywhere leaves an end that [Governor.Repair] completes.
package govern

import (
	"context"
	"log/slog"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Connections reads a connection, updates it under the version that was read,
// and keeps the records of its runs: [fault.NotFound], [fault.Conflict].
type Connections interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
	PutRun(ctx context.Context, connection string, r job.Run) error
}

// Fences reads a partition's fence, which has an empty Version if there is
// none, and writes it under its Version: [fault.Conflict].
type Fences interface {
	Fence(ctx context.Context, part string) (job.Fence, error)
	Commit(ctx context.Context, part string, f job.Fence, b directory.Batch) (job.Fence, error)
}

// Claims says which connection owns a tenant.
type Claims interface {
	// Owner returns [fault.NotFound] for a tenant that nobody owns.
	Owner(ctx context.Context, tenant string) (connection string, err error)
	// Claim makes a connection the owner, or renews its claim; if another one
	// is the owner it returns [fault.Conflict].
	Claim(ctx context.Context, tenant, connection string) error
	// TransferClaim writes nothing if to is the owner already. It returns
	// [fault.NotFound] if nobody is and [fault.Conflict] if another one is.
	TransferClaim(ctx context.Context, tenant, from, to string) error
	// Disown does nothing if the connection is not the owner.
	Disown(ctx context.Context, tenant, connection string) error
}

// Data is what is stored of a connection beside its own row.
type Data interface {
	// PurgeAll deletes up to limit rows, and reports how many, by table, and
	// whether it has come to the end.
	PurgeAll(ctx context.Context, connection string, limit int) (deleted map[string]int, done bool, err error)
	// Left counts what there is to purge but for claims, by another way than
	// PurgeAll.
	Left(ctx context.Context, connection string) (int, error)
}

// Queue takes jobs; a zero time means now.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
	// Discard takes a connection's messages off the queue but for those of its
	// purge, and reports how many, by kind, and whether none is left.
	Discard(ctx context.Context, connection string) (discarded map[string]int, done bool, err error)
}

// Audit keeps who did what. An entry that is there already is noted once.
type Audit interface {
	Note(ctx context.Context, e connection.Entry) error
}

// Governor governs connections. All fields are required.
type Governor struct {
	Connections Connections
	Fences      Fences
	Claims      Claims
	Data        Data
	Queue       Queue
	Audit       Audit
	Now         func() time.Time
	Log         *slog.Logger
	// Budget is how long one slice of a purge works before it hands over.
	Budget time.Duration
}

// The codes of what is refused, for machines.
const (
	codeEnded        = "offboarded"
	codePurging      = "purging"
	codeNotConnected = "not_connected"
	codeTaken        = "tenant_owned"
	codeReceiver     = "cannot_receive"
)

func ended(c *connection.Connection) error {
	return fault.New(fault.Conflict, "%s has ended", c.ID).WithCode(codeEnded).
		WithRemedy("The connection has ended. To sync its tenant again, create another connection and send its link.")
}

// maxUpdates is how often an update meets another's before it gives up; each
// time somebody else got through.
const maxUpdates = 8

// update lets change judge and change what is stored, again if somebody else
// was faster, and returns what is then stored. Nothing is written if change
// returns false or an error.
func (g *Governor) update(ctx context.Context, id string, change func(*connection.Connection) (bool, error)) (connection.Connection, error) {
	for try := 1; ; try++ {
		c, err := g.Connections.Connection(ctx, id)
		if err != nil {
			return c, err
		}
		if changed, err := change(&c); err != nil || !changed {
			return c, err
		}
		stored, err := g.Connections.UpdateConnection(ctx, c)
		if err == nil || !fault.Is(err, fault.Conflict) || try == maxUpdates {
			return stored, err
		}
	}
}

// note adds what Rollcall did by itself to the audit log. Its ID follows from
// the arguments, so that it is there once however often it is noted.
func (g *Governor) note(ctx context.Context, c *connection.Connection, action string, at time.Time, detail map[string]string) {
	e := connection.Entry{
		ID: job.RunID(at, c.ID, action), Connection: c.ID, At: at, Source: connection.FromRollcall,
		Action: action, Outcome: "done", Detail: detail,
	}
	if err := g.Audit.Note(ctx, e); err != nil { // what Rollcall does by itself goes on
		g.Log.ErrorContext(ctx, "not in the audit log", "connection", c.ID, "action", action, "err", err)
	}
}
