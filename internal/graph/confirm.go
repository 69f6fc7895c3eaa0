package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"

	abstractions "github.com/microsoft/kiota-abstractions-go"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph/scan"
)

// maxIDs is how many IDs one call of getByIds takes. Source: Microsoft Graph
// documentation, "directoryObject: getByIds".
const maxIDs = 1000

// Existing returns those of the people's or teams' IDs that the tenant still
// holds. Deleted ones are not among them. It takes at most 1,000 IDs.
func (c *Client) Existing(ctx context.Context, tenant connection.Access, kind directory.Kind, ids []string) (found []string, err error) {
	defer fault.Wrap(&err, "graph: getByIds of tenant %s", tenant)
	if len(ids) > maxIDs {
		return nil, fault.New(fault.Invalid, "%d IDs, at most %d", len(ids), maxIDs)
	}
	var of, needs string
	switch kind {
	case directory.People:
		of, needs = "user", "User.Read.All"
	case directory.Teams:
		of, needs = "group", "GroupMember.Read.All"
	default:
		return nil, fault.New(fault.Invalid, "kind %q has no IDs", kind)
	}
	if err := checkIDs(ids...); err != nil || len(ids) == 0 {
		return nil, err
	}
	body, err := json.Marshal(map[string][]string{"ids": ids, "types": {of}})
	if err != nil {
		return nil, err
	}
	b, err := c.send(ctx, tenant, call{method: abstractions.POST, link: c.base + "/directoryObjects/getByIds?$select=id", body: body, needs: needs})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll[object](b)
	if err != nil {
		return nil, err
	}
	return idsOf(objects, of)
}

// Whole returns those of the users that the tenant holds, with the properties
// named as Graph does. If manager is among them, the manager is always known.
func (c *Client) Whole(ctx context.Context, tenant connection.Access, ids, properties []string) (items []directory.Item, err error) {
	defer fault.Wrap(&err, "graph: whole users of tenant %s", tenant)
	if err := checkIDs(ids...); err != nil {
		return nil, err
	}
	names, expand := selection(properties)
	query := "?$select=" + url.QueryEscape(names) + expand
	requests := make([]inner, len(ids))
	for i, id := range ids {
		requests[i] = get("/users/" + id + query)
	}
	replies, err := c.batch(ctx, tenant, "User.Read.All", requests)
	if err != nil {
		return nil, err
	}
	items = make([]directory.Item, 0, len(ids))
	for i := range replies {
		if !replies[i].found() {
			continue
		}
		it, err := decodeWhole(replies[i].body, slices.Contains(properties, "manager"))
		if err != nil {
			return nil, err
		}
		if it.ID != ids[i] {
			return nil, fault.New(fault.Unknown, "user %s answers for %s", it.ID, ids[i])
		}
		items = append(items, it)
	}
	return items, nil
}

// decodeWhole reads one user, whose manager is expanded if asked for.
func decodeWhole(b []byte, manager bool) (it directory.Item, err error) {
	s := scan.New(b)
	known := readWhole(s, &it)
	if err := s.End(); err != nil {
		return directory.Item{}, fault.New(fault.Unknown, "user: %w", err)
	}
	if !known {
		return directory.Item{}, errID()
	}
	if !manager {
		it.HasManager, it.Manager = false, ""
	}
	return it, nil
}

// DeletedPeople tells of each user whether the tenant can restore it: true if
// it is among the deleted items, false if it is not. That it is not there does
// not say that it is gone.
func (c *Client) DeletedPeople(ctx context.Context, tenant connection.Access, ids []string) (restorable map[string]bool, err error) {
	defer fault.Wrap(&err, "graph: deleted users of tenant %s", tenant)
	if err := checkIDs(ids...); err != nil {
		return nil, err
	}
	requests := make([]inner, len(ids))
	for i, id := range ids {
		requests[i] = get("/directory/deletedItems/" + id + "?$select=id")
	}
	replies, err := c.batch(ctx, tenant, "User.Read.All", requests)
	if err != nil {
		return nil, err
	}
	restorable = make(map[string]bool, len(ids))
	for i, id := range ids {
		if replies[i].found() {
			if err := sameID(replies[i].body, id); err != nil {
				return nil, err
			}
		}
		restorable[id] = replies[i].found()
	}
	return restorable, nil
}

// sameID refuses an object that is not the one that was asked for.
func sameID(b []byte, want string) error {
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		return fault.New(fault.Unknown, "object: %w", err)
	}
	if id, err := objectID(o.ID); err != nil || id != want {
		return fault.New(fault.Unknown, "another object answers for %s", want)
	}
	return nil
}
