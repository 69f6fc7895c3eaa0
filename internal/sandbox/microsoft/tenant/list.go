package tenant

import (
	"iter"
	"strings"
)

// Filter says who is meant. The zero value means everybody.
type Filter struct {
	// Begin, in lower case, are the ways in which the user principal names of
	// all who pass Match begin; nil if they may begin in any way. It spares a
	// walk past everybody else, and nothing more.
	Begin []string
	// Match says whether a person passes; nil lets everybody.
	Match func(*Person) bool
}

// passing are the active people who pass, in order of creation, with their
// positions, which are never given to anybody else.
func (d *Directory) passing(f Filter, from int) iter.Seq2[int, *Person] {
	return func(yield func(int, *Person) bool) {
		pass := func(i int) bool {
			r := d.records[i]
			return r.state != active || f.Match != nil && !f.Match(&r.person) || yield(i, &r.person)
		}
		if f.Begin == nil {
			for i := from; i < len(d.records) && pass(i); i++ {
			}
			return
		}
		found := make([][]int32, len(f.Begin))
		for n, begin := range f.Begin {
			found[n] = d.names.from(begin, from, d.records)
		}
		for i := range merged(found) {
			if !pass(int(i)) {
				return
			}
		}
	}
}

// merged are the values of sorted lists, in order, each once.
func merged(lists [][]int32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for {
			least, any := int32(0), false
			for _, l := range lists {
				if len(l) > 0 && (!any || l[0] < least) {
					least, any = l[0], true
				}
			}
			if !any || !yield(least) {
				return
			}
			for n, l := range lists {
				if len(l) > 0 && l[0] == least {
					lists[n] = l[1:]
				}
			}
		}
	}
}

// List returns up to limit active people from position pos on who pass, and
// the position to go on from; more is false at the end.
func (d *Directory) List(pos, limit int, f Filter) (people []Person, next int, more bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, p := range d.passing(f, pos) {
		if len(people) == limit {
			return people, i, true
		}
		if people == nil {
			people = make([]Person, 0, min(limit, d.live))
		}
		people = append(people, *p)
	}
	return people, len(d.records), false
}

// Person finds an active person by ID or user principal name.
func (d *Directory) Person(key string) (Person, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	i, ok := d.byID[strings.ToLower(key)]
	if !ok {
		i, ok = d.byUPN[strings.ToLower(key)]
	}
	if !ok || d.records[i].state != active {
		return Person{}, false
	}
	return d.records[i].person, true
}
