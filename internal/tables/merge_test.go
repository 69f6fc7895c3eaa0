package tables

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// script yields rows with the keys and counts how many were asked for.
func script(keys []string, data string, asked *int) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for _, k := range keys {
			*asked++
			if !yield(row{rk: k, data: []byte(data)}, nil) {
				return
			}
		}
	}
}

// Merged, each key comes once, in order, and from above if it is there.
func TestMerge(t *testing.T) {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}), 0, 7, rapid.ID)
	rapid.Check(t, func(t *rapid.T) {
		above, below := keys.Draw(t, "above"), keys.Draw(t, "below")
		slices.Sort(above)
		slices.Sort(below)
		want := map[string]string{}
		for _, k := range below {
			want[k] = "below"
		}
		for _, k := range above {
			want[k] = "above"
		}
		order := slices.Sorted(maps.Keys(want))
		stop := rapid.IntRange(0, len(order)).Draw(t, "stop")
		var n, asked, low int
		for r, err := range merge(script(above, "above", &asked), script(below, "below", &low)) {
			if err != nil || r.rk != order[n] || string(r.data) != want[r.rk] {
				t.Fatalf("row %d is %s of %s, %v, want %s of %s", n, r.rk, r.data, err, order[n], want[order[n]])
			}
			if n++; n == stop {
				break
			}
		}
		if stop == 0 && n != len(order) {
			t.Fatalf("%d rows, want %d", n, len(order))
		}
		if asked > n+1 || low > n+1 {
			t.Fatalf("%d and %d rows were asked for, to yield %d", asked, low, n)
		}
	})
}

// An error on either side ends the rows: what is not known is not left out.
func TestMergeErrors(t *testing.T) {
	lost := errors.New("lost")
	ends := func(keys ...string) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for _, k := range keys {
				if !yield(row{rk: k}, nil) {
					return
				}
			}
			yield(row{}, lost)
		}
	}
	var n int
	for name, tt := range map[string]struct {
		rows iter.Seq2[row, error]
		want string
	}{
		"above": {merge(ends("b"), script([]string{"a", "c"}, "", &n)), "ab!"},
		"below": {merge(script([]string{"b", "d"}, "", &n), ends("a")), "a!"},
		"both":  {merge(ends(), ends()), "!"},
		"after": {merge(script([]string{"a"}, "", &n), ends("b")), "ab!"},
	} {
		var got string
		for r, err := range present(tt.rows) {
			if err != nil {
				got += "!"
				continue
			}
			got += r.rk
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, p := range []string{personPrefix, rosterPrefix + "team!"} {
		for _, k := range []string{p, p + "0", p + "~", p + "!"} {
			if k < p || k >= endOf(p) {
				t.Errorf("%s is not in [%s, %s)", k, p, endOf(p))
			}
		}
	}
	if next := fmt.Sprintf("%sa", personPrefix[:1]); next < endOf(personPrefix) {
		t.Errorf("%s is before %s", next, endOf(personPrefix))
	}
}
