package graph

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// maxIn is how many values a filter may list with "in". Source: Microsoft
// Graph documentation, "Advanced query capabilities".
const maxIn = 15

// Managers returns the manager's ID, empty for none, of those of the users
// that the tenant holds.
func (c *Client) Managers(ctx context.Context, tenant connection.Access, ids []string) (managers map[string]string, err error) {
	defer fault.Wrap(&err, "graph: managers of tenant %s", tenant)
	if err := checkIDs(ids...); err != nil {
		return nil, err
	}
	managers = make(map[string]string, len(ids))
	for chunk := range slices.Chunk(ids, maxIn) {
		link := c.managersLink("id in ('" + strings.Join(chunk, "','") + "')")
		b, err := c.send(ctx, tenant, call{link: link, needs: "User.Read.All"})
		if err != nil {
			return nil, err
		}
		some, next, err := decodeManagers(b)
		if err != nil {
			return nil, err
		}
		if next != "" {
			return nil, fault.New(fault.Unknown, "list of managers is not whole")
		}
		maps.Copy(managers, some)
	}
	return managers, nil
}

// ManagerPage returns one page of everybody's managers: the manager's ID,
// empty for none, of each user on it. An empty link begins; the last page has
// no next. A link that Graph has forgotten is [fault.Expired].
func (c *Client) ManagerPage(ctx context.Context, tenant connection.Access, link string) (managers map[string]string, next string, err error) {
	defer fault.Wrap(&err, "graph: page of managers of tenant %s", tenant)
	q := call{link: link, given: link != "", needs: "User.Read.All"}
	if !q.given {
		q.link = c.managersLink("")
	}
	b, err := c.send(ctx, tenant, q)
	if err != nil {
		return nil, "", err
	}
	return decodeManagers(b)
}

func (c *Client) managersLink(filter string) string {
	q := url.Values{"$select": {"id"}, "$expand": {"manager($select=id)"}, "$top": {"999"}}
	if filter != "" {
		q.Set("$filter", filter)
	}
	return c.base + "/users?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

// reporting is a user with the manager expanded; none is null or missing.
type reporting struct {
	ID      string  `json:"id"`
	Manager *object `json:"manager"`
}

// ids are the user's ID and the manager's.
func (r *reporting) ids() (id, manager string, err error) {
	if id, err = objectID(r.ID); err == nil && r.Manager != nil {
		manager, err = objectID(r.Manager.ID)
	}
	return id, manager, err
}

// decodeManagers reads a page of users with their managers.
func decodeManagers(b []byte) (managers map[string]string, next string, err error) {
	body, err := decodeList[reporting](b)
	if err != nil {
		return nil, "", err
	}
	managers = make(map[string]string, len(*body.Value))
	for i := range *body.Value {
		id, manager, err := (*body.Value)[i].ids()
		if err != nil {
			return nil, "", err
		}
		managers[id] = manager
	}
	return managers, body.Next, nil
}
