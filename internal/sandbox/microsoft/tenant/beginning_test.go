package tenant

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever is edited between the pages of a list, looking names up by their
// beginnings finds, page by page, exactly those whom a walk past everybody
// finds, in the same places.
func TestBeginnings(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, err := New(Spec{People: 60, Seed: seed}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		name := func() string { // few of them, so that they meet
			const letters = "aAbB.'é"
			var b strings.Builder
			for range r.IntN(9) {
				b.WriteRune([]rune(letters)[r.IntN(7)])
			}
			return b.String()
		}
		for step := range 600 {
			pick := func(from []Person) string {
				if len(from) == 0 {
					return ""
				}
				return from[r.IntN(len(from))].ID
			}
			// A refused edit changes nothing, which is an edit worth having too.
			switch r.IntN(6) {
			case 0:
				_, _ = w.Create(Fields{"userPrincipalName": name() + "@x"})
			case 1, 2:
				_ = w.Update(pick(w.People()), Fields{"userPrincipalName": name() + "@x"})
			case 3:
				_ = w.Remove(pick(w.People()))
			case 4:
				_ = w.Restore(pick(w.Deleted()))
			case 5:
				if step%7 == 0 {
					_ = w.Purge(pick(w.People()))
				}
			}
			begin := []string{strings.ToLower(name())}
			for range r.IntN(3) { // some within others, some the same
				begin = append(begin, strings.ToLower(name()))
			}
			match := func(p *Person) bool {
				return slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(strings.ToLower(p.UserPrincipalName), b) })
			}
			pos, limit := r.IntN(len(w.records)+2), 1+r.IntN(5)
			found, next, more := w.List(pos, limit, Filter{Begin: begin, Match: match})
			walked, after, further := w.List(pos, limit, Filter{Match: match})
			if next != after || more != further || fmt.Sprint(found) != fmt.Sprint(walked) {
				t.Fatalf("seed %d, step %d: %q from %d: %d people, next %d, %t; a walk: %d, %d, %t",
					seed, step, begin, pos, len(found), next, more, len(walked), after, further)
			}
			n := 0
			for _, p := range w.People() {
				if match(&p) {
					n++
				}
			}
			if got := w.Count(Filter{Begin: begin, Match: match}); got != n {
				t.Fatalf("seed %d, step %d: %d begin with %q, counted %d", seed, step, n, begin, got)
			}
		}
		if n := len(w.names.divided); n < 3 {
			t.Fatalf("seed %d: only %d beginnings were divided", seed, n)
		}
	}
}
