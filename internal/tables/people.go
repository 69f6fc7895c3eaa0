package tables

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Row keys of the table directory, beside the fence. '"' follows '!' in code
// order, so that a prefix with it is the end of a kind's range.
const (
	personPrefix, personEnd   = `u!`, `u"`
	pendingPrefix, pendingEnd = `x!`, `x"`
	heldPrefix, heldEnd       = `h!`, `h"`
	changesPrefix, changesEnd = `e!`, `e"`
	seenPrefix, seenEnd       = `s!`, `s"`
)

// maxReads bounds the reads that are under way at once for one page of people.
const maxReads = 16

func personKey(id string) string             { return personPrefix + id }
func changesKey(last int64) string           { return fmt.Sprintf("%s%019d", changesPrefix, last) }
func seenKey(enum string, n int64) string    { return fmt.Sprintf("%s%s!%019d", seenPrefix, enum, n) }
func seenRange(enum string) (string, string) { return seenPrefix + enum + "!", seenPrefix + enum + `"` }

// Records reads the stored records of the people named; who is not stored is
// not in the result.
func (s *Store) Records(ctx context.Context, connection string, ids []string) (_ map[string]directory.Record, err error) {
	defer fault.Wrap(&err, "tables: %d people of %s", len(ids), connection)
	var (
		mu  sync.Mutex
		out = make(map[string]directory.Record, len(ids))
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxReads)
	for _, id := range ids {
		g.Go(func() error {
			r, err := get(ctx, s.directory, connection, personKey(id))
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			rec, err := unpack[directory.Record](r)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = rec
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// People lists stored records in ID order, archived ones included: at most
// limit with an ID after the given one, and the ID to go on after, empty at
// the end.
func (s *Store) People(ctx context.Context, connection, after string, limit int) (ps []directory.Record, next string, err error) {
	defer fault.Wrap(&err, "tables: people of %s", connection)
	sp := span{pk: connection, from: personPrefix, below: personEnd, limit: int32(min(limit, 1000))}
	if after != "" {
		sp.after = personKey(after)
	}
	err = list(ctx, s.directory, sp, func(r row) (bool, error) {
		rec, err := unpack[directory.Record](r)
		if err != nil {
			return false, err
		}
		ps = append(ps, rec)
		return len(ps) < limit, nil
	})
	if err != nil {
		return nil, "", err
	}
	if len(ps) == limit {
		next = ps[limit-1].ID
	}
	return ps, next, nil
}

// Pending lists up to limit IDs of people whose removal waits for the end of
// the run.
func (s *Store) Pending(ctx context.Context, connection string, limit int) (ids []string, err error) {
	defer fault.Wrap(&err, "tables: pending removals of %s", connection)
	return s.listed(ctx, connection, pendingPrefix, pendingEnd, "", limit)
}

// Held lists up to limit IDs after the given one of people whose removal is
// part of the held plan, in ID order.
func (s *Store) Held(ctx context.Context, connection, after string, limit int) (ids []string, err error) {
	defer fault.Wrap(&err, "tables: held removals of %s", connection)
	return s.listed(ctx, connection, heldPrefix, heldEnd, after, limit)
}

func (s *Store) listed(ctx context.Context, connection, prefix, end, after string, limit int) (ids []string, err error) {
	sp := span{pk: connection, from: prefix, below: end, limit: int32(limit)}
	if after != "" {
		sp.after = prefix + after
	}
	err = list(ctx, s.directory, sp, func(r row) (bool, error) {
		ids = append(ids, strings.TrimPrefix(r.rk, prefix))
		return len(ids) < limit, nil
	})
	return ids, err
}

// SeenRows lists the names of at most limit rows of seen IDs, of whatever
// enumeration.
func (s *Store) SeenRows(ctx context.Context, connection string, limit int) (rows []string, err error) {
	defer fault.Wrap(&err, "tables: rows of IDs seen of %s", connection)
	err = list(ctx, s.directory, span{pk: connection, from: seenPrefix, below: seenEnd, limit: int32(limit)}, func(r row) (bool, error) {
		rows = append(rows, r.rk)
		return len(rows) < limit, nil
	})
	return rows, err
}

// Seen returns the IDs that an enumeration has come across, 16 bytes each.
func (s *Store) Seen(ctx context.Context, connection, enum string) (ids map[[16]byte]struct{}, err error) {
	defer fault.Wrap(&err, "tables: IDs seen of %s in %s", connection, enum)
	from, below := seenRange(enum)
	ids = make(map[[16]byte]struct{})
	err = list(ctx, s.directory, span{pk: connection, from: from, below: below}, func(r row) (bool, error) {
		packed, err := unpack[[]byte](r)
		if err != nil {
			return false, err
		}
		for ; len(packed) >= 16; packed = packed[16:] {
			ids[[16]byte(packed)] = struct{}{}
		}
		return true, nil
	})
	return ids, err
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

// Changes returns at most limit committed changes with numbers above after,
// in order.
func (s *Store) Changes(ctx context.Context, connection string, after int64, limit int) (cs []directory.Change, err error) {
	defer fault.Wrap(&err, "tables: changes of %s after %d", connection, after)
	sp := span{pk: connection, after: changesKey(max(after, 0)), below: changesEnd, limit: int32(min(max(limit, 1), 1000))}
	err = list(ctx, s.directory, sp, func(r row) (bool, error) {
		packed, err := unpack[[]directory.Change](r)
		if err != nil {
			return false, err
		}
		for _, c := range packed {
			if c.Number > after && len(cs) < limit {
				cs = append(cs, c)
			}
		}
		return len(cs) < limit, nil
	})
	return cs, err
}

// LastChange is the number of the newest committed change, 0 before the first.
func (s *Store) LastChange(ctx context.Context, connection string) (int64, error) {
	f, err := s.Fence(ctx, connection)
	return f.LastChange, err
}
