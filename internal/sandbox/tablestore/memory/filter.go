package memory

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter is a condition on entities or tables; nil lets all pass.
type Filter struct {
	op    string // and, or, not, is, or a comparison
	left  *Filter
	right *Filter
	name  string  // of a comparison: the property on its left; of is: a boolean one
	value literal // and what it is compared with
}

// literal is a constant, or the value of a property.
type literal struct {
	kind literalKind
	text string  // of a string, GUID (in lower case) or binary
	n    int64   // of an integer; of a date the ticks; of a boolean 1 is true
	f    float64 // of a double
}

type literalKind byte

const (
	texts literalKind = iota + 1
	guids
	binaries
	booleans
	dates
	integers
	doubles
)

// ParseFilter reads a filter: comparisons of a property with a constant by eq,
// ne, lt, le, gt and ge, boolean properties, and, or, not, parentheses.
// Constants are strings, integers, those with an L, doubles, true, false,
// datetime”, guid”, X” and binary”. Azure Tables, "Querying tables and
// entities" (documented). Empty is nil.
func ParseFilter(s string) (*Filter, error) {
	p := &parser{rest: s}
	p.advance()
	if p.token == "" && !p.quoted {
		return nil, nil
	}
	f, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.token != "" || p.quoted {
		return nil, p.unexpected()
	}
	return f, nil
}

// maxDepth bounds parentheses and negations within each other.
const maxDepth = 64

type parser struct {
	rest   string
	token  string // a parenthesis or a word; of a quoted token what precedes the quote
	quoted bool
	text   string // of a quoted token
	err    error
}

func (p *parser) unexpected() error {
	if p.err != nil {
		return p.err
	}
	return fmt.Errorf("unexpected %q before %q", p.token, p.rest)
}

// prefixes are what may stand before a quote.
var prefixes = []string{"", "guid", "datetime", "X", "binary"}

// advance reads the next token; at the end it is empty.
func (p *parser) advance() {
	p.token, p.quoted, p.text = "", false, ""
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	i := strings.IndexAny(p.rest, " \t\r\n()'")
	switch {
	case i < 0:
		p.token, p.rest = p.rest, ""
		return
	case p.rest[i] != '\'':
		i = max(i, 1) // a parenthesis
		p.token, p.rest = p.rest[:i], p.rest[i:]
		return
	}
	if !slices.Contains(prefixes, p.rest[:i]) { // a word right before a string
		p.token, p.rest = p.rest[:i], p.rest[i:]
		return
	}
	p.token, p.rest, p.quoted = p.rest[:i], p.rest[i+1:], true
	var b strings.Builder
	for {
		part, rest, ok := strings.Cut(p.rest, "'")
		if !ok {
			p.err = fmt.Errorf("a string without end: %q", p.rest)
			p.token, p.rest = "'", ""
			return
		}
		b.WriteString(part)
		if p.rest = rest; !strings.HasPrefix(rest, "'") {
			p.text = b.String()
			return
		}
		b.WriteByte('\'')
		p.rest = rest[1:]
	}
}

func (p *parser) take(word string) bool {
	if p.quoted || p.token != word {
		return false
	}
	p.advance()
	return true
}

func (p *parser) or(depth int) (*Filter, error) { return p.chain("or", depth, p.and) }

func (p *parser) and(depth int) (*Filter, error) { return p.chain("and", depth, p.unary) }

func (p *parser) chain(word string, depth int, operand func(int) (*Filter, error)) (*Filter, error) {
	f, err := operand(depth)
	for err == nil && p.take(word) {
		var right *Filter
		right, err = operand(depth)
		f = &Filter{op: word, left: f, right: right}
	}
	return f, err
}

func (p *parser) unary(depth int) (*Filter, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels", maxDepth)
	}
	if p.take("not") {
		f, err := p.unary(depth + 1)
		return &Filter{op: "not", left: f}, err
	}
	if p.take("(") {
		f, err := p.or(depth + 1)
		if err == nil && !p.take(")") {
			err = p.unexpected()
		}
		return f, err
	}
	return p.comparison()
}

// mirrored are the comparisons with their sides exchanged.
var mirrored = map[string]string{"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}

func (p *parser) comparison() (*Filter, error) {
	name, value, err := p.operand()
	if err != nil {
		return nil, err
	}
	op := p.token
	if _, ok := mirrored[op]; !ok || p.quoted {
		if name == "" {
			return nil, p.unexpected()
		}
		return &Filter{op: "is", name: name}, nil
	}
	p.advance()
	other, constant, err := p.operand()
	switch {
	case err != nil:
		return nil, err
	case (name == "") == (other == ""):
		return nil, fmt.Errorf("a comparison needs a property and a constant")
	case name == "":
		return &Filter{op: mirrored[op], name: other, value: value}, nil
	}
	return &Filter{op: op, name: name, value: constant}, nil
}

// operand reads a property's name or a constant.
func (p *parser) operand() (name string, v literal, err error) {
	token, text, quoted := p.token, p.text, p.quoted
	if p.err != nil || token == "" && !quoted || token == "(" || token == ")" {
		return "", v, p.unexpected()
	}
	p.advance()
	if quoted {
		v, err = typed(token, text)
		return "", v, err
	}
	switch token {
	case "true":
		return "", literal{kind: booleans, n: 1}, nil
	case "false":
		return "", literal{kind: booleans}, nil
	}
	if c := token[0]; c != '-' && c != '.' && (c < '0' || c > '9') {
		return token, v, nil
	}
	if n, err := strconv.ParseInt(strings.TrimRight(token, "lL"), 10, 64); err == nil {
		return "", literal{kind: integers, n: n}, nil
	}
	f, err := strconv.ParseFloat(token, 64)
	return "", literal{kind: doubles, f: f}, err
}

func typed(prefix, text string) (literal, error) {
	switch prefix {
	case "":
		return literal{kind: texts, text: text}, nil
	case "guid":
		return literal{kind: guids, text: strings.ToLower(text)}, nil
	case "datetime":
		t, err := parseTime(text)
		return literal{kind: dates, n: int64(t)}, err
	case "X", "binary":
		b, err := hex.DecodeString(text)
		return literal{kind: binaries, text: string(b)}, err
	}
	return literal{}, fmt.Errorf("unexpected %s''", prefix)
}

// parseTime reads a date-time, which is in UTC unless it says otherwise.
func parseTime(s string) (Tick, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	return Tick(t.Unix()*1e7 + int64(t.Nanosecond())/100), err
}

// typedValue is a stored property as a literal; false if it has no order.
func typedValue(edm, text string, number, boolean bool) (v literal, ok bool) {
	var err error
	switch {
	case boolean:
		v = literal{kind: booleans}
		if text == "true" {
			v.n = 1
		}
	case edm == "Edm.Int64", number && !strings.ContainsAny(text, ".eE"):
		v.kind = integers
		v.n, err = strconv.ParseInt(text, 10, 64)
		if err != nil && number { // beyond 64 bits it is a double
			v.kind = doubles
			v.f, err = strconv.ParseFloat(text, 64)
		}
	case number, edm == "Edm.Double":
		v.kind = doubles
		if v.f, err = strconv.ParseFloat(text, 64); math.IsInf(v.f, 0) {
			err = nil
		}
	case edm == "Edm.DateTime":
		var t Tick
		t, err = parseTime(text)
		v = literal{kind: dates, n: int64(t)}
	case edm == "Edm.Guid":
		v = literal{kind: guids, text: strings.ToLower(text)}
	case edm == "Edm.Binary":
		var b []byte
		b, err = base64.StdEncoding.DecodeString(text)
		v = literal{kind: binaries, text: string(b)}
	default:
		v = literal{kind: texts, text: text}
	}
	return v, err == nil
}
