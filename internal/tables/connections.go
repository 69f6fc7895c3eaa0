package tables

import (
	"context"
	"encoding/json"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	// connectionsPartition holds all connections: some thousands of small
	// rows, read in order of ID.
	connectionsPartition = "connection"
	claimsPartition      = "public" // the cloud; a tenant ID is unique within it
	// keyEnd sorts after every ID that we or Microsoft make.
	keyEnd = "~"
	// never is the due time of a connection without a schedule.
	never = "9999"
)

// dueColumn sorts as the time does.
func dueColumn(t time.Time) string {
	if t.IsZero() {
		return never
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func connectionRow(c connection.Connection) (row, error) {
	etag := c.Version
	data, err := pack(c)
	return row{
		pk: connectionsPartition, rk: c.ID, etag: etag, data: data,
		cols: map[string]string{"Due": dueColumn(c.NextDue), "Status": string(c.Status)},
	}, err
}

func toConnection(r row) (connection.Connection, error) {
	c, err := unpack[connection.Connection](r)
	c.Version = r.etag
	return c, err
}

// CreateConnection stores a new connection, or returns [fault.Conflict] if
// its ID is taken.
func (s *Store) CreateConnection(ctx context.Context, c connection.Connection) (err error) {
	defer fault.Wrap(&err, "tables: create connection %s", c.ID)
	r, err := connectionRow(c)
	if err != nil {
		return err
	}
	return insert(ctx, s.connections, r)
}

// Connection reads one connection, or returns [fault.NotFound].
func (s *Store) Connection(ctx context.Context, id string) (c connection.Connection, err error) {
	defer fault.Wrap(&err, "tables: connection %s", id)
	r, err := get(ctx, s.connections, connectionsPartition, id)
	if err != nil {
		return c, err
	}
	return toConnection(r)
}

// UpdateConnection stores c if nobody has since c.Version was read, and
// returns it with its new Version; else [fault.Conflict].
func (s *Store) UpdateConnection(ctx context.Context, c connection.Connection) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "tables: update connection %s", c.ID)
	if c.Version == "" {
		return c, fault.New(fault.Invalid, "no version to compare")
	}
	r, err := connectionRow(c)
	if err != nil {
		return c, err
	}
	c.Version, err = replace(ctx, s.connections, r)
	return c, err
}

// Connections lists at most limit connections in ID order with an ID after
// the given one, and the ID to go on after, empty at the end.
func (s *Store) Connections(ctx context.Context, after string, limit int) (cs []connection.Connection, next string, err error) {
	defer fault.Wrap(&err, "tables: connections after %q", after)
	return s.connectionsWhere(ctx, "", after, limit)
}

// Due lists like Connections, but only those whose next run is due at now.
func (s *Store) Due(ctx context.Context, now time.Time, after string, limit int) (cs []connection.Connection, next string, err error) {
	defer fault.Wrap(&err, "tables: connections due at %s", now.Format(time.RFC3339))
	return s.connectionsWhere(ctx, "Due le '"+dueColumn(now)+"'", after, limit)
}

func (s *Store) connectionsWhere(ctx context.Context, filter, after string, limit int) (cs []connection.Connection, next string, err error) {
	sp := span{pk: connectionsPartition, from: "0", after: after, below: keyEnd, filter: filter}
	return readable(ctx, s.connections, s.Log, sp, limit, toConnection)
}

// claim says which connection owns a tenant.
type claim struct {
	Connection string    `json:"connection"`
	At         time.Time `json:"at"`
}

// Claim makes the connection the owner of the tenant. If it is already, the
// claim counts from now on anew. It returns [fault.Conflict] if another
// connection is the owner.
func (s *Store) Claim(ctx context.Context, tenant, connection string) (err error) {
	defer fault.Wrap(&err, "tables: claim tenant %s for %s", tenant, connection)
	data, err := pack(claim{Connection: connection, At: s.Now().UTC()})
	if err != nil {
		return err
	}
	r := row{pk: claimsPartition, rk: tenant, data: data}
	err = insert(ctx, s.claims, r)
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	owner, etag, readErr := s.claim(ctx, tenant)
	switch {
	case readErr != nil:
		return readErr
	case owner.Connection != connection:
		return err
	}
	r.etag = etag
	_, err = replace(ctx, s.claims, r)
	return err
}

// Owner returns the connection that owns the tenant, or [fault.NotFound].
func (s *Store) Owner(ctx context.Context, tenant string) (_ string, err error) {
	defer fault.Wrap(&err, "tables: owner of tenant %s", tenant)
	c, _, err := s.claim(ctx, tenant)
	return c.Connection, err
}

func (s *Store) claim(ctx context.Context, tenant string) (c claim, etag string, err error) {
	r, err := get(ctx, s.claims, claimsPartition, tenant)
	if err != nil {
		return c, "", err
	}
	c, err = unpack[claim](r)
	return c, r.etag, err
}

// Claims lists at most limit claims in tenant order, and the tenant to go on
// after: pairs of tenant and owning connection, with the time of the claim.
func (s *Store) Claims(ctx context.Context, after string, limit int) (cs []connection.Claim, next string, err error) {
	defer fault.Wrap(&err, "tables: claims after %q", after)
	sp := span{pk: claimsPartition, from: "0", after: after, below: keyEnd}
	return readable(ctx, s.claims, s.Log, sp, limit, func(r row) (connection.Claim, error) {
		c, err := unpack[claim](r)
		return connection.Claim{Tenant: r.rk, Connection: c.Connection, At: c.At}, err
	})
}

// Release gives up a claim, unless it has been renewed or has another owner
// by now.
func (s *Store) Release(ctx context.Context, old connection.Claim) (err error) {
	defer fault.Wrap(&err, "tables: release tenant %s of %s", old.Tenant, old.Connection)
	c, etag, err := s.claim(ctx, old.Tenant)
	if fault.Is(err, fault.NotFound) || err == nil && (c.Connection != old.Connection || !c.At.Equal(old.At)) {
		return nil
	}
	if err != nil {
		return err
	}
	return remove(ctx, s.claims, claimsPartition, old.Tenant, etag)
}

const noncesPartition = "nonce"

// nonce is a value that can be taken once.
type nonce struct {
	Value   json.RawMessage `json:"value"`
	Expires time.Time       `json:"expires"`
}

// PutNonce stores a JSON value that one taker can have until it expires. It
// returns [fault.Conflict] if the key exists.
func (s *Store) PutNonce(ctx context.Context, key string, value []byte, expires time.Time) (err error) {
	defer fault.Wrap(&err, "tables: put nonce")
	data, err := pack(nonce{Value: value, Expires: expires})
	if err != nil {
		return err
	}
	return insert(ctx, s.nonces, row{pk: noncesPartition, rk: key, data: data, cols: map[string]string{"Due": dueColumn(expires)}})
}

// TakeNonce deletes the value and returns it to exactly one caller; everyone
// else, and everyone after its expiry, gets [fault.NotFound].
func (s *Store) TakeNonce(ctx context.Context, key string, now time.Time) (_ []byte, err error) {
	defer fault.Wrap(&err, "tables: take nonce")
	r, err := get(ctx, s.nonces, noncesPartition, key)
	if err != nil {
		return nil, err
	}
	n, err := unpack[nonce](r)
	if err != nil {
		return nil, err
	}
	if err := remove(ctx, s.nonces, noncesPartition, key, r.etag); err != nil {
		if fault.Is(err, fault.Conflict) { // somebody else took it
			return nil, fault.New(fault.NotFound, "taken meanwhile")
		}
		return nil, err
	}
	if !now.Before(n.Expires) {
		return nil, fault.New(fault.NotFound, "expired at %s", n.Expires.Format(time.RFC3339))
	}
	return n.Value, nil
}

// maxSweeps bounds one call of [Store.SweepNonces], in pages of rows: half a
// minute of work, and more than links that are pressed all the time make between
// two calls.
const maxSweeps = 50

// SweepNonces deletes the values that expired before now and returns how many.
// What is too much for one call is left to the next.
func (s *Store) SweepNonces(ctx context.Context, now time.Time) (n int, err error) {
	defer fault.Wrap(&err, "tables: sweep nonces")
	for range maxSweeps {
		k, done, err := dropRows(ctx, s.nonces, noncesPartition, "Due lt "+literal(dueColumn(now)), maxPage)
		n += k
		if done || err != nil {
			return n, err
		}
	}
	return n, nil
}
