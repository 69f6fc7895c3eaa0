package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// purposes are the kinds of mailboxes. Source: Microsoft Graph documentation,
// "userPurpose".
var purposes = []string{"user", "linked", "shared", "room", "equipment", "others"}

// MailboxPurposes returns what the mailboxes are for, by user principal name
// as given: user, linked, shared, room, equipment or others. One that Graph
// cannot ask for is left out, as is a name without an @ and a purpose that
// Microsoft has named since.
func (c *Client) MailboxPurposes(ctx context.Context, tenant connection.Access, upns []string) (found map[string]string, err error) {
	defer fault.Wrap(&err, "graph: mailbox settings of tenant %s", tenant)
	var asked []string
	var requests []inner
	for _, upn := range upns {
		if strings.Contains(upn, "@") { // without it, the name is concealed or no name
			asked = append(asked, upn)
			requests = append(requests, get(userPath(upn)+"/mailboxSettings/userPurpose"))
		}
	}
	replies, err := c.batch(ctx, tenant, "MailboxSettings.Read", requests)
	if err != nil {
		return nil, err
	}
	found = make(map[string]string, len(asked))
	for i, upn := range asked {
		if !replies[i].found() {
			continue
		}
		purpose, err := decodePurpose(replies[i].body)
		if err != nil {
			return nil, err
		}
		if slices.Contains(purposes, purpose) {
			found[upn] = purpose
		}
	}
	return found, nil
}

// userPath is the path of the user with a principal name, which may hold any
// of ' # / and ?. One that begins with $ needs the long form. Source:
// Microsoft Graph documentation, "Get a user".
func userPath(upn string) string {
	if strings.HasPrefix(upn, "$") {
		return "/users('" + url.PathEscape(strings.ReplaceAll(upn, "'", "''")) + "')"
	}
	return "/users/" + url.PathEscape(upn)
}

func decodePurpose(b []byte) (string, error) {
	var body struct {
		Value *string `json:"value"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return "", fault.New(fault.Unknown, "mailbox purpose: %w", err)
	}
	if body.Value == nil {
		return "", fault.New(fault.Unknown, "mailbox purpose without a value")
	}
	return *body.Value, nil
}
