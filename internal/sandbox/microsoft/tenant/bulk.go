package tenant

import (
	"fmt"
	"math/rand/v2"
)

// Bulk is a seeded mass edit: so many people, chosen at random, are changed,
// removed, restored or added, in this order.
type Bulk struct {
	Seed    uint64 `json:"seed"`
	Edit    int    `json:"edit"`
	Remove  int    `json:"remove"`
	Restore int    `json:"restore"`
	Create  int    `json:"create"`
}

// Done lists the IDs that a mass edit touched; fewer than asked for where the
// directory has no more.
type Done struct {
	Edited   []string `json:"edited"`
	Removed  []string `json:"removed"`
	Restored []string `json:"restored"`
	Created  []string `json:"created"`
}

// Apply makes a mass edit. Equal seeds on equal directories do the same.
func (t *Tenant) Apply(b Bulk) (Done, error) {
	var done Done
	for _, n := range []int{b.Edit, b.Remove, b.Restore, b.Create} {
		if n < 0 || n > MaxPeople {
			return done, fmt.Errorf("tenant: bulk: %w: want 0 to %d", ErrInvalid, MaxPeople)
		}
	}
	r := rand.New(rand.NewPCG(b.Seed, 0x62756c6b))
	for _, p := range sample(r, t.People(), b.Edit) {
		f := Fields{
			"jobTitle":   fmt.Sprintf("%s %d", titles[r.IntN(len(titles))], r.IntN(1e6)),
			"department": departments[r.IntN(len(departments))],
		}
		switch r.IntN(4) {
		case 0:
			f["mobilePhone"] = nil
		case 1:
			f["mobilePhone"] = phone(r)
		case 2:
			f["businessPhones"] = []string{phone(r)}
		}
		if err := t.Update(p.ID, f); err != nil {
			return done, fmt.Errorf("tenant: bulk: %w", err)
		}
		done.Edited = append(done.Edited, p.ID)
	}
	for _, p := range sample(r, t.People(), b.Remove) {
		if err := t.Remove(p.ID); err != nil {
			return done, fmt.Errorf("tenant: bulk: %w", err)
		}
		done.Removed = append(done.Removed, p.ID)
	}
	for _, p := range sample(r, t.Deleted(), b.Restore) {
		if err := t.Restore(p.ID); err != nil {
			return done, fmt.Errorf("tenant: bulk: %w", err)
		}
		done.Restored = append(done.Restored, p.ID)
	}
	before := t.Len()
	if err := t.generate(b.Create, t.Domain, r); err != nil {
		return done, fmt.Errorf("tenant: bulk: %w", err)
	}
	for _, p := range t.People()[before:] {
		done.Created = append(done.Created, p.ID)
	}
	return done, nil
}

// sample picks up to n of the people.
func sample(r *rand.Rand, people []Person, n int) []Person {
	r.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	return people[:min(n, len(people))]
}
