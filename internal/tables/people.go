package tables

import (
	"context"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Records reads the stored records of the people named; who is not stored is
// not in the result.
func (s *Store) Records(ctx context.Context, part string, ids []string) (_ map[string]directory.Record, err error) {
	defer fault.Wrap(&err, "tables: %d people of %s", len(ids), part)
	return records[directory.Record](ctx, s, part, personPrefix, ids)
}

// People lists stored records in ID order, archived ones included: at most
// limit with an ID after the given one, and the ID to go on after, empty at
// the end.
func (s *Store) People(ctx context.Context, part, after string, limit int) (ps []directory.Record, next string, err error) {
	defer fault.Wrap(&err, "tables: people of %s", part)
	return page[directory.Record](ctx, s, part, personPrefix, after, limit)
}

// Listed returns at most limit IDs of a list of waiting removals, in order,
// with an ID after the given one.
func (s *Store) Listed(ctx context.Context, part string, l directory.List, after string, limit int) (ids []string, err error) {
	defer fault.Wrap(&err, "tables: list %s of %s", l, part)
	return names(s.rows(ctx, part, spanOf(string(l), after, limit)), len(l), limit)
}

// ErasedPeople returns those who were erased and are not to be stored again.
func (s *Store) ErasedPeople(ctx context.Context, part string) (_ map[[16]byte]struct{}, err error) {
	defer fault.Wrap(&err, "tables: erased people of %s", part)
	keys := make(map[[16]byte]struct{})
	for r, err := range s.rows(ctx, part, spanOf(erasedPrefix, "", maxPage)) {
		if err != nil {
			return nil, err
		}
		k, ok := directory.Key(r.rk[len(erasedPrefix):])
		if !ok {
			return nil, fault.New(fault.Invalid, "row %s/%s: no GUID", r.pk, r.rk)
		}
		keys[k] = struct{}{}
	}
	return keys, nil
}
