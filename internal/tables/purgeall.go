package tables

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/fault"
)

// What a purge of a connection does with each table:
//
//   - directory, runs: every row of the connection's partition and of what lies
//     over it goes.
//   - claims: the tenants that it owns are given up.
//   - connections: its row stays, as a tombstone that the caller empties.
//   - audit: stays for good; it names people by their IDs only.
//   - nonces: a step of a sign-in is found by its secret alone, so none can be
//     attributed. None outlives its quarter of an hour: it cannot be taken any
//     more, and [Store.SweepNonces] deletes it.
//   - service: holds nothing of any connection.

// PurgeAll deletes up to limit rows of what is stored of the connection, and
// returns how many, by table, and whether it has come to the end. It can be
// called at any time again. Somebody who writes at the same time keeps it from
// the end, which is no error.
func (s *Store) PurgeAll(ctx context.Context, connection string, limit int) (deleted map[string]int, done bool, err error) {
	defer fault.Wrap(&err, "tables: purge all of %s", connection)
	deleted = make(map[string]int)
	count := func(table string, n int) {
		if limit -= n; n > 0 {
			deleted[table] += n
		}
	}
	for _, part := range []string{connection + overlaySuffix, connection} {
		n, done, err := s.purge(ctx, part, max(limit, 1))
		count(directoryTable, n)
		if err != nil || !done {
			return deleted, false, err
		}
	}
	n, done, err := dropRows(ctx, s.runs, connection, "", max(limit, 1))
	count(runsTable, n)
	if err != nil || !done {
		return deleted, false, err
	}
	for r, err := range s.claimsOf(ctx, connection) {
		if err != nil {
			return deleted, false, err
		}
		if err := remove(ctx, s.claims, r.pk, r.rk, r.etag); fault.Is(err, fault.Conflict) {
			return deleted, false, nil
		} else if err != nil && !fault.Is(err, fault.NotFound) {
			return deleted, false, err
		}
		count(claimsTable, 1)
	}
	return deleted, true, nil
}

// Left counts the rows of directory and runs that are stored of the connection
// and that a purge has to delete. It does not look where [Store.PurgeAll]
// deletes, but through everything whose partition begins with the connection's
// ID. Claims are not among it: PurgeAll has read all of them to come to its end,
// and nobody claims for a connection that has ended but a consent that was under
// way, whose claim the janitor releases.
func (s *Store) Left(ctx context.Context, connection string) (n int, err error) {
	defer fault.Wrap(&err, "tables: what is left of %s", connection)
	for _, t := range []*table{s.directory, s.runs} {
		filter, sel := "PartitionKey ge "+literal(connection)+" and PartitionKey lt "+literal(connection+"~~"), "PartitionKey"
		for b, err := range entities(ctx, t, &aztables.ListEntitiesOptions{Filter: &filter, Select: &sel}) {
			if err != nil {
				return n, err
			}
			var key struct{ PartitionKey string }
			if err := json.Unmarshal(b, &key); err != nil {
				return n, fault.New(fault.Invalid, "row: %w", err)
			}
			if key.PartitionKey == connection || strings.HasPrefix(key.PartitionKey, connection+"~") {
				n++
			}
		}
	}
	return n, nil
}
