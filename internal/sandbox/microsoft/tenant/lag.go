package tenant

import (
	"fmt"
	"slices"
)

// turn is one coming or going of a person: its record, or the complement of
// it for a going.
type turn = int32

// came and left note that somebody is there, or no longer.
func (d *Directory) came(i int32) { d.turns = append(d.turns, i) }
func (d *Directory) went(i int32) { d.turns = append(d.turns, ^i) }

// LagCount makes counts tell what there was before the last n people came or
// went, as an index does that is brought up to date later. 0 ends it.
func (d *Directory) LagCount(n int) error {
	if n < 0 {
		return fmt.Errorf("tenant: lag count: %w: want 0 or more", ErrInvalid)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lag = n
	return nil
}

// CountLag is how many comings and goings the counts do not know.
func (d *Directory) CountLag() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.lag
}

// Count is the number of active people who pass, by the index of which
// [Directory.LagCount] tells. Whether somebody passes is always judged by
// the person's present properties.
func (d *Directory) Count(f Filter) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := d.live
	if f.Match != nil {
		n = 0
		for range d.passing(f, 0) {
			n++
		}
	}
	for _, t := range slices.Backward(d.turns[max(0, len(d.turns)-d.lag):]) {
		i, step := t, -1
		if t < 0 {
			i, step = ^t, 1
		}
		if f.Match == nil || f.Match(&d.records[i].person) {
			n += step
		}
	}
	return n
}
