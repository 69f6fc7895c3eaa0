package memory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	s := New(time.Now, func(string, string, string) error { return nil })
	if err := s.Create("table"); err != nil {
		t.Fatal(err)
	}
	return s
}

// A list holds what a map would, in order, in chunks neither empty nor too large.
func TestList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l list[int]
		want := map[string]int{}
		form := rapid.SampledFrom([]string{"%06d", "alike for long %06d", "%d", "\x00%x\x00"}).Draw(t, "form")
		key := func(n int) string { return fmt.Sprintf(form, n) }
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			from, step := rapid.IntRange(0, 1000).Draw(t, "from"), rapid.SampledFrom([]int{1, -1, 7, 13}).Draw(t, "step")
			remove := rapid.Bool().Draw(t, "remove")
			for i := range rapid.IntRange(1, 600).Draw(t, "n") {
				k := key((from + i*step + 20000) % 1009)
				if remove {
					l.remove(k)
					delete(want, k)
				} else {
					l.put(k, i)
					want[k] = i
				}
			}
		}
		var got []string
		for k, v := range l.from("") {
			if want[k] != *v {
				t.Fatalf("%s is %d, want %d", k, *v, want[k])
			}
			got = append(got, k)
		}
		if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("keys %v", got)
		}
		for _, c := range l.chunks {
			if n := len(c.items); n == 0 || n > maxChunk || c.first != firstOf(c.items[0].key) {
				t.Fatalf("a chunk of %d, from %x", n, c.first)
			}
		}
		k := key(rapid.IntRange(0, 1100).Draw(t, "key"))
		if v := l.get(k); (v != nil) != slices.Contains(got, k) {
			t.Fatalf("%s: %v", k, v)
		}
		i, _ := slices.BinarySearch(got, k)
		for at := range l.from(k) {
			if at != got[i] {
				t.Fatalf("from %s: %s, want %s", k, at, got[i])
			}
			break
		}
	})
}

// FuzzFilter: whatever passes lies within the bounds, and nothing panics.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"PartitionKey eq 'p' and RowKey lt 'c' and RowKey ge 'a'", "not (RowKey gt 'b' or A eq 5L) and B eq true", "'b' le RowKey", "RowKey ge 'b' and (RowKey lt 'c' or RowKey gt 'x')",
		"D ge datetime'2026-01-01T00:00:00Z'", "G eq guid'00000000-0000-0000-0000-000000000000'", "X eq X'00ff'", "((((RowKey eq 'b'))))", "RowKey eq 'it''s'", "B", "not B",
		"A eq", "'", "(", ")", "A eq 'x", "1 eq 1", "A eq 1.5e3", "A eq -", "PartitionKey eq 'p' and PartitionKey eq 'q'",
	} {
		f.Add(s, "p", "b")
	}
	f.Fuzz(func(t *testing.T, filter, pk, rk string) {
		fl, err := ParseFilter(filter)
		if err != nil {
			return
		}
		row := Row{`"A":5,"B":true,"D@odata.type":"Edm.DateTime","D":"2026-01-01T00:00:00Z"`, 7}
		if !fl.match(found{partition: pk, row: rk, value: &row}) {
			return
		}
		for key, b := range map[string]bounds{pk: fl.bounds("PartitionKey"), rk: fl.bounds("RowKey")} {
			if pk != rk && (key < b.from || b.bounded && key > b.until) {
				t.Errorf("%q lets %q %q pass and has bounds %+v", filter, pk, rk, b)
			}
		}
	})
}

// An answer ends at each of its limits, may be empty before the end, and
// nothing is left out or told twice.
func TestFindLimits(t *testing.T) {
	s := newStore(t)
	var want []string
	for i := range 30 {
		pk, rk := fmt.Sprint("p", i/10), fmt.Sprintf("%02d", i)
		if _, _, err := s.Write("table", pk, []Op{{Verb: Insert, Row: rk, Properties: fmt.Sprintf(`"N":%d,"S":"%s"`, i%10, strings.Repeat("x", 100))}}); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			want = append(want, rk)
		}
	}
	last, err := ParseFilter("N eq 9")
	if err != nil {
		t.Fatal(err)
	}
	all := func(q Query) (sizes []int, rows []string) {
		for {
			found, next, err := s.Find("table", q)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				rows = append(rows, f.Place.Row)
			}
			sizes = append(sizes, len(found))
			if q.From = next; next == nil {
				return sizes, rows
			}
		}
	}
	for what, tt := range map[string]struct {
		q     Query
		sizes []int
	}{
		"rows":           {Query{Rows: 8, Bytes: 1e6, Scanned: 1e6}, []int{8, 8, 8, 6}},
		"bytes":          {Query{Rows: 100, Bytes: 1200, Scanned: 1e6}, []int{10, 10, 10}}, // 2 + 112 each
		"one too large":  {Query{Rows: 2, Bytes: 1, Scanned: 1e6}, slices.Repeat([]int{1}, 30)},
		"selected bytes": {Query{Rows: 100, Bytes: 210, Scanned: 1e6, Select: []string{"N"}}, []int{30}}, // 2 + 5 each
		"scanned":        {Query{Filter: last, Rows: 100, Bytes: 1e6, Scanned: 6}, []int{0, 1, 0, 1, 1}},
	} {
		sizes, rows := all(tt.q)
		if !slices.Equal(sizes, tt.sizes) {
			t.Errorf("%s: pages %v, want %v", what, sizes, tt.sizes)
		}
		if tt.q.Filter != nil && !slices.Equal(rows, want) || tt.q.Filter == nil && (len(rows) != 30 || !slices.IsSorted(rows)) {
			t.Errorf("%s: rows %v", what, rows)
		}
	}
}

// What a merge puts together is judged, and refused as a whole.
func TestMergeJudged(t *testing.T) {
	no := errors.New("too much")
	s := New(time.Now, func(pk, rk, properties string) error {
		if pk+rk != "pr" || strings.Count(properties, ":") > 2 {
			return no
		}
		return nil
	})
	if err := s.Create("table"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		properties string
		err        error
	}{{`"A":1`, nil}, {`"B":2`, nil}, {`"C":3`, no}, {`"A":4`, nil}} {
		if _, _, err := s.Write("TABLE", "p", []Op{{Verb: Merge, Row: "r", Properties: tt.properties}}); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.properties, err)
		}
	}
	if r, err := s.Get("table", "p", "r"); err != nil || r.Properties != `"B":2,"A":4` {
		t.Error(r, err)
	}
}

// Transactions are seen as a whole, each with a later tick, whoever looks on.
func TestConcurrent(t *testing.T) {
	s := newStore(t)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				ops := []Op{{Verb: Replace, Row: "a", Properties: fmt.Sprint(`"V":`, w*1000+i)}, {Verb: Replace, Row: "b", Properties: fmt.Sprint(`"V":`, w*1000+i)}}
				if _, _, err := s.Write("table", "p", ops); err != nil {
					t.Error(err)
				}
			}
		})
		readers.Go(func() {
			for last := Tick(0); ; {
				rows, _, err := s.Find("table", Query{Rows: 10, Bytes: 1e6, Scanned: 100})
				if err != nil || len(rows) == 1 || len(rows) == 2 && rows[0].Row != rows[1].Row {
					t.Error(rows, err)
					return
				}
				if len(rows) == 2 {
					if rows[0].Tick < last {
						t.Error("a version went back")
						return
					}
					last = rows[0].Tick
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if _, i, err := s.Write("table", "p", []Op{{Verb: Replace, Row: "a"}, {Verb: Insert, Row: "b"}}); i != 1 || !errors.Is(err, ErrExists) {
		t.Error(i, err)
	}
	if r, err := s.Get("table", "p", "a"); err != nil || r.Properties == "" {
		t.Error("half a transaction:", r, err)
	}
	for _, rk := range []string{"a", "b"} {
		if _, _, err := s.Write("table", "p", []Op{{Verb: Delete, Row: rk, Match: Any}}); err != nil {
			t.Error(err)
		}
	}
	if rows, next, err := s.Find("table", Query{Rows: 10, Bytes: 1e6, Scanned: 100}); len(rows) != 0 || next != nil || err != nil {
		t.Error(rows, next, err)
	}
}
