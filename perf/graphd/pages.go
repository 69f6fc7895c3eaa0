package graphd

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rollcall/perf/crowd"
)

// open begins a page of a collection.
func (s *Server) open(of string, size int) []byte {
	b := make([]byte, 0, size+512)
	b = append(b, `{"@odata.context":"`...)
	b = append(b, s.Base...)
	b = append(b, "/v1.0/$metadata#"...)
	b = append(b, of...)
	return append(b, `","value":[`...)
}

// end ends a page with a link, if there is one. Graph writes links last.
func end(b []byte, name, link string) []byte {
	b = append(b, ']')
	if link != "" {
		b = append(b, `,"@odata.`+name+`":"`...)
		b = append(b, link...)
		b = append(b, '"')
	}
	return append(b, '}')
}

func (s *Server) delta(since, from int) string {
	return fmt.Sprintf("%s/v1.0/users/delta?$deltatoken=e%d-%d", s.Base, since, from)
}

// chain is one page of a full enumeration.
func (s *Server) chain(skip, selected string) (*page, error) {
	from := 0
	if skip == "" {
		if err := s.config.all(selected, "manager"); err != nil {
			return nil, err
		}
	} else if _, err := fmt.Sscanf(skip, "n%d", &from); err != nil {
		return nil, fmt.Errorf("skip token %q", skip)
	}
	until := min(from+s.config.Page, s.config.Crowd.People)
	b := s.open("users", s.config.Page*1100)
	for i := from; i < until; i++ {
		if i > from {
			b = append(b, ',')
		}
		p := s.config.Crowd.At(i, s.config.Edited(i))
		b = p.AppendUser(b, false)
	}
	if until < s.config.Crowd.People {
		b = end(b, "nextLink", s.Base+"/v1.0/users/delta?$skiptoken=n"+strconv.Itoa(until))
	} else {
		b = end(b, "deltaLink", s.delta(s.config.Edits, 0))
	}
	return s.config.send(b, until-from, "people"), nil
}

// changes is one page of those who were edited since, from the given person on.
func (s *Server) changes(since, from int) *page {
	b, n, next := s.open("users", 1<<16), 0, 0
	if since < s.config.Edits {
		for i := from; i < s.config.Crowd.People; i++ {
			if s.config.Edited(i) == 0 {
				continue
			}
			if n == s.config.Page {
				next = i
				break
			}
			if n++; n > 1 {
				b = append(b, ',')
			}
			p := s.config.Crowd.At(i, s.config.Edited(i))
			b = p.AppendUser(b, false)
		}
	}
	if next > 0 {
		b = end(b, "nextLink", s.delta(since, next))
	} else {
		b = end(b, "deltaLink", s.delta(s.config.Edits, 0))
	}
	return s.config.send(b, n, "changes")
}

// prefix is what a filter on the beginning of the user name looks for: one or
// more beginnings with commas between them, or nothing.
func prefix(filter string) string {
	var all []string
	for test := range strings.SplitSeq(filter, " or ") {
		if v, ok := strings.CutPrefix(test, "startswith(userPrincipalName,'"); ok {
			all = append(all, strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(v, "')"), "''", "'")))
		}
	}
	return strings.Join(all, ",")
}

// prefixed are the people whose user names begin with one of the prefixes.
func (s *Server) prefixed(prefixes string) []int {
	if found, ok := s.parts[prefixes]; ok {
		return found
	}
	found := []int{}
	all := strings.Split(prefixes, ",")
	for i := range s.config.Crowd.People {
		name := strings.ToLower(s.config.Crowd.At(i, 0).UserPrincipalName)
		if slices.ContainsFunc(all, func(p string) bool { return strings.HasPrefix(name, p) }) {
			found = append(found, i)
		}
	}
	s.parts[prefixes] = found
	return found
}

// list is one page of a plain list, by prefix and place.
func (s *Server) list(skip, selected, expand, filter, top string) (*page, error) {
	from, begins := 0, prefix(filter)
	if skip == "" {
		if err := s.config.all(selected); err != nil {
			return nil, err
		}
		if top != "999" || expand != "manager($select=id)" {
			return nil, fmt.Errorf("$top=%s, $expand=%s: the pages hold 999 people with their managers", top, expand)
		}
	} else {
		place, rest, ok := strings.Cut(skip, "-")
		var err error
		if from, err = strconv.Atoi(place); err != nil || !ok {
			return nil, fmt.Errorf("skip token %q", skip)
		}
		begins = rest
	}
	who := s.prefixed(begins)
	until := min(from+999, len(who))
	b := s.open("users", 1100*(until-from))
	for k, i := range who[from:until] {
		if k > 0 {
			b = append(b, ',')
		}
		p := s.config.Crowd.At(i, s.config.Edited(i))
		b = p.AppendUser(b, true)
	}
	next := ""
	if until < len(who) {
		next = s.Base + "/v1.0/users?$top=999&$skiptoken=" + url.QueryEscape(strconv.Itoa(until)+"-"+begins)
	}
	return s.config.send(end(b, "nextLink", next), until-from, "list"), nil
}

// groups is one page of groups/delta.
func (s *Server) groups(skip, token string) (*page, error) {
	c := s.config
	from := 0
	if skip != "" {
		var err error
		if from, err = strconv.Atoi(skip); err != nil {
			return nil, err
		}
	}
	b := s.open("groups", c.GroupsPage*c.Members*120)
	until := min(from+c.GroupsPage, c.Groups)
	if token != "" {
		from, until = c.Groups, c.Groups
	}
	for n := from; n < until; n++ {
		if n > from {
			b = append(b, ',')
		}
		g := c.Crowd.Group(n, c.Members)
		b = g.AppendGroup(b)
	}
	if until < c.Groups {
		b = end(b, "nextLink", s.Base+"/v1.0/groups/delta?$skiptoken="+strconv.Itoa(until))
	} else {
		b = end(b, "deltaLink", s.Base+"/v1.0/groups/delta?$deltatoken=t")
	}
	return s.config.send(b, (until-from)*(1+c.Members), "groups"), nil
}

// GroupsDigest is of all memberships.
func (c Config) GroupsDigest() (sum uint64) {
	for n := range c.Groups {
		g := c.Crowd.Group(n, c.Members)
		sum += g.Digest()
	}
	return sum
}

// Longest is how many people share the most frequent first character.
func Longest(c crowd.Crowd) int {
	n := map[byte]int{}
	for i := range c.People {
		p := c.At(i, 0)
		n[p.UserPrincipalName[0]]++
	}
	most := 0
	for _, k := range n {
		most = max(most, k)
	}
	return most
}
