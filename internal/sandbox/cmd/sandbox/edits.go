package main

import (
	"fmt"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// rounds are the syncs of the table, in order; what happens at the customer's
// before each is in edit.
var rounds = []string{"First sync", "Nothing new", "People and teams come, change and go", "Some return"}

// scopeGroup makes the group whose members are to be synced: seven in ten of
// the people, half of them through a group within it that contains it in turn.
func scopeGroup(t *tenant.Tenant) (id string, err error) {
	var within string
	for _, g := range []struct {
		name string
		id   *string
	}{{"Rollcall", &id}, {"Rollcall, headquarters", &within}} {
		if *g.id, err = t.CreateGroup(tenant.Fields{"displayName": g.name, "securityEnabled": true}); err != nil {
			return "", err
		}
	}
	for _, pair := range [][2]string{{id, within}, {within, id}} {
		if err := t.AddMember(pair[0], pair[1]); err != nil {
			return "", err
		}
	}
	for i, p := range t.People() {
		group := id
		if i%2 == 0 {
			group = within
		}
		if i%10 < 7 {
			if err := t.AddMember(group, p.ID); err != nil {
				return "", err
			}
		}
	}
	return id, nil
}

// edit changes the tenant before a round's sync.
func (st *story) edit(round int) error {
	n := st.tenant.Directory.Len()
	switch round {
	case 2:
		// More than a hundred removals would wait for a human.
		done, err := st.tenant.Apply(tenant.Bulk{Seed: 7, Edit: n/50 + 1, Remove: min(n/100+2, 50), Create: n/100 + 1})
		if err != nil {
			return err
		}
		return st.regroup(done.Created)
	case 3:
		if _, err := st.tenant.Apply(tenant.Bulk{Seed: 8, Restore: 2}); err != nil {
			return err
		}
		for _, g := range st.tenant.DeletedGroups() {
			if err := st.tenant.RestoreGroup(g.ID); err != nil {
				return err
			}
		}
		if st.moved != "" {
			return st.tenant.AddMember(st.scope, st.moved)
		}
	}
	return nil
}

// regroup renames a team, closes the last if there are others, and opens one
// for the newcomers. Where a group decides who is synced, they join it, and
// somebody leaves it who stays with the company.
func (st *story) regroup(newcomers []string) error {
	var teams []tenant.Group
	for _, g := range st.tenant.Groups() {
		if g.Team() {
			teams = append(teams, g)
		}
	}
	opened, err := st.tenant.CreateGroup(tenant.Fields{
		"displayName": "Welcome", "visibility": "Private", "mailEnabled": true, "mail": "welcome@" + st.tenant.Domain,
		"groupTypes": []string{"Unified"}, "resourceProvisioningOptions": []string{"Team"},
	})
	if err == nil && len(teams) > 0 {
		err = st.tenant.UpdateGroup(teams[0].ID, tenant.Fields{"displayName": teams[0].DisplayName + " (new name)"})
	}
	if err == nil && len(teams) > 1 {
		err = st.tenant.RemoveGroup(teams[len(teams)-1].ID)
	}
	if err != nil {
		return err
	}
	for _, id := range newcomers {
		groups := []string{opened}
		if st.scope != "" {
			groups = append(groups, st.scope)
		}
		for _, g := range groups {
			if err := st.tenant.AddMember(g, id); err != nil {
				return err
			}
		}
	}
	if st.scope == "" {
		return nil
	}
	for _, id := range st.tenant.Members(st.scope) {
		if p, person := st.tenant.Person(id); person && p.Manager != "" {
			st.moved = id
			return st.tenant.RemoveMember(st.scope, id)
		}
	}
	return fmt.Errorf("nobody is in the scope group")
}
