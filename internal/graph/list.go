package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// LatestPeople returns the link that tells what changes from now on of the
// properties, without telling what there is. Source: Microsoft Graph
// documentation, "Delta query overview", $deltatoken=latest.
func (c *Client) LatestPeople(ctx context.Context, tenant connection.Access, properties []string) (link string, err error) {
	defer fault.Wrap(&err, "graph: latest delta link of users of tenant %s", tenant)
	link = c.base + "/users/delta?$deltatoken=latest&$select=" + url.QueryEscape(strings.Join(append([]string{"id"}, properties...), ","))
	p, err := ask(ctx, c, tenant, call{link: link, needs: "User.Read.All"}, DecodePeople)
	if err != nil {
		return "", err
	}
	if len(p.Items) > 0 || p.Delta == "" {
		return "", fault.New(fault.Unknown, "%d users instead of a delta link", len(p.Items))
	}
	return p.Delta, nil
}

// CountPeople returns how many users the tenant has whose user principal names
// begin with one of the prefixes, in any case; without any, of all. The count
// comes from an index that may be some minutes behind.
func (c *Client) CountPeople(ctx context.Context, tenant connection.Access, prefixes ...string) (n int, err error) {
	defer fault.Wrap(&err, "graph: count of users of tenant %s", tenant)
	link := c.base + "/users/$count"
	if len(prefixes) > 0 {
		link += "?$filter=" + begins(prefixes)
	}
	n, err = ask(ctx, c, tenant, call{link: link, accept: "text/plain", eventual: true, needs: "User.Read.All"}, decodeCount)
	if err == nil && len(prefixes) == 0 {
		c.pacer.Learn(c.Now(), tenant, n)
	}
	return n, err
}

// decodeCount reads a number in plain text, with or without a byte order mark.
func decodeCount(b []byte) (int, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return 0, fault.New(fault.Unknown, "count of %d bytes is not a number", len(b))
	}
	return int(n), nil
}

// ListPeople returns one page of the users whose user principal names begin
// with one of the prefixes, in any case, or of all: at most 999, with the
// properties named as Graph does and their managers. An empty link begins; any
// other brings its own prefixes and properties. A link that Graph has forgotten is
// [fault.Expired]. The items share memory, as those of [DecodePeople] do.
//
// The order is Graph's, and what changes while the list is read may be on it
// twice or not at all.
//
// If told is not nil, it is called with the next page's link as soon as that is
// seen, before the page is decoded, and where Graph puts it first, before it has
// come: a guess, which the page that is returned may not confirm. It is not
// called where no link is seen.
func (c *Client) ListPeople(ctx context.Context, tenant connection.Access, prefixes []string, link string, properties []string, told func(next string)) (p directory.ListPage, err error) {
	defer fault.Wrap(&err, "graph: list of users of tenant %s", tenant)
	q := call{link: link, given: link != "", needs: "User.Read.All"}
	if !q.given {
		names, expand := selection(properties)
		q.link = c.base + "/users?$top=999&$select=" + url.QueryEscape(names) + expand
		if len(prefixes) > 0 {
			// A basic filter: an advanced one, over the index, cannot go with
			// $expand. Source: Microsoft Graph documentation, "Advanced query
			// capabilities".
			q.link += "&$filter=" + begins(prefixes)
		}
	}
	look := func(part []byte) {
		if told == nil {
			return
		}
		if next := glimpse(part); next != "" {
			told(next)
			told = nil
		}
	}
	q.head = look
	return ask(ctx, c, tenant, q, func(b []byte) (directory.ListPage, error) {
		look(b[:min(nearBytes, len(b))])
		look(b[max(0, len(b)-nearBytes):])
		c.decoding <- struct{}{}
		defer func() { <-c.decoding }()
		return DecodeList(b)
	})
}

// nearBytes is how much of a page's beginning and end is searched for the link
// to the next one, which Graph puts there: links have some hundred bytes, and 3 kB
// have been seen.
const nearBytes = 8 << 10

// glimpse is the first link to a next page that a part of a page has; empty if
// none is found, or it is cut.
func glimpse(part []byte) (next string) {
	_, rest, ok := bytes.Cut(part, []byte(`"@odata.nextLink"`))
	if rest, colon := bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(":")); ok && colon {
		_ = json.NewDecoder(bytes.NewReader(rest)).Decode(&next) // it is only a guess
	}
	return next
}

// DecodeList reads one page of users with their managers expanded. A page that
// is not whole is an error of kind Unknown.
func DecodeList(b []byte) (directory.ListPage, error) {
	p, err := readPage(b, readWhole)
	if err == nil {
		err = p.ofList()
	}
	if err != nil {
		return directory.ListPage{}, err
	}
	return directory.ListPage{Items: *p.Value, Next: p.Next}, nil
}

// selection is what $select takes of the properties, and id; and the part of
// the query that expands the manager, if it is among them: a relation that is
// selected would be left out silently.
func selection(properties []string) (names, expand string) {
	list := []string{"id"}
	for _, p := range properties {
		if p == "manager" {
			expand = "&$expand=manager($select=id)"
			continue
		}
		list = append(list, p)
	}
	return strings.Join(list, ","), expand
}

// begins is a filter on the beginning of the user principal name, as it goes
// into a query.
func begins(prefixes []string) string {
	tests := make([]string, len(prefixes))
	for i, p := range prefixes {
		tests[i] = "startswith(userPrincipalName,'" + strings.ReplaceAll(p, "'", "''") + "')"
	}
	return strings.ReplaceAll(url.QueryEscape(strings.Join(tests, " or ")), "+", "%20")
}
