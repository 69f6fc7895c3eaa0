package tables

import (
	"context"
	"encoding/json"
	"slices"

	"rollcall/internal/fault"
)

// Purge deletes up to limit rows of a partition of the table directory, of
// whatever version, and reports whether nothing is left. The fence goes last,
// and only if nobody has committed since the rows were listed. A partition
// that somebody else purges at the same time is not done, which is no error:
// the next call finds out.
func (s *Store) Purge(ctx context.Context, part string, limit int) (done bool, err error) {
	defer fault.Wrap(&err, "tables: purge %s", part)
	_, done, err = s.purge(ctx, part, limit)
	return done, err
}

// purge is Purge, and counts the rows that it has deleted.
func (s *Store) purge(ctx context.Context, part string, limit int) (n int, done bool, err error) {
	fence, err := get(ctx, s.directory, part, fenceKey)
	fenced := fence.etag != "" // whatever build wrote it
	if !fenced && !fault.Is(err, fault.NotFound) {
		return 0, false, err
	}
	n, done, err = dropRows(ctx, s.directory, part, "RowKey ne "+literal(fenceKey), limit)
	if !done || err != nil || !fenced {
		return n, done, err
	}
	err = remove(ctx, s.directory, part, fenceKey, fence.etag)
	switch {
	case fault.Is(err, fault.Conflict):
		return n, false, nil
	case fault.Is(err, fault.NotFound):
		return n, true, nil
	case err != nil:
		return n, false, err
	}
	return n + 1, true, nil
}

// dropRows deletes at most limit rows of a partition that fit the filter, if any, and
// reports whether that were all.
func dropRows(ctx context.Context, t *table, part, filter string, limit int) (n int, done bool, err error) {
	keys, err := rowKeys(ctx, t, part, filter, limit)
	if err != nil {
		return 0, false, err
	}
	for chunk := range slices.Chunk(keys, maxOperations) {
		if err := dropAll(ctx, t, part, chunk); err != nil {
			if fault.Is(err, fault.NotFound) { // somebody else does the same
				return n, false, nil
			}
			return n, false, err
		}
		n += len(chunk)
	}
	return n, len(keys) < limit, nil
}

// rowKeys lists at most limit keys of rows, without their values.
func rowKeys(ctx context.Context, t *table, part, filter string, limit int) (keys []string, err error) {
	sp := span{pk: part, from: " ", below: keyEnd, filter: filter, limit: int32(min(max(limit, 1), maxPage))}
	return keysIn(ctx, t, sp, limit, true)
}

// keysIn lists at most limit keys of rows of a span, of tombstones if told so.
func keysIn(ctx context.Context, t *table, sp span, limit int, gone bool) (keys []string, err error) {
	sel, opts := "RowKey,T", sp.options()
	opts.Select = &sel
	for b, err := range entities(ctx, t, opts) {
		if err != nil {
			return nil, err
		}
		var key struct {
			RowKey string
			T      bool
		}
		if err := json.Unmarshal(b, &key); err != nil || key.RowKey == "" {
			return nil, fault.New(fault.Invalid, "row of %s: no key", sp.pk)
		}
		if key.T && !gone {
			continue
		}
		if keys = append(keys, key.RowKey); len(keys) >= limit {
			break
		}
	}
	return keys, nil
}

// dropAll deletes rows in one transaction. If one of them is not there, none
// is deleted, and the fault is NotFound.
func dropAll(ctx context.Context, t *table, part string, keys []string) error {
	b := newBatch(t.url, part)
	defer b.free()
	for _, rk := range keys {
		b.remove(rk)
	}
	if err := b.end(); err != nil {
		return err
	}
	_, err := t.submit(ctx, b, "")
	return classify(err)
}
