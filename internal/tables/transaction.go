package tables

import (
	"encoding/json"

	"github.com/klauspost/compress/s2"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// writes is a transaction in the table directory.
type writes struct {
	*batch
	overlay bool
}

// set writes a row, over whatever is there.
func (w *writes) set(rk string, data []byte) { w.replace(row{rk: rk, data: data}) }

// drop deletes a row, which must be there: the service refuses the transaction
// if it is not. In an overlay a tombstone hides what lies beneath.
func (w *writes) drop(rk string) {
	if w.overlay {
		w.bury(rk)
		return
	}
	w.remove(rk)
}

// bury leaves a tombstone, whether or not the row is there.
func (w *writes) bury(rk string) { w.replace(row{rk: rk, gone: true}) }

// json returns v as [pack] does, until the next value.
func (w *writes) json(v any) []byte {
	w.raw = w.raw[:0]
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		w.fail(fault.New(fault.Invalid, "pack %T: %w", v, err))
		return nil
	}
	return w.raw[:len(w.raw)-1] // without the line's end
}

// Write appends to the value that is being written.
func (w *writes) Write(p []byte) (int, error) {
	w.raw = append(w.raw, p...)
	return len(p), nil
}

// record returns a person's record as JSON, until the next value.
func (w *writes) record(r *directory.Record) []byte {
	w.raw = r.AppendJSON(w.raw[:0])
	return w.raw
}

// created is record of somebody new, of whom the first of the changes may tell.
func (w *writes) created(r *directory.Record, cs []directory.Change) []byte {
	if len(cs) == 0 || cs[0].ID != r.ID || cs[0].Type != directory.Created {
		return w.record(r)
	}
	w.raw = r.AppendCreated(w.raw[:0], &cs[0])
	return w.raw
}

// transaction builds the operations, the fence first. The caller frees them.
func (t *table) transaction(part string, f job.Fence, b *directory.Batch) (*batch, error) {
	w := &writes{batch: newBatch(t.url, part)}
	_, w.overlay = beneath(part)
	if f.Version == "" {
		w.add(row{rk: fenceKey, data: w.json(f)})
	} else {
		w.swap(row{rk: fenceKey, data: w.json(f)})
	}
	told := b.Changes
	for i := range b.Add {
		r := &b.Add[i]
		for len(told) > 0 && told[0].ID != r.ID { // they are in the same order, others in between
			told = told[1:]
		}
		w.add(row{rk: personKey(r.ID), data: w.created(r, told)})
	}
	for i := range b.Put {
		w.set(personKey(b.Put[i].ID), w.record(&b.Put[i]))
	}
	setAll(w, teamPrefix, b.Teams, func(r *directory.TeamRecord) string { return r.ID })
	setAll(w, licensePrefix, b.Licenses, func(r *directory.LicenseRecord) string { return r.ID })
	setAll(w, mailboxPrefix, b.Mailboxes, func(r *directory.MailboxRecord) string { return r.ID })
	setAll(w, positionPrefix, b.Positions, func(r *directory.PositionRecord) string { return r.ID })
	setAll(w, shardPrefix, b.Shards, func(s *directory.Shard) string { return s.Name })
	for i := range b.Rosters {
		w.roster(&b.Rosters[i])
	}
	for _, l := range b.Lists {
		if rk := string(l.List) + l.ID; l.Off {
			w.drop(rk)
		} else {
			w.set(rk, null)
		}
	}
	for _, id := range b.Erase {
		w.drop(personKey(id))
	}
	for _, id := range b.EraseMailboxes {
		w.drop(mailboxPrefix + id)
	}
	w.erased(b)
	w.dropSets(b.DropSeen)
	w.changes(b)
	w.ids(seenPrefix, b.Enum, f.Seq, b.Seen)
	for _, st := range b.Staged {
		w.ids(seenPrefix, st.Enum, f.Seq, st.IDs)
	}
	w.ids(scopePrefix, b.ScopeSet, f.Seq, b.Scope)
	w.index(&f, b)
	return w.batch, w.end()
}

// null is the value of a row whose key says it all.
var null = []byte("null")

func setAll[T any](w *writes, prefix string, recs []T, id func(*T) string) {
	for i := range recs {
		w.set(prefix+id(&recs[i]), w.json(&recs[i]))
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
	w.set(rosterKey(r), data)
}

func (w *writes) erased(b *directory.Batch) {
	for _, id := range b.Erased {
		if _, ok := directory.Key(id); !ok {
			w.fail(fault.New(fault.Invalid, "the ID of an erased person, of %d bytes, is no GUID", len(id)))
		}
		w.set(erasedPrefix+id, null)
	}
	for _, id := range b.Unerased {
		w.drop(erasedPrefix + id)
	}
}

// dropSets drops rows of which [directory.Batch] says that they are not needed
// any more.
func (w *writes) dropSets(rows []string) {
	for _, rk := range rows {
		switch kind := kindOf(rk); kind {
		case seenPrefix, scopePrefix, indexPrefix, shardPrefix:
		default:
			w.fail(fault.New(fault.Invalid, "row of kind %s is no set of IDs", kind))
		}
		w.drop(rk)
	}
}

// changes writes the new row of changes, and the redacted ones under the keys
// that they have. A row that was trimmed meanwhile comes back redacted, and is
// trimmed again.
func (w *writes) changes(b *directory.Batch) {
	if n := len(b.Changes); n > 0 {
		w.add(w.told(changesKey(b.Changes[n-1].Number), b.Changes))
	}
	for _, r := range b.Redact {
		if n := len(r.Changes); n == 0 || changesKey(r.Changes[n-1].Number) != r.Row {
			w.fail(fault.New(fault.Invalid, "%d redacted changes do not belong into row %s", n, r.Row))
		}
		w.replace(w.told(r.Row, r.Changes))
	}
}

// told is a row of changes, until the next value: they are many and alike, so
// that compressed they take a fifth, at the cost of writing the rest in base64.
func (w *writes) told(rk string, cs []directory.Change) row {
	w.raw = directory.AppendChanges(w.raw[:0], cs)
	if len(w.raw) > maxPacked {
		w.fail(row{rk: rk, data: w.raw}.tooLarge(w.part))
	}
	w.block = s2.Encode(w.block[:cap(w.block)], w.raw)
	return row{rk: rk, data: w.block, packed: true}
}

// ids writes one packed row of a set of IDs.
func (w *writes) ids(prefix, set string, n int64, ids []string) {
	if len(ids) == 0 {
		return
	}
	if err := checkSet(set); err != nil {
		w.fail(err)
	}
	w.set(setKey(prefix, set, n), w.json(packIDs(ids)))
}
