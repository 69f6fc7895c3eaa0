package tables

import (
	"context"
	"iter"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Seen calls each with every ID that an enumeration has come across, 16 bytes
// each, some of them more than once. An overlay has its own enumerations only.
func (s *Store) Seen(ctx context.Context, part, enum string, each func(key [16]byte)) (err error) {
	defer fault.Wrap(&err, "tables: IDs seen of %s in %s", part, enum)
	return packed(s.own(ctx, part, spanOf(seenPrefix+enum+"!", "", maxPage)), each)
}

// SeenRows lists the names of at most limit rows of seen IDs, of whatever
// enumeration, for [directory.Batch.DropSeen].
func (s *Store) SeenRows(ctx context.Context, part string, limit int) (_ []string, err error) {
	defer fault.Wrap(&err, "tables: rows of IDs seen of %s", part)
	return names(s.own(ctx, part, spanOf(seenPrefix, "", limit)), 0, limit)
}

// Scope returns the people in a set of members of the scope groups.
func (s *Store) Scope(ctx context.Context, part, set string) (_ map[[16]byte]struct{}, err error) {
	defer fault.Wrap(&err, "tables: scope %s of %s", set, part)
	return union(s.rows(ctx, part, spanOf(scopePrefix+set+"!", "", maxPage)))
}

// ScopeRows lists the names of at most limit rows of sets other than except,
// for [directory.Batch.DropSeen].
func (s *Store) ScopeRows(ctx context.Context, part, except string, limit int) (_ []string, err error) {
	defer fault.Wrap(&err, "tables: rows of scopes but %s of %s", except, part)
	sp, kept := spanOf(scopePrefix, "", limit), scopePrefix+except+"!"
	sp.filter = "RowKey lt " + literal(kept) + " or RowKey ge " + literal(endOf(kept))
	return names(s.rows(ctx, part, sp), 0, limit)
}

// union joins the IDs of packed rows.
func union(rows iter.Seq2[row, error]) (map[[16]byte]struct{}, error) {
	ids := make(map[[16]byte]struct{})
	err := packed(rows, func(key [16]byte) { ids[key] = struct{}{} })
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// packed calls each with the IDs of packed rows.
func packed(rows iter.Seq2[row, error], each func(key [16]byte)) error {
	for r, err := range rows {
		if err != nil {
			return err
		}
		keys, err := unpack[[]byte](r)
		if err != nil {
			return err
		}
		if len(keys)%16 != 0 {
			return fault.New(fault.Invalid, "row %s/%s: %d bytes of IDs, not a multiple of 16", r.pk, r.rk, len(keys))
		}
		for ; len(keys) > 0; keys = keys[16:] {
			each([16]byte(keys))
		}
	}
	return nil
}

// packIDs joins GUIDs to 16 bytes each. An ID that is no GUID has no place in
// a directory and is left out: it then counts as not seen, and is confirmed.
func packIDs(ids []string) []byte {
	out := make([]byte, 0, 16*len(ids))
	for _, id := range ids {
		if k, ok := directory.Key(id); ok {
			out = append(out, k[:]...)
		}
	}
	return out
}
