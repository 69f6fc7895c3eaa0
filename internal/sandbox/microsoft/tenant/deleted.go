package tenant

import (
	"strings"
	"time"
)

// Gone is a person in deleted items.
type Gone struct {
	Person
	At time.Time // of the removal
}

// gone is the record as deleted items show it: the user name has the ID in
// front, which frees it for another account (inferred from live tenants).
func (d *Directory) gone(i int32) Gone {
	g := Gone{Person: d.records[i].person, At: d.left[i]}
	g.UserPrincipalName = strings.ReplaceAll(g.ID, "-", "") + g.UserPrincipalName
	return g
}

// ListDeleted returns up to limit people of deleted items from position pos
// on, and the position to go on from; more is false at the end.
func (d *Directory) ListDeleted(pos, limit int) (people []Gone, next int, more bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for ; pos < len(d.records); pos++ {
		if d.records[pos].state != removed {
			continue
		}
		if len(people) == limit {
			return people, pos, true
		}
		people = append(people, d.gone(int32(pos)))
	}
	return people, pos, false
}

// DeletedPerson finds a person in deleted items.
func (d *Directory) DeletedPerson(id string) (Gone, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	i, _, err := d.find(strings.ToLower(id), removed)
	if err != nil {
		return Gone{}, false
	}
	return d.gone(i), true
}
