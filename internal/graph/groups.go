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
	b, err := c.send(ctx, tenant, q)
	if err != nil {
		return p, err
	}
	return DecodeGroups(b)
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
		t, err := g.team()
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
	if t, err = g.team(); err == nil && t.ID != id {
		return directory.Team{}, fault.New(fault.Unknown, "group %s answers", t.ID)
	}
	return t, err
}

// group is a group, or an entry of groups/delta. There, properties that have
// not changed are repeated if any other has; a missing one was never set.
// Source: Microsoft Graph documentation, "Get delta for group objects".
type group struct {
	ID      string `json:"id"`
	Removed *struct {
		Reason string `json:"reason"`
	} `json:"@removed"`
	// Name keeps a missing name apart from null: an entry without a name tells
	// of members only.
	Name        json.RawMessage `json:"displayName"`
	Description string          `json:"description"`
	Mail        string          `json:"mail"`
	Visibility  string          `json:"visibility"`
	Types       []string        `json:"groupTypes"`
	Security    bool            `json:"securityEnabled"`
	Options     []string        `json:"resourceProvisioningOptions"`
	// Members is what changed of them, missing if nothing has.
	Members []struct {
		object
		Removed json.RawMessage `json:"@removed"`
	} `json:"members@delta"`
}

// team is the group as we know it.
func (g *group) team() (t directory.Team, err error) {
	if t.ID, err = objectID(g.ID); err != nil {
		return directory.Team{}, err
	}
	if g.Name != nil {
		if err := json.Unmarshal(g.Name, &t.DisplayName); err != nil {
			return directory.Team{}, fault.New(fault.Unknown, "group: displayName: %w", err)
		}
	}
	t.Description, t.Mail, t.Visibility = g.Description, g.Mail, g.Visibility
	t.Dynamic = holds(g.Types, "DynamicMembership")
	switch {
	case holds(g.Options, "Team"):
		t.Kind = directory.MicrosoftTeam
	case g.Security && !holds(g.Types, "Unified"):
		t.Kind = directory.SecurityGroup
	default:
		t.Kind = directory.OtherGroup
	}
	return t, nil
}

func holds(list []string, want string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, want) })
}

// DecodeGroups reads one page of groups/delta. A page that is not whole is an
// error of kind Unknown: fetching it again may help.
func DecodeGroups(b []byte) (p directory.TeamPage, err error) {
	body, err := decodeDelta[group](b)
	if err != nil {
		return p, err
	}
	items := make([]directory.TeamItem, 0, len(*body.Value))
	for i := range *body.Value {
		it, err := (*body.Value)[i].item()
		if err != nil {
			return p, err
		}
		items = append(items, it)
	}
	return directory.TeamPage{Items: items, Next: body.Next, Delta: body.Delta}, nil
}

func (g *group) item() (it directory.TeamItem, err error) {
	if it.Team, err = g.team(); err != nil {
		return it, err
	}
	if g.Removed != nil {
		it = directory.TeamItem{Team: directory.Team{ID: it.ID}, Removed: directory.Deleted}
		if g.Removed.Reason == "changed" {
			it.Removed = directory.SoftDeleted
		}
		return it, nil
	}
	if it.Told = g.Name != nil; !it.Told {
		it.Team = directory.Team{ID: it.ID} // a kind made of nothing would be a guess
	}
	last := make(map[string]int, len(g.Members)) // an entry may take back an earlier one
	ids := make([]string, len(g.Members))
	for i := range g.Members {
		m := &g.Members[i]
		if ids[i], err = objectID(m.ID); err != nil {
			return directory.TeamItem{}, err
		}
		if m.is("user") {
			last[ids[i]] = i
		}
	}
	for i, id := range ids {
		if at, ok := last[id]; !ok || at != i {
			continue
		}
		if g.Members[i].Removed != nil {
			it.Left = append(it.Left, id)
		} else {
			it.Joined = append(it.Joined, id)
		}
	}
	return it, nil
}
