package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// The oracle reads pages with encoding/json and types of its own. It knows
// nothing of the scanner, and the product nothing of the oracle.

type oracleRemoved struct {
	Reason string `json:"reason"`
}

type oracleRef struct {
	ID      string         `json:"id"`
	Removed *oracleRemoved `json:"@removed"`
}

type oracleMember struct {
	oracleRef
	Type string `json:"@odata.type"`
}

type oracleUser struct {
	ID                string   `json:"id"`
	Mail              string   `json:"mail"`
	OtherMails        []string `json:"otherMails"`
	ProxyAddresses    []string `json:"proxyAddresses"`
	UserPrincipalName string   `json:"userPrincipalName"`
	DisplayName       string   `json:"displayName"`
	GivenName         string   `json:"givenName"`
	Surname           string   `json:"surname"`
	BusinessPhones    []string `json:"businessPhones"`
	MobilePhone       string   `json:"mobilePhone"`
	PreferredLanguage string   `json:"preferredLanguage"`
	AccountEnabled    *bool    `json:"accountEnabled"`
	UserType          string   `json:"userType"`
	JobTitle          string   `json:"jobTitle"`
	Department        string   `json:"department"`
	OfficeLocation    string   `json:"officeLocation"`
	EmployeeID        string   `json:"employeeId"`
	EmployeeHireDate  string   `json:"employeeHireDate"`
	AssignedLicenses  []struct {
		SKU string `json:"skuId"`
	} `json:"assignedLicenses"`
}

func (u *oracleUser) person(id string) directory.Person {
	p := directory.Person{
		ID: id, Mail: u.Mail, OtherMails: oracleSet(u.OtherMails), ProxyAddresses: oracleSet(u.ProxyAddresses),
		UserPrincipalName: u.UserPrincipalName, DisplayName: u.DisplayName, GivenName: u.GivenName, Surname: u.Surname,
		BusinessPhones: oracleSet(u.BusinessPhones), MobilePhone: u.MobilePhone, PreferredLanguage: u.PreferredLanguage,
		AccountEnabled: u.AccountEnabled, UserType: u.UserType, JobTitle: u.JobTitle, Department: u.Department,
		OfficeLocation: u.OfficeLocation, EmployeeID: u.EmployeeID, EmployeeHireDate: u.EmployeeHireDate,
	}
	var skus []string
	for _, l := range u.AssignedLicenses {
		skus = append(skus, strings.ToLower(l.SKU))
	}
	p.AssignedLicenses = oracleSet(skus)
	return p
}

// oracleSet is the list sorted, without repeats and empty strings.
func oracleSet(l []string) (set []string) {
	for _, s := range slices.Sorted(slices.Values(l)) {
		if s != "" && (len(set) == 0 || set[len(set)-1] != s) {
			set = append(set, s)
		}
	}
	return set
}

func (r *oracleRemoved) reason() directory.Reason {
	if r.Reason == "changed" {
		return directory.SoftDeleted
	}
	return directory.Deleted
}

// oraclePage reads a page as its last members of each exact name, since
// encoding/json would merge repeated ones and take other cases.
func oraclePage[T any](b []byte, delta bool, known ...string) (items []T, next, last string, err error) {
	var body struct {
		Next  string `json:"@odata.nextLink"`
		Delta string `json:"@odata.deltaLink"`
		Value *[]T   `json:"value"`
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := json.Unmarshal(b, new(json.RawMessage)); err != nil {
		return nil, "", "", err
	} else if err := dec.Decode(&v); err != nil {
		return nil, "", "", err
	}
	known = append(known, "@odata.nextLink", "@odata.deltaLink", "value", "id", "@odata.type", "@removed", "reason", "skuId")
	prune(v, known)
	if b, err = json.Marshal(v); err != nil {
		return nil, "", "", err
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return nil, "", "", err
	}
	if body.Value == nil || delta && (body.Next == "") == (body.Delta == "") || !delta && body.Delta != "" {
		return nil, "", "", fault.New(fault.Unknown, "links %q and %q", body.Next, body.Delta)
	}
	return *body.Value, body.Next, body.Delta, nil
}

// prune drops the members of other names.
func prune(v any, known []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			prune(e, known)
		}
	case map[string]any:
		for name, e := range v {
			if !slices.Contains(known, name) {
				delete(v, name)
				continue
			}
			prune(e, known)
		}
	}
}

// oraclePeople reads a page of users/delta.
func oraclePeople(b []byte) (p directory.Page, err error) {
	users, next, delta, err := oraclePage[struct {
		oracleUser
		Removed *oracleRemoved `json:"@removed"`
		Changed []oracleRef    `json:"manager@delta"`
	}](b, true, append(directory.Properties(), "manager@delta")...)
	if err != nil {
		return p, err
	}
	p = directory.Page{Items: []directory.Item{}, Next: next, Delta: delta}
	for _, u := range users {
		id, err := objectID(u.ID)
		if err != nil {
			return directory.Page{}, err
		}
		if u.Removed != nil {
			p.Items = append(p.Items, directory.Item{Person: directory.Person{ID: id}, Removed: u.Removed.reason()})
			continue
		}
		it := directory.Item{Person: u.person(id), HasManager: u.Changed != nil}
		for _, m := range u.Changed {
			if m.Removed != nil {
				continue
			}
			if it.Manager, err = objectID(m.ID); err != nil {
				return directory.Page{}, err
			}
		}
		p.Items = append(p.Items, it)
	}
	return p, nil
}

// oracleList reads a page of users with their managers.
func oracleList(b []byte) (p directory.ListPage, err error) {
	users, next, _, err := oraclePage[struct {
		oracleUser
		Boss *oracleRef `json:"manager"`
	}](b, false, directory.Properties()...)
	if err != nil {
		return p, err
	}
	p = directory.ListPage{Items: []directory.Item{}, Next: next}
	for _, u := range users {
		id, err := objectID(u.ID)
		if err != nil {
			return directory.ListPage{}, err
		}
		it := directory.Item{Person: u.person(id), HasManager: true}
		if u.Boss != nil {
			if it.Manager, err = objectID(u.Boss.ID); err != nil {
				return directory.ListPage{}, err
			}
		}
		p.Items = append(p.Items, it)
	}
	return p, nil
}

type oracleGroup struct {
	ID          string          `json:"id"`
	Removed     *oracleRemoved  `json:"@removed"`
	Name        json.RawMessage `json:"displayName"`
	Description string          `json:"description"`
	Mail        string          `json:"mail"`
	Visibility  string          `json:"visibility"`
	Types       []string        `json:"groupTypes"`
	Security    bool            `json:"securityEnabled"`
	Options     []string        `json:"resourceProvisioningOptions"`
	Members     []oracleMember  `json:"members@delta"`
}

// oracleGroups reads a page of groups/delta.
func oracleGroups(b []byte) (p directory.TeamPage, err error) {
	groups, next, delta, err := oraclePage[oracleGroup](b, true, "displayName", "description", "mail", "visibility", "groupTypes", "securityEnabled", "resourceProvisioningOptions", "members@delta")
	if err != nil {
		return p, err
	}
	p = directory.TeamPage{Items: []directory.TeamItem{}, Next: next, Delta: delta}
	for i := range groups {
		it, err := groups[i].item()
		if err != nil {
			return directory.TeamPage{}, err
		}
		p.Items = append(p.Items, it)
	}
	return p, nil
}

func (g *oracleGroup) item() (it directory.TeamItem, err error) {
	if it.ID, err = objectID(g.ID); err != nil {
		return it, err
	}
	name := ""
	if g.Name != nil {
		if err := json.Unmarshal(g.Name, &name); err != nil {
			return it, fmt.Errorf("displayName: %w", err)
		}
	}
	if g.Removed != nil {
		it.Removed = g.Removed.reason()
		return it, nil
	}
	has := func(list []string, want string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, want) })
	}
	if it.Told = g.Name != nil; it.Told {
		it.Team = directory.Team{ID: it.ID, DisplayName: name, Description: g.Description, Mail: g.Mail, Visibility: g.Visibility, Dynamic: has(g.Types, "DynamicMembership"), Kind: directory.OtherGroup}
		if has(g.Options, "Team") {
			it.Kind = directory.MicrosoftTeam
		} else if g.Security && !has(g.Types, "Unified") {
			it.Kind = directory.SecurityGroup
		}
	}
	last := map[string]int{}
	for i := range g.Members {
		m := &g.Members[i]
		if m.ID, err = objectID(m.ID); err != nil {
			return directory.TeamItem{}, err
		}
		if m.Type == "" || m.Type == "#microsoft.graph.user" {
			last[m.ID] = i
		}
	}
	for i, m := range g.Members {
		if at, ok := last[m.ID]; !ok || at != i {
			continue
		}
		if m.Removed != nil {
			it.Left = append(it.Left, m.ID)
		} else {
			it.Joined = append(it.Joined, m.ID)
		}
	}
	return it, nil
}
