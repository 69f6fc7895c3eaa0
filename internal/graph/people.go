package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
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
	b, err := c.send(ctx, tenant, call{link: link, given: given, needs: "User.Read.All"})
	if err != nil {
		return directory.Page{}, err
	}
	return DecodePeople(b)
}

// user is an entry of users/delta. A null and a missing property both mean no
// value, except manager@delta, which is missing when it has not changed.
// Source: Microsoft Graph documentation, "Get delta for user objects".
type user struct {
	ID      string `json:"id"`
	Removed *struct {
		Reason string `json:"reason"`
	} `json:"@removed"`
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
	Manager []struct {
		ID      string          `json:"id"`
		Removed json.RawMessage `json:"@removed"`
	} `json:"manager@delta"`
}

// DecodePeople reads one page of users/delta. A page that is not whole is an
// error of kind Unknown: fetching it again may help.
func DecodePeople(b []byte) (p directory.Page, err error) {
	body, err := decodeDelta[user](b)
	if err != nil {
		return p, err
	}
	p.Next, p.Delta = body.Next, body.Delta
	p.Items = make([]directory.Item, 0, len(*body.Value))
	for i := range *body.Value {
		it, err := (*body.Value)[i].item()
		if err != nil {
			return directory.Page{}, err
		}
		p.Items = append(p.Items, it)
	}
	return p, nil
}

func (u *user) item() (it directory.Item, err error) {
	id, err := objectID(u.ID)
	if err != nil {
		return it, err
	}
	it.ID = id
	if u.Removed != nil {
		it.Removed = directory.Deleted
		if u.Removed.Reason == "changed" {
			it.Removed = directory.SoftDeleted
		}
		return it, nil
	}
	it.Person = directory.Person{
		ID: id, Mail: u.Mail, OtherMails: u.OtherMails, ProxyAddresses: u.ProxyAddresses,
		UserPrincipalName: u.UserPrincipalName, DisplayName: u.DisplayName, GivenName: u.GivenName, Surname: u.Surname,
		BusinessPhones: u.BusinessPhones, MobilePhone: u.MobilePhone, PreferredLanguage: u.PreferredLanguage,
		AccountEnabled: u.AccountEnabled, UserType: u.UserType, JobTitle: u.JobTitle, Department: u.Department,
		OfficeLocation: u.OfficeLocation, EmployeeID: u.EmployeeID, EmployeeHireDate: u.EmployeeHireDate,
	}
	for _, l := range u.AssignedLicenses {
		it.AssignedLicenses = append(it.AssignedLicenses, strings.ToLower(l.SKU))
	}
	it.HasManager = u.Manager != nil
	for _, m := range u.Manager {
		if m.Removed != nil { // a removed one only clears what was there
			continue
		}
		if it.Person.Manager, err = objectID(m.ID); err != nil {
			return directory.Item{}, err
		}
	}
	it.Canonical()
	return it, nil
}
