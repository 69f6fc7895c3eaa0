package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Select is the property list of users/delta. The delta token freezes it: a
// change starts a full enumeration.
func Select() string { return "id," + strings.Join(directory.Properties(), ",") }

// People fetches one page of users changed since link was made. An empty link
// begins a full enumeration. A link that Graph has forgotten is
// [fault.Expired].
func (c *Client) People(ctx context.Context, tenant, link string) (p directory.Page, err error) {
	defer fault.Wrap(&err, "graph: users of tenant %s", tenant)
	stored := link != ""
	if !stored {
		link = c.base + "/users/delta?$select=" + url.QueryEscape(Select())
	}
	b, calls, err := c.send(ctx, tenant, abstractions.GET, link, nil)
	if err != nil {
		if stored && fault.Is(err, fault.Invalid) {
			// The request is Graph's own link: what it does not understand any
			// more, it has forgotten.
			err = &fault.Error{Kind: fault.Expired, Code: fault.Of(err).Code, Err: err}
		}
		return directory.Page{Calls: calls}, err
	}
	p, err = DecodePeople(b)
	p.Calls = calls
	return p, err
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
	var body struct {
		Next  string  `json:"@odata.nextLink"`
		Delta string  `json:"@odata.deltaLink"`
		Value *[]user `json:"value"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return p, fault.New(fault.Unknown, "page of users: %w", err)
	}
	if body.Value == nil {
		return p, fault.New(fault.Unknown, "page of users without a value")
	}
	if (body.Next == "") == (body.Delta == "") {
		return p, fault.New(fault.Unknown, "page of users must have a next or a delta link")
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
	id := strings.ToLower(u.ID)
	if _, ok := directory.Key(id); !ok {
		return it, fault.New(fault.Unknown, "page of users: an entry without a GUID for its id")
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
		if m.Removed == nil { // a removed one only clears what was there
			it.Person.Manager = strings.ToLower(m.ID)
		}
	}
	it.Canonical()
	return it, nil
}

// maxIDs is how many IDs one call of getByIds takes. Source: Microsoft Graph
// documentation, "directoryObject: getByIds".
const maxIDs = 1000

// Existing returns those of the user IDs that the tenant still holds. Deleted
// users are not among them. It takes at most 1,000 IDs.
func (c *Client) Existing(ctx context.Context, tenant string, ids []string) (found []string, err error) {
	defer fault.Wrap(&err, "graph: getByIds of tenant %s", tenant)
	if len(ids) > maxIDs {
		return nil, fault.New(fault.Invalid, "%d IDs, at most %d", len(ids), maxIDs)
	}
	req, err := json.Marshal(map[string][]string{"ids": ids, "types": {"user"}})
	if err != nil {
		return nil, err
	}
	b, _, err := c.send(ctx, tenant, abstractions.POST, c.base+"/directoryObjects/getByIds?$select=id", req)
	if err != nil {
		return nil, err
	}
	return decodeIDs(b)
}

func decodeIDs(b []byte) ([]string, error) {
	var body struct {
		Value *[]struct {
			ID string `json:"id"`
		} `json:"value"`
		Next string `json:"@odata.nextLink"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return nil, fault.New(fault.Unknown, "list of IDs: %w", err)
	}
	if body.Value == nil || body.Next != "" { // getByIds does not page: a part would read as absence
		return nil, fault.New(fault.Unknown, "list of IDs is not whole")
	}
	ids := make([]string, 0, len(*body.Value))
	for _, v := range *body.Value {
		ids = append(ids, strings.ToLower(v.ID))
	}
	return ids, nil
}

// maxIn is how many values a filter may list with "in". Source: Microsoft
// Graph documentation, "Advanced query capabilities".
const maxIn = 15

// Managers returns the manager's ID, empty for none, of those of the users
// that the tenant holds.
func (c *Client) Managers(ctx context.Context, tenant string, ids []string) (managers map[string]string, calls int, err error) {
	defer fault.Wrap(&err, "graph: managers of tenant %s", tenant)
	managers = make(map[string]string, len(ids))
	for chunk := range slices.Chunk(ids, maxIn) {
		q := url.Values{
			"$filter": {"id in ('" + strings.Join(chunk, "','") + "')"},
			"$select": {"id"},
			"$expand": {"manager($select=id)"},
			"$top":    {"999"},
		}
		b, n, err := c.send(ctx, tenant, abstractions.GET, c.base+"/users?"+strings.ReplaceAll(q.Encode(), "+", "%20"), nil)
		calls += n
		if err != nil {
			return nil, calls, err
		}
		if err := decodeManagers(b, managers); err != nil {
			return nil, calls, err
		}
	}
	return managers, calls, nil
}

func decodeManagers(b []byte, into map[string]string) error {
	var body struct {
		Value *[]struct {
			ID      string `json:"id"`
			Manager *struct {
				ID string `json:"id"`
			} `json:"manager"`
		} `json:"value"`
		Next string `json:"@odata.nextLink"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return fault.New(fault.Unknown, "list of managers: %w", err)
	}
	if body.Value == nil || body.Next != "" {
		return fault.New(fault.Unknown, "list of managers is not whole")
	}
	for _, u := range *body.Value {
		id := ""
		if u.Manager != nil {
			id = strings.ToLower(u.Manager.ID)
		}
		into[strings.ToLower(u.ID)] = id
	}
	return nil
}

// Probe asks, with a token of this moment, whether the tenant is who it
// claims to be and grants what the sync of people needs. [fault.Conflict]
// means that another tenant answered.
func (c *Client) Probe(ctx context.Context, tenant string) (err error) {
	defer fault.Wrap(&err, "graph: probe of tenant %s", tenant)
	if _, err := c.creds.Fresh(tenant); err != nil {
		return err
	}
	b, _, err := c.send(ctx, tenant, abstractions.GET, c.base+"/organization?$select=id", nil)
	if err != nil {
		return err
	}
	ids, err := decodeIDs(b)
	if err != nil {
		return err
	}
	if len(ids) != 1 || ids[0] != tenant {
		return fault.New(fault.Conflict, "organization answers %q", ids)
	}
	_, _, err = c.send(ctx, tenant, abstractions.GET, c.base+"/users?$top=1&$select=id", nil)
	return err
}
