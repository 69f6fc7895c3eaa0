package tables

import (
	"context"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// changesAfter is the rows that hold changes with numbers above after.
func changesAfter(after int64, limit int) span {
	sp := spanOf(changesPrefix, "", limit)
	sp.after = changesKey(max(after, 0))
	return sp
}

// Changes returns at most limit committed changes with numbers above after,
// in order. An overlay has its own only.
func (s *Store) Changes(ctx context.Context, part string, after int64, limit int) (cs []directory.Change, err error) {
	defer fault.Wrap(&err, "tables: changes of %s after %d", part, after)
	for r, err := range s.own(ctx, part, changesAfter(after, limit)) {
		if err != nil {
			return nil, err
		}
		packed, err := unpack[[]directory.Change](r)
		if err != nil {
			return nil, err
		}
		for _, c := range packed {
			if c.Number > after && len(cs) < limit {
				cs = append(cs, c)
			}
		}
		if len(cs) >= limit {
			break
		}
	}
	return cs, nil
}

// ChangeRows returns at most limit stored rows of changes whose last number is
// above after, in order and whole: the first may begin with older changes. An
// overlay has its own only.
func (s *Store) ChangeRows(ctx context.Context, part string, after int64, limit int) (rows []directory.ChangeRow, err error) {
	defer fault.Wrap(&err, "tables: rows of changes of %s after %d", part, after)
	for r, err := range s.own(ctx, part, changesAfter(after, limit)) {
		if err != nil {
			return nil, err
		}
		packed, err := unpack[[]directory.Change](r)
		if err != nil {
			return nil, err
		}
		if rows = append(rows, directory.ChangeRow{Row: r.rk, Changes: packed}); len(rows) >= limit {
			break
		}
	}
	return rows, nil
}

// LastChange is the number of the newest committed change, 0 before the first.
func (s *Store) LastChange(ctx context.Context, part string) (int64, error) {
	f, err := s.Fence(ctx, part)
	return f.LastChange, err
}

// maxTrim is how many packed changes one call of TrimChanges drops.
const maxTrim = 200

// TrimChanges drops packed changes that are wholly older than before, oldest
// first, and returns how many rows it dropped; the next call goes on. The
// change numbers stay: a reader that asks for dropped ones sees a gap at the
// start of the feed, never inside.
func (s *Store) TrimChanges(ctx context.Context, part string, before time.Time) (n int, err error) {
	defer fault.Wrap(&err, "tables: trim changes of %s", part)
	f, err := s.Fence(ctx, part)
	if err != nil {
		return 0, err
	}
	var keys []string
	sp := spanOf(changesPrefix, "", 1) // most often the first is young enough
	for r, err := range s.own(ctx, part, sp) {
		if err != nil {
			return 0, err
		}
		packed, err := unpack[[]directory.Change](r)
		if err != nil {
			return 0, err
		}
		if last := len(packed) - 1; last >= 0 && (!packed[last].At.Before(before) || packed[last].Number > f.Positions.Through) {
			break // young enough, or not yet counted in the positions
		}
		if keys = append(keys, r.rk); len(keys) >= maxTrim {
			break
		}
	}
	for _, k := range keys {
		if err := remove(ctx, s.directory, part, k, ""); err != nil && !fault.Is(err, fault.NotFound) {
			return n, err
		}
		n++
	}
	return n, nil
}
