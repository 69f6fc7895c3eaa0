package tables

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// maxOperations is the most operations in one transaction. Source: Azure
	// Table Storage, "Performing entity group transactions", which also caps
	// the body at 4 MiB.
	maxOperations = 100
	// maxBody is the most bytes of a body, by the estimate below.
	maxBody = 3584 << 10
	// operationSize is what an operation takes beside its entity, at most: the
	// boundary, the headers, and an address of the account's name and the keys.
	operationSize = 1 << 10
)

// writes gathers the operations of one transaction. The first error stays.
type writes struct {
	part    string
	overlay bool
	actions []aztables.TransactionAction
	rows    map[string]struct{}
	body    int // estimated bytes
	err     error
}

func (w *writes) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writes) action(kind aztables.TransactionType, r row, match *azcore.ETag) {
	if w.err != nil {
		return
	}
	if _, twice := w.rows[r.rk]; twice {
		w.fail(fault.New(fault.Invalid, "two writes of one row of kind %s in one transaction", kindOf(r.rk)).WithCode("duplicate_row"))
		return
	}
	w.rows[r.rk] = struct{}{}
	r.pk = w.part
	entity, err := r.encode()
	if err != nil {
		w.fail(err)
		return
	}
	w.body += len(entity) + operationSize
	w.actions = append(w.actions, aztables.TransactionAction{ActionType: kind, Entity: entity, IfMatch: match})
}

// add writes a row that must not be there.
func (w *writes) add(rk string, v any) { w.put(aztables.TransactionTypeAdd, rk, v, nil) }

// set writes a row, over whatever is there.
func (w *writes) set(rk string, v any) { w.put(aztables.TransactionTypeInsertReplace, rk, v, nil) }

func (w *writes) put(kind aztables.TransactionType, rk string, v any, match *azcore.ETag) {
	data, err := pack(v)
	if err != nil {
		w.fail(err)
	}
	w.action(kind, row{rk: rk, data: data}, match)
}

// drop deletes a row, which must be there: the service refuses the transaction
// if it is not. In an overlay a tombstone hides what lies beneath.
func (w *writes) drop(rk string) {
	if w.overlay {
		w.bury(rk)
		return
	}
	w.action(aztables.TransactionTypeDelete, row{rk: rk}, nil)
}

// bury leaves a tombstone, whether or not the row is there.
func (w *writes) bury(rk string) {
	w.action(aztables.TransactionTypeInsertReplace, row{rk: rk, gone: true}, nil)
}

// transaction builds the operations, the fence first.
func transaction(part string, f job.Fence, b *directory.Batch) ([]aztables.TransactionAction, error) {
	w := &writes{part: part, rows: make(map[string]struct{}, maxOperations)}
	_, w.overlay = beneath(part)
	if f.Version == "" {
		w.add(fenceKey, f)
	} else {
		match := azcore.ETag(f.Version)
		w.put(aztables.TransactionTypeUpdateReplace, fenceKey, f, &match)
	}
	for i := range b.Add {
		w.add(personKey(b.Add[i].ID), &b.Add[i])
	}
	setAll(w, personPrefix, b.Put, func(r *directory.Record) string { return r.ID })
	setAll(w, teamPrefix, b.Teams, func(r *directory.TeamRecord) string { return r.ID })
	setAll(w, licensePrefix, b.Licenses, func(r *directory.LicenseRecord) string { return r.ID })
	setAll(w, mailboxPrefix, b.Mailboxes, func(r *directory.MailboxRecord) string { return r.ID })
	setAll(w, positionPrefix, b.Positions, func(r *directory.PositionRecord) string { return r.ID })
	for i := range b.Rosters {
		w.roster(&b.Rosters[i])
	}
	for _, l := range b.Lists {
		if rk := string(l.List) + l.ID; l.Off {
			w.drop(rk)
		} else {
			w.set(rk, nil)
		}
	}
	for _, id := range b.Erase {
		w.drop(personKey(id))
	}
	for _, id := range b.EraseMailboxes {
		w.drop(mailboxPrefix + id)
	}
	w.erased(b)
	for _, rk := range b.DropSeen {
		if kind := kindOf(rk); kind != seenPrefix && kind != scopePrefix {
			w.fail(fault.New(fault.Invalid, "row of kind %s is no set of IDs", kind))
		}
		w.drop(rk)
	}
	w.changes(b)
	w.ids(seenPrefix, b.Enum, f.Seq, b.Seen)
	for _, st := range b.Staged {
		w.ids(seenPrefix, st.Enum, f.Seq, st.IDs)
	}
	w.ids(scopePrefix, b.ScopeSet, f.Seq, b.Scope)
	switch {
	case w.err != nil:
		return nil, w.err
	case len(w.actions) > maxOperations:
		return nil, fault.New(fault.Invalid, "transaction of %d operations, at most %d", len(w.actions), maxOperations)
	case w.body > maxBody:
		return nil, fault.New(fault.Invalid, "transaction of some %d bytes, at most %d", w.body, maxBody)
	}
	return w.actions, nil
}

func setAll[T any](w *writes, prefix string, recs []T, id func(*T) string) {
	for i := range recs {
		w.set(prefix+id(&recs[i]), &recs[i])
	}
}

// roster writes a roster. One without members becomes a tombstone everywhere:
// whoever empties a row need not know whether it is stored.
func (w *writes) roster(r *directory.Roster) {
	if len(r.Members) == 0 {
		w.bury(rosterKey(r))
		return
	}
	data, err := encodeRoster(r)
	if err != nil {
		w.fail(err)
	}
	w.action(aztables.TransactionTypeInsertReplace, row{rk: rosterKey(r), data: data}, nil)
}

func (w *writes) erased(b *directory.Batch) {
	for _, id := range b.Erased {
		if _, ok := directory.Key(id); !ok {
			w.fail(fault.New(fault.Invalid, "the ID of an erased person, of %d bytes, is no GUID", len(id)))
		}
		w.set(erasedPrefix+id, nil)
	}
	for _, id := range b.Unerased {
		w.drop(erasedPrefix + id)
	}
}

// changes writes the new row of changes, and the redacted ones under the keys
// that they have. A row that was trimmed meanwhile comes back redacted, and is
// trimmed again.
func (w *writes) changes(b *directory.Batch) {
	if n := len(b.Changes); n > 0 {
		w.add(changesKey(b.Changes[n-1].Number), b.Changes)
	}
	for _, r := range b.Redact {
		if n := len(r.Changes); n == 0 || changesKey(r.Changes[n-1].Number) != r.Row {
			w.fail(fault.New(fault.Invalid, "%d redacted changes do not belong into row %s", n, r.Row))
		}
		w.set(r.Row, r.Changes)
	}
}

// ids writes one packed row of a set of IDs.
func (w *writes) ids(prefix, set string, n int64, ids []string) {
	if len(ids) == 0 {
		return
	}
	if err := checkSet(set); err != nil {
		w.fail(err)
	}
	w.set(setKey(prefix, set, n), packIDs(ids))
}
