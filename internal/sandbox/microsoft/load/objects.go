package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// maxText is the longest text that the stand-in holds, in bytes. A group's
// rule and description can be longer at Microsoft.
const maxText = 1024

// fields are the properties of an entry that the stand-in knows.
func (l *loader) fields(e object, known []string) (tenant.Fields, error) {
	f := tenant.Fields{}
	for _, name := range known {
		raw, ok := e.props[name]
		if !ok {
			continue
		}
		f[name] = raw
		if len(raw) <= maxText || raw[0] != '"' {
			continue
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(s) > maxText {
			cut := maxText
			for !utf8.RuneStart(s[cut]) {
				cut--
			}
			f[name] = s[:cut]
			l.sum.Clipped++
		}
	}
	return f, nil
}

// flags cannot be null; what an export leaves open stays as it is made.
func flags(e object, f tenant.Fields, names ...string) {
	for _, n := range names {
		if e.null(n) {
			delete(f, n)
		}
	}
}

var personFields = (tenant.PropAll &^ (tenant.PropID | tenant.PropManager | tenant.PropAssignedLicenses)).Names()

// users adds the people and then, when all are there, their managers.
func (l *loader) users(files []string) error {
	if err := l.each(files, func(_ string, e object) error { return l.user(e) }); err != nil {
		return err
	}
	l.sum.People = l.t.Len()
	for _, id := range l.order {
		m := l.manager[id]
		if m == "" {
			continue
		}
		delete(l.manager, id) // it may be in order twice
		err := l.t.Update(id, tenant.Fields{"manager": m})
		switch {
		case errors.Is(err, tenant.ErrNotFound):
			l.sum.UnknownManagers++
		case err != nil:
			return fmt.Errorf("%w: person %s: %w", ErrExport, id, err)
		}
	}
	return nil
}

// user adds one person. An entry that comes again, as in a delta, has the
// last word.
func (l *loader) user(e object) error {
	id, err := e.id()
	if err != nil {
		return err
	}
	if e.removed() {
		l.sum.Removed++
		return nil
	}
	f, err := l.fields(e, personFields)
	if err != nil {
		return err
	}
	flags(e, f, "accountEnabled")
	if !e.null("assignedLicenses") {
		var licenses []tenant.License
		if err := json.Unmarshal(e.props["assignedLicenses"], &licenses); err != nil {
			return fmt.Errorf("person %s: assignedLicenses: want a list of {skuId, disabledPlans}", id)
		}
		f["assignedLicenses"] = licenses
	}
	if _, again := l.t.Person(id); again {
		err = l.t.Update(id, f)
	} else {
		if e.null("userPrincipalName") {
			return fmt.Errorf("person %s has no userPrincipalName; name it in the $select of the export", id)
		}
		f["id"] = id
		_, err = l.t.Create(f)
	}
	switch {
	case errors.Is(err, tenant.ErrConflict):
		return fmt.Errorf("%w; two entries cannot be true at the same time: export again", err)
	case err != nil:
		return fmt.Errorf("person %s: %w; correct or leave out this entry", id, err)
	}
	return l.managed(id, e)
}

// managed notes a person's manager from $expand=manager or from a delta.
func (l *loader) managed(id string, e object) error {
	note := func(m object) error {
		to, err := m.id()
		if err != nil {
			return fmt.Errorf("person %s: manager: %w", id, err)
		}
		if l.manager[id] == "" {
			l.order = append(l.order, id)
		}
		l.manager[id] = to
		return nil
	}
	if !e.null("manager") {
		m := object{}
		if err := json.Unmarshal(e.props["manager"], &m.props); err != nil {
			return fmt.Errorf(`person %s: manager: want {"id": …}, as $expand=manager($select=id) answers`, id)
		}
		return note(m)
	}
	delta, err := e.list("manager@delta")
	if err != nil {
		return fmt.Errorf("person %s: %w", id, err)
	}
	for _, m := range delta {
		if m.removed() {
			continue
		}
		if err := note(m); err != nil {
			return err
		}
	}
	return nil
}

var groupFields = (tenant.GroupAll &^ (tenant.GroupID | tenant.GroupMembers)).Names()

// groups adds the groups and then, when all are there, the members that came
// with them.
func (l *loader) groups(files []string) error {
	if err := l.each(files, l.group); err != nil {
		return err
	}
	for _, k := range l.links {
		if err := l.join(k.group, k.member); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrExport, k.file, err)
		}
	}
	l.links = nil
	l.sum.Groups = l.t.GroupCount()
	return nil
}

func (l *loader) group(file string, e object) error {
	id, err := e.id()
	if err != nil {
		return err
	}
	if e.removed() {
		l.sum.Removed++
		return nil
	}
	if !e.null("members@odata.nextLink") {
		return fmt.Errorf("group %s has more members than are here; save GET /v1.0/groups/%s/members as members-%s.json", id, id, id)
	}
	f, err := l.fields(e, groupFields)
	if err != nil {
		return err
	}
	flags(e, f, "mailEnabled", "securityEnabled")
	if _, again := l.t.Group(id); again {
		err = l.t.UpdateGroup(id, f)
	} else {
		f["id"] = id
		_, err = l.t.CreateGroup(f)
	}
	if err != nil {
		return fmt.Errorf("group %s: %w; correct or leave out this entry", id, err)
	}
	for _, name := range []string{"members", "members@delta"} {
		members, err := e.list(name)
		if err != nil {
			return fmt.Errorf("group %s: %w", id, err)
		}
		for _, m := range members {
			to, err := m.id()
			if err != nil {
				return fmt.Errorf("group %s: %s: %w", id, name, err)
			}
			if !m.removed() {
				l.links = append(l.links, link{group: id, member: to, file: file})
			}
		}
	}
	return nil
}

// members reads the files of single groups.
func (l *loader) members(files []string) error {
	of := map[string][]string{}
	var groups []string
	for _, f := range files {
		m := memberFile.FindStringSubmatch(f)
		if m == nil {
			return fmt.Errorf("%w: %s: want the group's ID behind members-", ErrExport, f)
		}
		id := strings.ToLower(m[1])
		if _, ok := l.t.Group(id); !ok {
			return fmt.Errorf("%w: %s: no groups*.json has group %s; export it too, or take this file out", ErrExport, f, id)
		}
		if of[id] == nil {
			groups = append(groups, id)
		}
		of[id] = append(of[id], f)
	}
	for _, id := range groups {
		err := l.each(of[id], func(_ string, e object) error {
			to, err := e.id()
			if err != nil {
				return err
			}
			return l.join(id, to)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// join makes one membership. A member that comes twice is one.
func (l *loader) join(group, member string) error {
	err := l.t.AddMember(group, member)
	switch {
	case err == nil:
		l.sum.Memberships++
	case errors.Is(err, tenant.ErrConflict):
	case errors.Is(err, tenant.ErrNotFound):
		l.sum.UnknownMembers++
	default:
		return fmt.Errorf("group %s: %w", group, err)
	}
	return nil
}
