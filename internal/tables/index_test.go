package tables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/tablestore"
)

// indexOf reads the index row by row.
func indexOf(t *testing.T, s *Store, part string, from int64) (rows [][]directory.Indexed) {
	t.Helper()
	err := s.Index(context.Background(), part, from, func(row []directory.Indexed) error {
		rows = append(rows, slices.Clone(row))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func indexed(n int, m directory.Mark) directory.Indexed {
	return directory.Indexed{Key: key(n), Mark: m}
}

func commit(t *testing.T, s *Store, part string, f job.Fence, b directory.Batch) job.Fence {
	t.Helper()
	f, err := s.Commit(context.Background(), part, f, b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every commit that writes people adds a row to the index that tells of just
// them, and no other commit does.
func TestIndex(t *testing.T) {
	s, c := newStore(t), fresh()
	p1, p2, p3 := person(1), person(2), person(3)
	p3.Manager = "m"
	f := commit(t, s, c, job.Fence{}, directory.Batch{Add: []directory.Record{person(9)}}) // from before there was one
	f.Index = job.Index{From: f.Seq + 1}
	f = commit(t, s, c, f, directory.Batch{Add: []directory.Record{p1, p2}, Put: []directory.Record{p3}, Index: []directory.Indexed{indexed(9, 5), indexed(1, 7)}})
	f = commit(t, s, c, f, directory.Batch{Teams: []directory.TeamRecord{team(1)}})
	p1.DisplayName = "Other"
	f = commit(t, s, c, f, directory.Batch{Put: []directory.Record{p1}, Erase: []string{p2.ID}})
	if f.Index != (job.Index{From: 2}) {
		t.Errorf("the fence says %+v", f.Index)
	}
	want := [][]directory.Indexed{
		{indexed(9, 5), indexed(1, 7), indexed(1, directory.MarkOf(new(person(1)))), indexed(2, directory.MarkOf(&p2)), indexed(3, directory.MarkOf(&p3))},
		{indexed(1, directory.MarkOf(&p1)), indexed(2, 0)},
	}
	if got := indexOf(t, s, c, f.Index.From); !reflect.DeepEqual(got, want) {
		t.Errorf("index %v, want %v", got, want)
	}
	if got := indexOf(t, s, c, 3); !reflect.DeepEqual(got, want[1:]) {
		t.Errorf("from commit 3: %v, want %v", got, want[1:])
	}
	if got := indexOf(t, s, c, 5); len(got) != 0 {
		t.Errorf("from commit 5: %v", got)
	}
	t.Run("it can be made while people are written", func(t *testing.T) {
		f.Index = job.Index{Next: f.Seq + 1}
		f = commit(t, s, c, f, directory.Batch{Put: []directory.Record{p1}})
		if got := indexOf(t, s, c, f.Index.Next); len(got) != 1 {
			t.Errorf("%d rows", len(got))
		}
	})
	t.Run("an older build writes none", func(t *testing.T) {
		f.Index = job.Index{}
		f = commit(t, s, c, f, directory.Batch{Put: []directory.Record{p1}, Erase: []string{p3.ID}})
		if got := indexOf(t, s, c, f.Seq); len(got) != 0 {
			t.Errorf("%d rows", len(got))
		}
	})
	t.Run("an error of the reader ends it", func(t *testing.T) {
		stop, n := errors.New("stop"), 0
		if err := s.Index(t.Context(), c, 0, func([]directory.Indexed) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
	t.Run("rows that nobody needs are dropped", func(t *testing.T) {
		if rows, err := s.IndexRows(t.Context(), c, 2, 10); err != nil || len(rows) != 0 {
			t.Errorf("rows %v, %v", rows, err)
		}
		if rows, err := s.IndexRows(t.Context(), c, 5, 1); err != nil || !slices.Equal(rows, []string{"i!0000000000000000002"}) {
			t.Errorf("rows %v, %v", rows, err)
		}
		rows, err := s.IndexRows(t.Context(), c, 4, 10)
		if err != nil || !slices.Equal(rows, []string{"i!0000000000000000002"}) {
			t.Fatalf("rows %v, %v", rows, err)
		}
		commit(t, s, c, f, directory.Batch{DropSeen: rows})
		if got := indexOf(t, s, c, 0); len(got) != 2 || !reflect.DeepEqual(got[0], want[1]) {
			t.Errorf("left: %v", got)
		}
	})
}

func TestIndexRefusals(t *testing.T) {
	s, w := recordedStore(t)
	f := job.Fence{Index: job.Index{From: 1}}
	odd := person(1)
	odd.ID = "anna"
	for what, tt := range map[string]struct {
		fence job.Fence
		batch directory.Batch
	}{
		"36000, not 36001": {f, directory.Batch{Index: make([]directory.Indexed, 36000), Erase: []string{person(1).ID}}},
		"no GUID":          {f, directory.Batch{Put: []directory.Record{odd}}},
		"there is not":     {job.Fence{}, directory.Batch{Index: []directory.Indexed{indexed(1, 1)}}},
		"no set of IDs":    {f, directory.Batch{DropSeen: []string{"u!" + person(1).ID}}},
	} {
		if _, err := s.Commit(t.Context(), fresh(), tt.fence, tt.batch); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), odd.ID) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if sent := w.take(); len(sent) > 0 {
		t.Errorf("%d requests were sent", len(sent))
	}
}

// The largest rows are written, and read few at a time; small ones many.
func TestLargeIndex(t *testing.T) {
	s, w := recordedStore(t)
	c := fresh()
	f := job.Fence{Index: job.Index{From: 1}}
	n := 0
	batch := func(size int) (b directory.Batch) {
		for range size {
			n++
			b.Index = append(b.Index, indexed(n, directory.Mark(n)))
		}
		return b
	}
	for _, size := range []int{36000, 36000, 36000} {
		f = commit(t, s, c, f, batch(size))
	}
	for range 60 {
		f = commit(t, s, c, f, batch(2))
	}
	w.take()
	next := 0
	for _, row := range indexOf(t, s, c, 1) {
		for _, e := range row {
			if next++; e != indexed(next, directory.Mark(next)) {
				t.Fatalf("entry %d is %v", next, e)
			}
		}
	}
	if next != n {
		t.Errorf("%d entries, want %d", next, n)
	}
	if sent := w.take(); len(sent) < 2 || len(sent) > 5 {
		t.Errorf("%d requests", len(sent))
	}
	// Names are listed without what the rows hold.
	if rows, err := s.IndexRows(t.Context(), c, 100, 100); err != nil || len(rows) != 63 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if sent := w.take(); len(sent) != 1 || !strings.Contains(sent[0].url, "$select=RowKey,T") {
		t.Errorf("requests %v", sent)
	}
}

// An overlay shows the live index and then its own, and its rows are dropped
// without the live ones.
func TestIndexOverlay(t *testing.T) {
	s, c := newStore(t), fresh()
	f := job.Fence{Index: job.Index{From: 2}}
	for n := 1; n <= 3; n++ {
		f = commit(t, s, c, f, directory.Batch{Index: []directory.Indexed{indexed(n, 9)}, Shards: []directory.Shard{{Name: "61"}}})
	}
	over := c + "~preview"
	o := commit(t, s, over, job.Fence{Index: f.Index}, directory.Batch{Put: []directory.Record{person(2)}})
	mark := directory.MarkOf(new(person(2)))
	want := [][]directory.Indexed{{indexed(2, 9)}, {indexed(3, 9)}, {indexed(2, mark)}}
	if got := indexOf(t, s, over, f.Index.From); !reflect.DeepEqual(got, want) {
		t.Errorf("overlay %v, want %v", got, want)
	}
	if got := indexOf(t, s, c, f.Index.From); !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("live %v, want %v", got, want[:2])
	}
	if sh, err := s.Shards(t.Context(), over); err != nil || len(sh) != 0 {
		t.Errorf("the overlay shows %v, %v", sh, err)
	}
	rows, err := s.IndexRows(t.Context(), over, 10, 10)
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows %v, %v", rows, err)
	}
	commit(t, s, over, o, directory.Batch{DropSeen: rows})
	if got := indexOf(t, s, over, f.Index.From); !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("overlay without its own %v, want %v", got, want[:2])
	}
	if rows, err := s.IndexRows(t.Context(), over, 10, 10); err != nil || len(rows) != 0 {
		t.Errorf("rows that are gone: %v, %v", rows, err)
	}
}

func TestShards(t *testing.T) {
	s, c := newStore(t), fresh()
	all := []directory.Shard{{}, {Name: "2d", Next: "https://next", Pages: 3}, {Name: "61", Pages: 9, Done: true}}
	f := commit(t, s, c, job.Fence{}, directory.Batch{Shards: all[:2]})
	f = commit(t, s, c, f, directory.Batch{Shards: all[1:]})
	if got, err := s.Shards(t.Context(), c); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("shards %v, want %v (%v)", got, all, err)
	}
	rows, err := s.ShardRows(t.Context(), c, 2)
	if err != nil || !slices.Equal(rows, []string{"q!", "q!2d"}) {
		t.Fatalf("rows %v, %v", rows, err)
	}
	commit(t, s, c, f, directory.Batch{DropSeen: rows})
	if got, err := s.Shards(t.Context(), c); err != nil || !reflect.DeepEqual(got, all[2:]) {
		t.Errorf("left %v, %v", got, err)
	}
}

// Whatever becomes of a commit, a row of the index is there if and only if the
// people are of whom it tells.
func TestIndexWithPeople(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	f := commit(t, s, c, job.Fence{}, directory.Batch{})
	f.Index = job.Index{From: f.Seq + 1}
	check := func(what string) {
		t.Helper()
		ps, _, err := s.People(ctx, c, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		want, got := map[[16]byte]directory.Mark{}, map[[16]byte]directory.Mark{}
		for i := range ps {
			k, _ := directory.Key(ps[i].ID)
			want[k] = directory.MarkOf(&ps[i])
		}
		for _, row := range indexOf(t, s, c, 2) {
			for _, e := range row {
				got[e.Key] = e.Mark
			}
		}
		maps.DeleteFunc(got, func(_ [16]byte, m directory.Mark) bool { return m == 0 })
		if !maps.Equal(got, want) {
			t.Errorf("%s: index %v, people %v", what, got, want)
		}
	}
	batch := func(n int) directory.Batch {
		b := directory.Batch{Add: []directory.Record{person(2 * n), person(2*n + 1)}}
		if n > 1 {
			b.Erase = []string{person(2*n - 1).ID}
		}
		return b
	}
	defer server.OnWrite(nil)
	for n := 1; n <= 6; n++ {
		var writes atomic.Int32
		server.OnWrite(func(int64, string) tablestore.Verdict {
			if int(writes.Add(1)) <= n%3 { // answers that are lost, once or however often it is tried
				return tablestore.Cut
			}
			return tablestore.Pass
		})
		next, err := s.Commit(ctx, c, f, batch(n))
		server.OnWrite(nil)
		if err != nil {
			next, err = s.Fence(ctx, c) // whoever comes next goes on from there
			if err != nil {
				t.Fatal(err)
			}
			if next.Seq == f.Seq {
				next = commit(t, s, c, f, batch(n))
			}
		}
		check(fmt.Sprint("commit ", n))
		if _, err := s.Commit(ctx, c, f, batch(50+n)); !fault.Is(err, fault.Conflict) {
			t.Errorf("a stale worker gets %v", err)
		}
		check(fmt.Sprint("a stale worker at ", n))
		f = next
	}
	if _, err := s.Commit(ctx, c, f, directory.Batch{Add: []directory.Record{person(300), person(2)}}); !fault.Is(err, fault.Conflict) {
		t.Errorf("somebody who is stored already: %v", err)
	}
	check("somebody stored already")
}

// A purge takes the rows with the others, and finds out what is left.
func TestPurgeIndex(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	for _, part := range []string{c, c + "~preview"} {
		commit(t, s, part, job.Fence{Index: job.Index{From: 1}}, directory.Batch{Put: []directory.Record{person(1)}, Shards: []directory.Shard{{}, {Name: "61"}}})
	}
	if n, err := s.Left(ctx, c); err != nil || n != 10 {
		t.Errorf("%d rows are left, %v", n, err)
	}
	deleted, done, err := s.PurgeAll(ctx, c, 100)
	if err != nil || !done || deleted[directoryTable] != 10 {
		t.Errorf("deleted %v, done %v, %v", deleted, done, err)
	}
	if n, err := s.Left(ctx, c); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

func FuzzIndexed(f *testing.F) {
	f.Add(appendIndexed(appendIndexed(nil, directory.Indexed{Key: key(1), Mark: 7}), directory.Indexed{Key: key(2)}))
	f.Add([]byte{})
	f.Add(make([]byte, 25))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodeIndexed(nil, b)
		if (err == nil) != (len(b) > 0 && len(b)%24 == 0) {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = appendIndexed(again, e)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
