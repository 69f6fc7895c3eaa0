package tenant

import (
	"fmt"
	"strings"
)

// Remove moves an account to deleted items. As with memberships, the links of
// its reports go with it and come back when it is restored (documented for
// group members, inferred for managers).
func (d *Directory) Remove(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, r, err := d.find(id, active)
	if err != nil {
		return fmt.Errorf("tenant: remove: %w", err)
	}
	d.drop(i, r, removed)
	return nil
}

func (d *Directory) drop(i int32, r *record, to state) {
	d.groups.left(d.refs(i), r.state == active, to == purged)
	if r.state == active {
		delete(d.byUPN, strings.ToLower(r.person.UserPrincipalName))
		d.live--
		d.went(i)
		if d.clock != nil {
			d.left[i] = d.clock().UTC()
		}
	}
	r.state = to
	r.turned = d.touch(i)
	for _, j := range d.reports[r.person.ID] {
		rep := d.records[j]
		switch {
		case rep.state == active && rep.person.Manager == r.person.ID:
			d.relink(j, "", d.touch(j))
			rep.lost = r.person.ID
		case rep.state == removed && rep.person.Manager == r.person.ID:
			if rep.links == nil { // the delta must know what there was before
				rep.links = []link{{from: rep.born, manager: r.person.ID}}
			}
			rep.person.Manager, rep.lost = "", r.person.ID // told when it is restored
		}
		if to == purged && rep.lost == r.person.ID {
			rep.lost = ""
		}
	}
}

// Purge removes an account for good, from deleted items or at once.
func (d *Directory) Purge(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, r, err := d.find(id, active, removed)
	if err != nil {
		return fmt.Errorf("tenant: purge: %w", err)
	}
	d.drop(i, r, purged)
	return nil
}

// Restore brings an account back from deleted items, with its manager and the
// reports that have found no other.
func (d *Directory) Restore(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, r, err := d.find(id, removed)
	if err != nil {
		return fmt.Errorf("tenant: restore: %w", err)
	}
	upn := strings.ToLower(r.person.UserPrincipalName)
	if _, taken := d.byUPN[upn]; taken {
		return fmt.Errorf("tenant: restore %s: userPrincipalName %q: %w", id, r.person.UserPrincipalName, ErrConflict)
	}
	d.byUPN[upn] = i
	d.live++
	d.came(i)
	r.state = active
	r.turned = d.touch(i)
	r.mark(PropAll&r.ever, r.turned)
	d.relink(i, r.person.Manager, r.turned)
	d.groups.returned(d.refs(i))
	for _, j := range d.reports[id] {
		rep := d.records[j]
		if rep.lost != id {
			continue
		}
		rep.lost = ""
		switch {
		case rep.state == active && rep.person.Manager == "":
			d.relink(j, id, d.touch(j))
		case rep.state == removed:
			rep.person.Manager = id
		}
	}
	return nil
}

// relink gives the record a manager (or none) at version v and keeps the
// history that a later manager@delta needs.
func (d *Directory) relink(i int32, manager string, v uint32) {
	r := d.records[i]
	if r.links == nil && (r.ever&PropManager != 0 || r.person.Manager != "") {
		r.links = []link{{from: r.born, manager: r.person.Manager}}
	}
	r.links = append(r.links, link{from: v, manager: manager})
	r.person.Manager = manager
	r.mark(PropManager, v)
	if manager != "" {
		d.reports[manager] = append(d.reports[manager], i)
	}
}
