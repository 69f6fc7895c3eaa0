package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// groupSelect is what is asked of a group. The delta token freezes it: a
// change starts a full enumeration.
const groupSelect = "id,displayName,description,mail,visibility,groupTypes,securityEnabled,resourceProvisioningOptions"

const groupNeeds = "GroupMember.Read.All"

// Groups fetches one page of groups changed since link was made, with the
// memberships that changed. An empty link begins a full enumeration. A link
// that Graph has forgotten is [fault.Expired].
func (c *Client) Groups(ctx context.Context, tenant connection.Access, link string) (p directory.TeamPage, err error) {
	defer fault.Wrap(&err, "graph: groups of tenant %s", tenant)
	q := call{link: link, given: link != "", needs: groupNeeds}
	if !q.given {
		q.link = c.base + "/groups/delta?$select=" + url.QueryEscape(groupSelect+",members")
	}
	return ask(ctx, c, tenant, q, DecodeGroups)
}

// maxSearch is how many groups a search returns, and maxText how many bytes
// it may look for; a group's name has at most 256 characters.
const (
	maxSearch = 25
	maxText   = 1024
)

// SearchGroups returns at most 25 groups with a word of the text in their
// names, of every kind.
func (c *Client) SearchGroups(ctx context.Context, tenant connection.Access, text string) (teams []directory.Team, err error) {
	defer fault.Wrap(&err, "graph: search for groups of tenant %s", tenant)
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxText {
		return nil, fault.New(fault.Invalid, "search for %d bytes: want 1 to %d", len(text), maxText)
	}
	// Quotes and backslashes are escaped. Source: Microsoft Graph
	// documentation, "Use the $search query parameter".
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
	v := url.Values{"$search": {`"displayName:` + quoted + `"`}, "$select": {groupSelect}, "$top": {"25"}, "$count": {"true"}}
	link := c.base + "/groups?" + strings.ReplaceAll(v.Encode(), "+", "%20")
	b, err := c.send(ctx, tenant, call{link: link, eventual: true, needs: groupNeeds})
	if err != nil {
		return nil, err
	}
	body, err := decodeList[group](b)
	if err != nil {
		return nil, err
	}
	for _, g := range (*body.Value)[:min(len(*body.Value), maxSearch)] {
		t, err := g.checked()
		if err != nil {
			return nil, err
		}
		teams = append(teams, t)
	}
	return teams, nil
}

// Group returns one group, or [fault.NotFound].
func (c *Client) Group(ctx context.Context, tenant connection.Access, id string) (t directory.Team, err error) {
	defer fault.Wrap(&err, "graph: group %s of tenant %s", id, tenant)
	if err := checkIDs(id); err != nil {
		return t, err
	}
	b, err := c.send(ctx, tenant, call{link: c.base + "/groups/" + id + "?$select=" + url.QueryEscape(groupSelect), needs: groupNeeds})
	if err != nil {
		return t, err
	}
	var g group
	if err := json.Unmarshal(b, &g); err != nil {
		return t, fault.New(fault.Unknown, "group: %w", err)
	}
	if t, err = g.checked(); err == nil && t.ID != id {
		return directory.Team{}, fault.New(fault.Unknown, "group %s answers", t.ID)
	}
	return t, err
}

// group is a group.
type group struct {
	ID          string   `json:"id"`
	Name        string   `json:"displayName"`
	Description string   `json:"description"`
	Mail        string   `json:"mail"`
	Visibility  string   `json:"visibility"`
	Types       []string `json:"groupTypes"`
	Security    bool     `json:"securityEnabled"`
	Options     []string `json:"resourceProvisioningOptions"`
}

// checked is the group with the ID as we write it.
func (g *group) checked() (t directory.Team, err error) {
	if g.ID, err = objectID(g.ID); err != nil {
		return directory.Team{}, err
	}
	return g.team(), nil
}

// team is the group as we know it.
func (g *group) team() directory.Team {
	t := directory.Team{ID: g.ID, DisplayName: g.Name, Description: g.Description, Mail: g.Mail, Visibility: g.Visibility, Dynamic: holds(g.Types, "DynamicMembership")}
	switch {
	case holds(g.Options, "Team"):
		t.Kind = directory.MicrosoftTeam
	case g.Security && !holds(g.Types, "Unified"):
		t.Kind = directory.SecurityGroup
	default:
		t.Kind = directory.OtherGroup
	}
	return t
}

func holds(list []string, want string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, want) })
}
