package tables

import (
	"context"
	"iter"
	"strings"

	"rollcall/internal/fault"
)

// overlaySuffix ends the ID of a partition that lies over another, whose ID is
// what stands before it: what is read there falls through to the lower one,
// and what is written stays above. "~" is in no connection's ID.
//
// The fence, the changes and the IDs that an enumeration has seen do not fall
// through: they belong to the runs that wrote them.
const overlaySuffix = "~preview"

// beneath is the partition over which part lies, if it is an overlay.
func beneath(part string) (live string, ok bool) { return strings.CutSuffix(part, overlaySuffix) }

// read reads one row of the table directory as part shows it, or a fault of
// kind NotFound.
func (s *Store) read(ctx context.Context, part, rk string) (row, error) {
	r, err := get(ctx, s.directory, part, rk)
	if live, ok := beneath(part); ok && fault.Is(err, fault.NotFound) {
		r, err = get(ctx, s.directory, live, rk)
	}
	if err == nil && r.gone {
		return row{}, fault.New(fault.NotFound, "row %s/%s is gone", part, r.rk)
	}
	return r, err
}

// rows yields the rows of a span as part shows them, and an error last.
func (s *Store) rows(ctx context.Context, part string, sp span) iter.Seq2[row, error] {
	sp.pk = part
	above := list(ctx, s.directory, sp)
	live, ok := beneath(part)
	if !ok {
		return present(above)
	}
	sp.pk = live
	return present(merge(above, list(ctx, s.directory, sp)))
}

// own is like rows, but nothing shows through an overlay.
func (s *Store) own(ctx context.Context, part string, sp span) iter.Seq2[row, error] {
	sp.pk = part
	return present(list(ctx, s.directory, sp))
}

// present leaves out the tombstones.
func present(rows iter.Seq2[row, error]) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for r, err := range rows {
			if err == nil && r.gone {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// merge yields the rows of both in key order, and of two with the same key
// only above's. Both come in key order with an error last, which also ends the
// merged rows. Neither is asked for more than it takes to yield the next row.
func merge(above, below iter.Seq2[row, error]) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		next, stop := iter.Pull2(below)
		defer stop()
		low, err, more := next()
		for top, topErr := range above {
			for topErr == nil && more && (err != nil || low.rk < top.rk) {
				if !yield(low, err) || err != nil {
					return
				}
				low, err, more = next()
			}
			if !yield(top, topErr) || topErr != nil {
				return
			}
			if more && low.rk == top.rk {
				low, err, more = next()
			}
		}
		for more {
			if !yield(low, err) || err != nil {
				return
			}
			low, err, more = next()
		}
	}
}
