package reconcile

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// Tests make these smaller.
var (
	// maxIndexed is how many people one row of the index holds when it is made
	// anew: 24 bytes each, 720 kB.
	maxIndexed = 30000
	// looseRows is how many rows the index may have before it is made anew, and
	// one more for every fifty people stored: a first run leaves one for each
	// 96, of two kilobytes, a thousand of which come with one request.
	looseRows = 1000
)

// index is who is stored, and by their marks whether a page tells anything new
// of them: 24 bytes a person, where the record has a thousand.
type index struct {
	// base is sorted by key, one entry each; late holds who came since.
	base []directory.Indexed
	late map[[16]byte]directory.Mark
}

// of returns what is stored of a person; 0 if nothing is.
func (x *index) of(key [16]byte) directory.Mark {
	if at, ok := x.find(key); ok {
		return x.base[at].Mark
	}
	return x.late[key]
}

func (x *index) find(key [16]byte) (at int, ok bool) {
	return slices.BinarySearchFunc(x.base, key, func(e directory.Indexed, k [16]byte) int { return compareKeys(&e.Key, &k) })
}

func compareKeys(a, b *[16]byte) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
}

// put takes in what was written of a person.
func (x *index) put(key [16]byte, m directory.Mark) {
	if at, ok := x.find(key); ok {
		x.base[at].Mark = m
		return
	}
	if x.late == nil {
		x.late = make(map[[16]byte]directory.Mark)
	}
	x.late[key] = m
}

// add takes in a row that follows those before it: the last word on a person
// counts. What is not sorted yet is kept below a quarter of the whole, so that
// repeated entries take little room.
func (x *index) add(sorted int, row []directory.Indexed) (nowSorted int) {
	x.base = append(x.base, row...)
	if loose := len(x.base) - sorted; loose > 4*maxIndexed && loose > sorted/4 {
		x.sort()
		return len(x.base)
	}
	return sorted
}

// sort puts the entries in order, and leaves the last of each person.
func (x *index) sort() {
	slices.SortStableFunc(x.base, func(a, b directory.Indexed) int { return compareKeys(&a.Key, &b.Key) })
	n := 0
	for i, e := range x.base {
		if i+1 < len(x.base) && x.base[i+1].Key == e.Key {
			continue
		}
		x.base[n] = e
		n++
	}
	x.base = x.base[:n]
}

// loadIndex reads the index as it is stored; nil if there is none.
func (w *worker) loadIndex(ctx context.Context) (*index, error) {
	f := &w.fence
	if f.Index.From == 0 {
		return nil, nil
	}
	x := &index{base: make([]directory.Indexed, 0, f.Stored+f.Stored/16)}
	sorted := 0
	err := w.Store.Index(ctx, w.part, f.Index.From, func(row []directory.Indexed) error {
		sorted = x.add(sorted, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if w.previewing() && f.Index.From < previewSeq { // the connection's own: rows of one that is made anew go
		live, err := w.Store.Fence(ctx, w.conn.ID)
		if err != nil || live.Index.From != f.Index.From {
			return nil, err
		}
	}
	x.sort()
	return x, nil
}

// settles reports whether the item tells nothing new of somebody stored and
// active, so that their record need not be read: the marks are the same, and
// so is all that a mark stands for.
func (x *index) settles(w *worker, it *directory.Item) bool {
	if x == nil || it.Removed != "" {
		return false
	}
	key, ok := directory.Key(it.ID)
	if !ok {
		return false
	}
	m, c := x.of(key), &w.fence.People
	asks := m&directory.MarkManager != 0 || c.Sharded && c.Latest == "" // see [batcher.managers]
	if m&directory.MarkPlain == 0 || !it.HasManager && asks {
		return false
	}
	return m == directory.MarkOf(&directory.Record{Person: it.Person}) && w.chosenBySettings(&it.Person) && w.inGroups(it.ID)
}

// unstored reports whether the index proves that nobody of that key is stored.
func (x *index) unstored(key [16]byte) bool { return x != nil && x.of(key) == 0 }

// scattered reports whether the index has come to be in too many rows. That of
// a preview is thrown away with it.
func (w *worker) scattered() bool {
	f := &w.fence
	return w.syncs() && !w.previewing() && f.Index.Rows > looseRows+f.Stored/50
}

// reindex is the phase that makes a scattered index anew.
func (w *worker) reindex(ctx context.Context) error { return w.makeIndex(ctx, w.advance) }

// makeIndex makes the index anew, in a few large rows; then is done to the fence
// with the last of them.
func (w *worker) makeIndex(ctx context.Context, then func()) error {
	x := &w.fence.Index
	var row []directory.Indexed
	commit := func() error {
		if x.Next == 0 {
			x.Next = w.fence.Seq + 1
		}
		x.Made++
		batch := directory.Batch{Index: row}
		row = row[:0]
		return w.commit(ctx, batch)
	}
	all, err := w.everyone(ctx)
	if err != nil {
		return err
	}
	for _, e := range all.base {
		if e.Mark == 0 || uuid.UUID(e.Key).String() <= x.Swept {
			continue
		}
		if row = append(row, e); len(row) < maxIndexed {
			continue
		}
		x.Swept = uuid.UUID(e.Key).String()
		if err := commit(); err != nil {
			return err
		}
		if w.spent() {
			return errBudget
		}
	}
	*x = job.Index{From: cmp.Or(x.Next, w.fence.Seq+1), Rows: x.Made + 1}
	w.fence.Untidy = true
	then()
	return w.commit(ctx, directory.Batch{Index: row})
}

// everyone is the index, or where there is none what one would be, made of the
// records.
func (w *worker) everyone(ctx context.Context) (*index, error) {
	x, err := w.loadIndex(ctx)
	if x != nil || err != nil {
		return x, err
	}
	x = &index{base: make([]directory.Indexed, 0, w.fence.Stored)}
	err = w.everybody(ctx, func(r *directory.Record) {
		if key, ok := directory.Key(r.ID); ok {
			x.base = append(x.base, directory.Indexed{Key: key, Mark: directory.MarkOf(r)})
		}
	})
	return x, err
}
