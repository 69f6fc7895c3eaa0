package graph

import (
	"context"
	"net/url"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph/scan"
)

// People fetches one page of users changed since link was made, with the
// properties named as Graph does; id is always among them. An empty link
// begins a full enumeration; any other brings its own properties. A link that
// Graph has forgotten is [fault.Expired].
func (c *Client) People(ctx context.Context, tenant connection.Access, link string, properties []string) (p directory.Page, err error) {
	defer fault.Wrap(&err, "graph: users of tenant %s", tenant)
	given := link != ""
	if !given {
		link = c.base + "/users/delta?$select=" + url.QueryEscape(strings.Join(append([]string{"id"}, properties...), ","))
	}
	return ask(ctx, c, tenant, call{link: link, given: given, needs: "User.Read.All"}, DecodePeople)
}

// DecodePeople reads one page of users/delta. A page that is not whole is an
// error of kind Unknown: fetching it again may help. The items share
// memory: a kept string keeps 32 kB, those of some dozen people, so
// what outlives the page by long is to be cloned.
func DecodePeople(b []byte) (directory.Page, error) {
	p, err := readPage(b, readChanged)
	if err == nil {
		err = p.ofRound()
	}
	if err != nil {
		return directory.Page{}, err
	}
	return directory.Page{Items: *p.Value, Next: p.Next, Delta: p.Delta}, nil
}

// readChanged reads an entry of users/delta: a user, of whom manager@delta
// tells the manager and is missing if there is no change; or one who is gone.
// Source: Microsoft Graph documentation, "Get delta for user objects".
func readChanged(s *scan.Scanner, it *directory.Item) (known bool) {
	gone, wrong := directory.Reason(""), false
	for name := range s.Members() {
		switch name {
		case "@removed":
			gone = readRemoved(s)
		case "manager@delta":
			it.HasManager, it.Manager, wrong = !s.Null(), "", false
			if !it.HasManager {
				continue
			}
			for range s.Elements() {
				id, removed := readReference(s)
				if removed { // it only clears what was there
					continue
				}
				it.Manager, wrong = id, wrong || id == ""
			}
		default:
			readProperty(s, name, &it.Person)
		}
	}
	if gone != "" {
		*it = directory.Item{Person: directory.Person{ID: it.ID}, Removed: gone}
		return it.ID != ""
	}
	it.Canonical()
	return it.ID != "" && !wrong
}

// readWhole reads a user with the manager expanded: one without it has none.
// The annotations of a delta say nothing here.
func readWhole(s *scan.Scanner, it *directory.Item) (known bool) {
	it.HasManager = true
	reports, boss := false, ""
	for name := range s.Members() {
		if name == "manager" {
			if reports = !s.Null(); !reports {
				boss = ""
				continue
			}
			boss, _ = readReference(s)
			continue
		}
		readProperty(s, name, &it.Person)
	}
	it.Manager = boss
	it.Canonical()
	return it.ID != "" && (!reports || boss != "")
}

// readReference reads a reference of a delta: the object's ID, empty if it is
// none, and whether the reference is gone.
func readReference(s *scan.Scanner) (id string, removed bool) {
	for name := range s.Members() {
		switch name {
		case "id":
			id = readID(s)
		case "@removed":
			removed = readRemoved(s) != ""
		default:
			s.Skip()
		}
	}
	return id, removed
}

// Both values of accountEnabled, which all people share.
var enabled, disabled = true, false

// readProperty reads one property of a user; one that we do not know is
// skipped. A null and a missing one both mean no value.
func readProperty(s *scan.Scanner, name string, p *directory.Person) {
	switch name {
	case "id":
		p.ID = readID(s)
	case "mail":
		p.Mail = s.String()
	case "otherMails":
		p.OtherMails = s.Strings()
	case "proxyAddresses":
		p.ProxyAddresses = s.Strings()
	case "userPrincipalName":
		p.UserPrincipalName = s.String()
	case "displayName":
		p.DisplayName = s.String()
	case "givenName":
		p.GivenName = s.String()
	case "surname":
		p.Surname = s.String()
	case "businessPhones":
		p.BusinessPhones = s.Strings()
	case "mobilePhone":
		p.MobilePhone = s.String()
	case "preferredLanguage":
		p.PreferredLanguage = s.String()
	case "accountEnabled":
		p.AccountEnabled = nil
		if on, ok := s.Bool(); ok && on {
			p.AccountEnabled = &enabled
		} else if ok {
			p.AccountEnabled = &disabled
		}
	case "userType":
		p.UserType = s.String()
	case "jobTitle":
		p.JobTitle = s.String()
	case "department":
		p.Department = s.String()
	case "officeLocation":
		p.OfficeLocation = s.String()
	case "employeeId":
		p.EmployeeID = s.String()
	case "employeeHireDate":
		p.EmployeeHireDate = s.String()
	case "assignedLicenses":
		p.AssignedLicenses = readLicenses(s)
	default:
		s.Skip()
	}
}

// readLicenses reads the SKU IDs of assigned licences.
func readLicenses(s *scan.Scanner) []string {
	s.Begin()
	for range s.Elements() {
		sku := ""
		for name := range s.Members() {
			if name == "skuId" {
				sku = s.Lower(s.String())
			} else {
				s.Skip()
			}
		}
		s.Add(sku)
	}
	return s.List()
}
