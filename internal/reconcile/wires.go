package reconcile

import (
	"context"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// PeopleSource is the people of a tenant at Microsoft.
type PeopleSource interface {
	// People fetches one page of users changed since link, with the properties
	// named; an empty link begins a full enumeration.
	People(ctx context.Context, tenant connection.Access, link string, properties []string) (directory.Page, error)
	// Existing returns those of at most 1,000 IDs of a kind that the tenant holds.
	Existing(ctx context.Context, tenant connection.Access, kind directory.Kind, ids []string) ([]string, error)
	// Whole returns those of the users that the tenant holds, managers included.
	Whole(ctx context.Context, tenant connection.Access, ids, properties []string) ([]directory.Item, error)
	// DeletedPeople tells those of the users who can be restored from those who
	// are gone for good.
	DeletedPeople(ctx context.Context, tenant connection.Access, ids []string) (map[string]bool, error)
}

// ListSource lists a tenant's people in any order, several pages at a time.
type ListSource interface {
	// LatestPeople is the delta link of what comes from now on.
	LatestPeople(ctx context.Context, tenant connection.Access, properties []string) (link string, err error)
	// CountPeople counts those whose user principal name begins with one of the
	// prefixes, or all.
	CountPeople(ctx context.Context, tenant connection.Access, prefixes ...string) (int, error)
	// ListPeople is one page of them, managers included; an empty link begins.
	// Before it is decoded, told gets the next page's link where that is seen.
	ListPeople(ctx context.Context, tenant connection.Access, prefixes []string, link string, properties []string, told func(next string)) (directory.ListPage, error)
}

// ManagerSource is who reports to whom; an empty ID is nobody.
type ManagerSource interface {
	// Managers is of those of the users that the tenant holds.
	Managers(ctx context.Context, tenant connection.Access, ids []string) (map[string]string, error)
	// ManagerPage is one page of everybody's; an empty link begins.
	ManagerPage(ctx context.Context, tenant connection.Access, link string) (managers map[string]string, next string, err error)
}

// GroupSource is the groups of a tenant and their direct members.
type GroupSource interface {
	// Groups fetches one page of groups changed since link.
	Groups(ctx context.Context, tenant connection.Access, link string) (directory.TeamPage, error)
	Members(ctx context.Context, tenant connection.Access, group, link string) (directory.IDPage, error)
	// MemberOf returns the groups of those of the users that the tenant holds.
	MemberOf(ctx context.Context, tenant connection.Access, people []string) (map[string][]string, error)
}

// ScopeSource is who belongs to a group at any depth.
type ScopeSource interface {
	Transitive(ctx context.Context, tenant connection.Access, group, link string) (directory.IDPage, error)
	// InGroups tells of those of the users that the tenant holds whether they
	// are in any of the groups.
	InGroups(ctx context.Context, tenant connection.Access, people, groups []string) (map[string]bool, error)
}

// HoldingsSource is what a tenant has bought, and its mailboxes.
type HoldingsSource interface {
	Licenses(ctx context.Context, tenant connection.Access) ([]directory.License, error)
	// Mailboxes calls each with one page after the other of the newest report,
	// and the report's date, until it wants no more.
	Mailboxes(ctx context.Context, tenant connection.Access, each func(refreshed string, page []directory.Mailbox) (more bool, err error)) error
	MailboxPurposes(ctx context.Context, tenant connection.Access, upns []string) (map[string]string, error)
}

// Graph is a tenant's directory at Microsoft. Calls count on the context's
// [job.Meter].
type Graph interface {
	PeopleSource
	ListSource
	ManagerSource
	GroupSource
	ScopeSource
	HoldingsSource
}

// State is the fenced state of a connection, or of a preview beside it.
type State interface {
	Fence(ctx context.Context, part string) (job.Fence, error)
	// Prepare makes a commit of the batch with the fence, and tells the fence as
	// it will be. The commit is sent, once, over the stored fence of that version.
	Prepare(part string, f job.Fence, b directory.Batch) (next job.Fence, send func(ctx context.Context, version string) (job.Fence, error), err error)
	// Purge deletes up to limit rows, and reports whether none is left.
	Purge(ctx context.Context, part string, limit int) (done bool, err error)
}

// People reads what is stored of a connection's people.
type People interface {
	Records(ctx context.Context, part string, ids []string) (map[string]directory.Record, error)
	People(ctx context.Context, part, after string, limit int) (ps []directory.Record, next string, err error)
	// ErasedPeople are those who are not to be stored again.
	ErasedPeople(ctx context.Context, part string) (map[[16]byte]struct{}, error)
	// Index calls each with the rows of the index since the commit from, in
	// order. What it is called with is its own until it returns.
	Index(ctx context.Context, part string, from int64, each func(row []directory.Indexed) error) error
}

// Places reads where a list of people in parallel has come to, and which rows
// nobody needs any more.
type Places interface {
	Shards(ctx context.Context, part string) ([]directory.Shard, error)
	ShardRows(ctx context.Context, part string, limit int) ([]string, error)
	// IndexRows lists rows of the index that were written before a commit.
	IndexRows(ctx context.Context, part string, before int64, limit int) ([]string, error)
}

// Teams reads what is stored of teams and memberships.
type Teams interface {
	Teams(ctx context.Context, part, after string, limit int) (ts []directory.TeamRecord, next string, err error)
	TeamRecords(ctx context.Context, part string, ids []string) (map[string]directory.TeamRecord, error)
	Rosters(ctx context.Context, part, team string) ([]directory.Roster, error)
	// TeamsOf looks through all rosters for a few people.
	TeamsOf(ctx context.Context, part string, people [][16]byte) (map[[16]byte][]string, error)
}

// Holdings reads what is stored of licences and mailboxes.
type Holdings interface {
	Licenses(ctx context.Context, part string) ([]directory.LicenseRecord, error)
	MailboxRecords(ctx context.Context, part string, ids []string) (map[string]directory.MailboxRecord, error)
	Mailboxes(ctx context.Context, part, after string, limit int) (ms []directory.MailboxRecord, next string, err error)
}

// Lists reads the removals that wait, the IDs that enumerations have come
// across, and the members of scopes.
type Lists interface {
	Listed(ctx context.Context, part string, l directory.List, after string, limit int) ([]string, error)
	Seen(ctx context.Context, part, enum string, each func(key [16]byte)) error
	SeenRows(ctx context.Context, part string, limit int) ([]string, error)
	Scope(ctx context.Context, part, set string) (map[[16]byte]struct{}, error)
}

// Feed reads the numbered changes as they are stored, and the positions that
// are made of them.
type Feed interface {
	ChangeRows(ctx context.Context, part string, after int64, limit int) ([]directory.ChangeRow, error)
	PositionRecords(ctx context.Context, part string, ids []string) (map[string]directory.PositionRecord, error)
	Positions(ctx context.Context, part, after string, limit int) (ps []directory.PositionRecord, next string, err error)
	// ScopeRows lists rows of scopes other than except, for a batch to drop.
	ScopeRows(ctx context.Context, part, except string, limit int) ([]string, error)
}

// Store is all that is stored of a connection's directory.
type Store interface {
	State
	People
	Places
	Teams
	Holdings
	Lists
	Feed
}

// Connections reads and writes connections and their run records.
type Connections interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
	PutRun(ctx context.Context, connection string, r job.Run) error
}

// Audit takes a line of a connection's audit log.
type Audit interface {
	Note(ctx context.Context, e connection.Entry) error
}

// Queue takes the message of the next slice; a zero time means now.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
}
