package graph

import (
	"fmt"
	"strings"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// test says whether a person passes a filter.
type test func(*tenant.Person) bool

const (
	maxFilter = 8 << 10 // bytes of a $filter
	maxDepth  = 20      // of parentheses and nots
	maxIn     = 15      // values of an in clause on text; on id more (documented limit of 15 for most)
	maxInID   = 1000
	// maxOr is how many clauses an or joins at most. Source: the error that
	// issue 21098 of microsoftgraph/microsoft-graph-docs quotes.
	maxOr = 15
)

// filter parses the part of OData's $filter that Graph offers for users: eq,
// ne and in on text and accountEnabled, startswith, and, or, not. Text is
// compared without regard to case.
func filter(s string) (who tenant.Filter, err error) {
	if s == "" {
		return who, nil
	}
	if len(s) > maxFilter {
		return who, fmt.Errorf("%w: invalid filter clause: longer than %d bytes", errQuery, maxFilter)
	}
	p := &parser{rest: s}
	t, err := p.or(0)
	if err == nil && p.peek() != "" {
		err = p.unexpected()
	}
	if err != nil {
		return who, fmt.Errorf("%w: invalid filter clause: %v", errQuery, err)
	}
	if who.Match = t; p.tests == len(p.begin) && !p.negated { // nothing else could let anybody in
		who.Begin = p.begin
	}
	return who, nil
}

// parser reads tokens off the front of rest.
type parser struct {
	rest    string
	tests   int      // comparisons so far
	negated bool     // there was a not
	begin   []string // what those comparisons look for that are a startswith of the user name
}

func (p *parser) unexpected() error { return fmt.Errorf("unexpected '%.32s'", p.rest) }

// peek is the next token: a parenthesis, a comma, a quoted literal or a word.
func (p *parser) peek() string {
	p.rest = strings.TrimLeft(p.rest, " \t")
	switch {
	case p.rest == "":
		return ""
	case strings.ContainsRune("(),", rune(p.rest[0])):
		return p.rest[:1]
	case p.rest[0] == '\'':
		for i := 1; i < len(p.rest); i++ {
			if p.rest[i] != '\'' {
				continue
			}
			if i+1 < len(p.rest) && p.rest[i+1] == '\'' { // a doubled quote is a quote
				i++
				continue
			}
			return p.rest[:i+1]
		}
		return p.rest // never closed: literal refuses it
	}
	if i := strings.IndexAny(p.rest, " \t(),'"); i > 0 {
		return p.rest[:i]
	}
	return p.rest
}

func (p *parser) take(want string) bool {
	t := p.peek()
	if t == "" || !strings.EqualFold(t, want) {
		return false
	}
	p.rest = p.rest[len(t):]
	return true
}

func (p *parser) literal() (string, error) {
	t := p.peek()
	if len(t) < 2 || t[0] != '\'' || t[len(t)-1] != '\'' || strings.Count(t, "'")%2 != 0 {
		return "", p.unexpected()
	}
	p.rest = p.rest[len(t):]
	return strings.ReplaceAll(t[1:len(t)-1], "''", "'"), nil
}

func (p *parser) or(depth int) (test, error) {
	left, err := p.and(depth)
	for n := 2; err == nil && p.take("or"); n++ {
		if n > maxOr {
			return nil, fmt.Errorf("too many child clauses specified in search filter expression containing 'OR' operators: %d. Max allowed: %d", n, maxOr)
		}
		var right test
		a := left
		if right, err = p.and(depth); err == nil {
			left = func(x *tenant.Person) bool { return a(x) || right(x) }
		}
	}
	return left, err
}

func (p *parser) and(depth int) (test, error) {
	left, err := p.unary(depth)
	for err == nil && p.take("and") {
		var right test
		a := left
		if right, err = p.unary(depth); err == nil {
			left = func(x *tenant.Person) bool { return a(x) && right(x) }
		}
	}
	return left, err
}

func (p *parser) unary(depth int) (test, error) {
	switch {
	case depth > maxDepth:
		return nil, fmt.Errorf("nested more than %d times", maxDepth)
	case p.take("not"):
		p.negated = true
		t, err := p.unary(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(x *tenant.Person) bool { return !t(x) }, nil
	case p.take("("):
		t, err := p.or(depth + 1)
		if err == nil && !p.take(")") {
			err = p.unexpected()
		}
		return t, err
	case p.take("startswith"):
		p.tests++
		return p.startswith()
	}
	p.tests++
	return p.comparison()
}

// property reads the name of a text property or accountEnabled.
func (p *parser) property() (tenant.Props, error) {
	name := p.peek()
	bit, err := tenant.Prop(name)
	if err != nil {
		return 0, err
	}
	if _, text := new(tenant.Person).Text(bit); !text && bit != tenant.PropAccountEnabled {
		return 0, fmt.Errorf("property '%s' cannot be filtered", name)
	}
	p.rest = p.rest[len(name):]
	return bit, nil
}

func (p *parser) startswith() (test, error) {
	if !p.take("(") {
		return nil, p.unexpected()
	}
	bit, err := p.property()
	if err != nil {
		return nil, err
	}
	if bit == tenant.PropAccountEnabled || !p.take(",") {
		return nil, p.unexpected()
	}
	prefix, err := p.literal()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, p.unexpected()
	}
	prefix = strings.ToLower(prefix)
	if bit == tenant.PropUserPrincipalName {
		p.begin = append(p.begin, prefix)
	}
	return func(x *tenant.Person) bool {
		s, _ := x.Text(bit)
		return strings.HasPrefix(strings.ToLower(s), prefix)
	}, nil
}

func (p *parser) comparison() (test, error) {
	bit, err := p.property()
	if err != nil {
		return nil, err
	}
	negate := false
	switch {
	case p.take("in"):
		return p.in(bit)
	case p.take("ne"):
		negate = true
	case !p.take("eq"):
		return nil, p.unexpected()
	}
	if bit == tenant.PropAccountEnabled {
		want := p.take("true")
		if !want && !p.take("false") {
			return nil, p.unexpected()
		}
		return func(x *tenant.Person) bool { return (x.AccountEnabled == want) != negate }, nil
	}
	want := ""
	if !p.take("null") {
		if want, err = p.literal(); err != nil {
			return nil, err
		}
	}
	return func(x *tenant.Person) bool {
		s, _ := x.Text(bit)
		return strings.EqualFold(s, want) != negate
	}, nil
}

func (p *parser) in(bit tenant.Props) (test, error) {
	limit := maxIn
	if bit == tenant.PropID {
		limit = maxInID
	}
	if bit == tenant.PropAccountEnabled || !p.take("(") {
		return nil, p.unexpected()
	}
	set := map[string]bool{}
	for {
		s, err := p.literal()
		if err != nil {
			return nil, err
		}
		if set[strings.ToLower(s)] = true; len(set) > limit {
			return nil, fmt.Errorf("too many values in the in clause: at most %d", limit)
		}
		if p.take(")") {
			break
		}
		if !p.take(",") {
			return nil, p.unexpected()
		}
	}
	return func(x *tenant.Person) bool {
		s, _ := x.Text(bit)
		return set[strings.ToLower(s)]
	}, nil
}
