package proof

import (
	"fmt"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// all calls f with each.
func all(ids []string, f func(id string) error) error {
	for _, id := range ids {
		if err := f(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) join(group string, people ...string) error {
	return all(people, func(id string) error { return s.cust.tenant.AddMember(group, id) })
}

func (s *story) leave(group string, people ...string) error {
	return all(people, func(id string) error { return s.cust.tenant.RemoveMember(group, id) })
}

// nothing changes.
func (s *story) nothing() error { return nil }

// settle puts people into the scope group before anybody is synced.
func (s *story) settle() error {
	if err := s.cust.tenant.AddMember(s.scope, s.inner); err != nil {
		return err
	}
	if err := s.join(s.scope, s.people[:inScope/2]...); err != nil {
		return err
	}
	if err := s.cust.tenant.SetMailbox(s.people[8], shared(10)); err != nil {
		return err
	}
	return s.join(s.inner, s.people[inScope/2:inScope]...)
}

func shared(bytes int64) tenant.Mailbox {
	return tenant.Mailbox{Purpose: "shared", Created: time.Date(2020, 5, 6, 0, 0, 0, 0, time.UTC), Items: 12, Used: bytes}
}

// change is a day with changes of every kind, few enough to pass the guard.
func (s *story) change() error {
	s.day.Add(1) // there is a newer report of mailboxes
	s.Host.Kill()
	tn, p := s.cust.tenant, s.people
	for i, id := range p[10:40] {
		if err := tn.Update(id, tenant.Fields{"jobTitle": fmt.Sprintf("Pilot %d", i/3), "department": "Air", "manager": p[5]}); err != nil {
			return err
		}
	}
	if err := all(p[40:42], tn.Remove); err != nil {
		return err
	}
	if err := s.leave(s.scope, p[42]); err != nil { // still in the tenant, but out of scope
		return err
	}
	if err := s.join(s.inner, p[inScope:inScope+4]...); err != nil {
		return err
	}
	if err := tn.Update(p[43], tenant.Fields{"accountEnabled": false}); err != nil { // no longer chosen
		return err
	}
	made, err := tn.CreateGroup(tenant.Fields{"displayName": "New team", "mailNickname": "new-team", "mailEnabled": true,
		"mail": "new-team@contoso.example", "groupTypes": []string{"Unified"}, "resourceProvisioningOptions": []string{"Team"}})
	if err != nil {
		return err
	}
	if err := s.join(made, p[20:30]...); err != nil {
		return err
	}
	// A group that becomes a team has members already, of which no delta tells.
	late, err := tn.CreateGroup(tenant.Fields{"displayName": "Mail only", "mailNickname": "mail-only", "mailEnabled": true,
		"mail": "mail-only@contoso.example", "groupTypes": []string{"Unified"}})
	if err != nil {
		return err
	}
	if err := s.join(late, p[50:58]...); err != nil {
		return err
	}
	if err := tn.UpdateGroup(late, tenant.Fields{"resourceProvisioningOptions": []string{"Team"}}); err != nil {
		return err
	}
	if err := tn.UpdateGroup(s.teams[2], tenant.Fields{"displayName": "Another name"}); err != nil {
		return err
	}
	s.gone = s.teams[3:5]
	if err := all(s.gone, tn.RemoveGroup); err != nil {
		return err
	}
	for i, id := range s.teams[5:9] {
		if err := s.leave(id, tn.Members(id)[0]); err != nil {
			return err
		}
		if err := s.join(id, outside(tn, id, p[60+i:])); err != nil {
			return err
		}
	}
	skus := tn.SKUs()
	skus[0].Enabled += 7
	skus[1].CapabilityStatus = "Warning"
	skus = skus[:len(skus)-1]
	if err := tn.SetSKUs(skus); err != nil {
		return err
	}
	if err := tn.RemoveMailbox(p[7]); err != nil {
		return err
	}
	return tn.SetMailbox(p[8], shared(3456))
}

// outside is the first of the people who is no member of the group.
func outside(tn *tenant.Tenant, group string, people []string) string {
	in := map[string]bool{}
	for _, id := range tn.Members(group) {
		in[id] = true
	}
	for _, id := range people {
		if _, here := tn.Person(id); here && !in[id] {
			return id
		}
	}
	return ""
}

// forget lets Microsoft forget the delta tokens, with changes meanwhile.
func (s *story) forget() error {
	tn, p := s.cust.tenant, s.people
	tn.Forget()
	if err := tn.RestoreGroup(s.gone[0]); err != nil {
		return err
	}
	if err := tn.Restore(p[40]); err != nil {
		return err
	}
	if err := all(p[44:46], tn.Remove); err != nil {
		return err
	}
	if err := all(s.teams[9:10], tn.PurgeGroup); err != nil {
		return err
	}
	for i, id := range s.teams[10:13] {
		if err := s.leave(id, tn.Members(id)[0]); err != nil {
			return err
		}
		if err := s.join(id, outside(tn, id, p[64+i:])); err != nil {
			return err
		}
	}
	return tn.Update(p[9], tenant.Fields{"displayName": "Changed meanwhile", "manager": nil})
}

// empty takes away more people, teams and memberships than may go at once.
func (s *story) empty() error {
	tn, p := s.cust.tenant, s.people
	if err := all(p[46:62], tn.Remove); err != nil {
		return err
	}
	if err := all(s.teams[13:19], tn.RemoveGroup); err != nil {
		return err
	}
	// The largest team loses most of its members.
	var users []string
	for _, id := range tn.Members(s.teams[0]) {
		if _, ok := tn.Person(id); ok {
			users = append(users, id)
		}
	}
	if err := s.leave(s.teams[0], users[:len(users)*3/4]...); err != nil {
		return err
	}
	return tn.Update(p[11], tenant.Fields{"jobTitle": "Survivor"})
}

// tomorrow is what a preview finds and a person's sync a part of.
func (s *story) tomorrow() error {
	tn, p := s.cust.tenant, s.people
	for i, id := range p[70:82] {
		if err := tn.Update(id, tenant.Fields{"jobTitle": fmt.Sprintf("Sailor %d", i/4), "manager": p[6]}); err != nil {
			return err
		}
	}
	if err := all(p[82:84], tn.Remove); err != nil {
		return err
	}
	for _, id := range s.teams[1:3] {
		if err := s.join(id, outside(tn, id, p[70:])); err != nil {
			return err
		}
	}
	return s.leave(s.inner, p[84])
}
