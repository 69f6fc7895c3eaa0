package tables

import (
	"context"
	"encoding/binary"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// indexedSize is what an entry of the index takes: the key, and the mark,
	// highest byte first.
	indexedSize = 24
	// maxIndexed is the most entries of one row: 864 kB.
	maxIndexed = 36000
	// maxIndexPage is the bytes of rows that one request for the index should
	// bring at most, as far as the rows before tell.
	maxIndexPage = 4 << 20
)

// Index reads the packed index of the partition: the rows written by commit
// from and later ones, in order, one call a row. Of several entries of a
// person the last counts. The entries are good until the call returns. An
// overlay has the live partition's rows first and then all of its own, whose
// commits are counted from the overlay's beginning.
func (s *Store) Index(ctx context.Context, part string, from int64, each func([]directory.Indexed) error) (err error) {
	defer fault.Wrap(&err, "tables: index of %s from commit %d", part, from)
	var entries []directory.Indexed
	row := func(r row) (err error) {
		if entries, err = decodeIndexed(entries[:0], r.data); err != nil {
			return fault.New(fault.Invalid, "row %s/%s: %w", r.pk, r.rk, err)
		}
		return each(entries)
	}
	if live, ok := beneath(part); ok {
		if err := s.indexed(ctx, live, from, row); err != nil {
			return err
		}
		from = 0
	}
	return s.indexed(ctx, part, from, row)
}

// indexed calls each with the rows of one partition. A row holds between one
// and 36,000 entries, so how many are asked for at once depends on the last.
func (s *Store) indexed(ctx context.Context, part string, from int64, each func(row) error) error {
	sp := span{from: indexKey(max(from, 0)), below: endOf(indexPrefix), limit: 4}
	for more := true; more; {
		n, size := int32(0), 0
		more = false
		for r, err := range s.own(ctx, part, sp) {
			if err != nil {
				return err
			}
			if err := each(r); err != nil {
				return err
			}
			sp.after = r.rk
			size += len(r.data)
			if n++; n == sp.limit {
				more = true
				break
			}
		}
		switch {
		case size < maxIndexPage/8:
			sp.limit = min(4*sp.limit, maxPage)
		case size > maxIndexPage:
			sp.limit = max(sp.limit/4, 1)
		}
	}
	return nil
}

// IndexRows lists the names of at most limit rows of the index from before the
// commit, for [directory.Batch.DropSeen]. An overlay has its own only.
func (s *Store) IndexRows(ctx context.Context, part string, before int64, limit int) (_ []string, err error) {
	defer fault.Wrap(&err, "tables: rows of the index of %s before commit %d", part, before)
	sp := spanOf(indexPrefix, "", limit)
	sp.pk, sp.below = part, indexKey(max(before, 0))
	return keysIn(ctx, s.directory, sp, max(limit, 1), false)
}

// index writes the commit's row of the index, if there is one or it is being
// made: what the batch brings of its own, and then what is newer, the people
// that it writes.
func (w *writes) index(f *job.Fence, b *directory.Batch) {
	if f.Index.From <= 0 && f.Index.Next <= 0 {
		if len(b.Index) > 0 {
			w.fail(fault.New(fault.Invalid, "%d entries of an index that there is not", len(b.Index)))
		}
		return
	}
	n := len(b.Index) + len(b.Add) + len(b.Put) + len(b.Erase)
	if n == 0 {
		return
	}
	if n > maxIndexed {
		w.fail(fault.New(fault.Invalid, "row of the index of %d entries, at most %d", n, maxIndexed))
		return
	}
	w.raw = w.raw[:0]
	for i := range b.Index {
		w.raw = appendIndexed(w.raw, b.Index[i])
	}
	person := func(id string, m directory.Mark) {
		key, ok := directory.Key(id)
		if !ok {
			w.fail(fault.New(fault.Invalid, "the ID of a person, of %d bytes, is no GUID", len(id)))
		}
		w.raw = appendIndexed(w.raw, directory.Indexed{Key: key, Mark: m})
	}
	for i := range b.Add {
		person(b.Add[i].ID, directory.MarkOf(&b.Add[i]))
	}
	for i := range b.Put {
		person(b.Put[i].ID, directory.MarkOf(&b.Put[i]))
	}
	for _, id := range b.Erase {
		person(id, 0)
	}
	w.add(row{rk: indexKey(f.Seq), data: w.raw})
}

func appendIndexed(b []byte, e directory.Indexed) []byte {
	return binary.BigEndian.AppendUint64(append(b, e.Key[:]...), uint64(e.Mark))
}

// decodeIndexed appends the entries of a row.
func decodeIndexed(out []directory.Indexed, b []byte) ([]directory.Indexed, error) {
	if len(b) == 0 || len(b)%indexedSize != 0 {
		return out, fault.New(fault.Invalid, "%d bytes of entries, not a multiple of %d", len(b), indexedSize)
	}
	for ; len(b) > 0; b = b[indexedSize:] {
		out = append(out, directory.Indexed{Key: [16]byte(b), Mark: directory.Mark(binary.BigEndian.Uint64(b[16:]))})
	}
	return out, nil
}
