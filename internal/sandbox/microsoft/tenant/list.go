package tenant

import "strings"

// List returns up to limit active people from position pos on who match, and
// the position to go on from; more is false at the end.
func (d *Directory) List(pos, limit int, match func(*Person) bool) (people []Person, next int, more bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for ; pos < len(d.records); pos++ {
		r := d.records[pos]
		if r.state != active || match != nil && !match(&r.person) {
			continue
		}
		if len(people) == limit {
			return people, pos, true
		}
		people = append(people, r.person)
	}
	return people, pos, false
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
