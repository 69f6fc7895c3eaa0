package tables

import (
	"bytes"
	"context"
	"crypto/rand"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// auditOfAll is the partition of entries that are about no single connection.
// "~" is in no connection's ID.
const auditOfAll = "~all"

func auditPartition(connection string) string {
	if connection == "" {
		return auditOfAll
	}
	return connection
}

// Note adds an entry to the audit log of its connection, or to the service's
// if it names none. An entry without an ID is given one, by which newer entries
// come first; one with an ID can be noted again, but nothing that was noted is
// changed: another entry with its ID is [fault.Conflict]. Nothing in this
// package changes or deletes a row of the audit log.
func (s *Store) Note(ctx context.Context, e connection.Entry) (err error) {
	defer fault.Wrap(&err, "tables: note %s of %s", e.Action, e.Connection)
	if e.At.IsZero() {
		return fault.New(fault.Invalid, "an entry without a time")
	}
	if e.ID == "" {
		e.ID = job.RunID(e.At, e.Connection, rand.Text())
	}
	e.At = e.At.UTC()
	data, err := pack(e)
	if err != nil {
		return err
	}
	r := row{pk: auditPartition(e.Connection), rk: e.ID, data: data}
	err = insert(ctx, s.audit, r)
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	// It may be there from a try whose answer was lost.
	if stored, readErr := get(ctx, s.audit, r.pk, r.rk); readErr == nil && bytes.Equal(stored.data, data) {
		return nil
	}
	return err
}

// Entries lists at most limit entries of a connection's audit log, or of the
// service's if connection is empty, newest first, with an ID after the given
// one, and the ID to go on after, empty at the end.
func (s *Store) Entries(ctx context.Context, connection, after string, limit int) (es []connection.Entry, next string, err error) {
	defer fault.Wrap(&err, "tables: audit log of %s", connection)
	sp := span{pk: auditPartition(connection), from: "0", after: after, below: keyEnd}
	return readable(ctx, s.audit, s.Log, sp, max(limit, 1), toEntry)
}

// toEntry reads a row of the audit log. One whose keys are not its own was not
// written by [Store.Note].
func toEntry(r row) (connection.Entry, error) {
	e, err := unpack[connection.Entry](r)
	if err != nil {
		return e, err
	}
	if e.ID != r.rk || auditPartition(e.Connection) != r.pk || e.At.IsZero() {
		return connection.Entry{}, fault.New(fault.Invalid, "row %s/%s: an entry of other keys, or without a time", r.pk, r.rk)
	}
	return e, nil
}
