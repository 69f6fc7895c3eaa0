package tables

import (
	"encoding/json"
	"errors"
	"fmt"
)

var errNotJSON = errors.New("no JSON")

// maxDepth bounds how deep values may nest. Those of a row do not.
const maxDepth = 32

// scan reads JSON in place, as strictly as encoding/json. After an error it is
// at the end.
type scan struct {
	b     []byte
	i     int
	depth int
	err   error
}

func (s *scan) fail() {
	s.i = len(s.b)
	if s.err == nil {
		s.err = errNotJSON
	}
}

// next skips space and returns what follows, 0 at the end.
func (s *scan) next() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// end reports whether nothing follows but space.
func (s *scan) end() error {
	if s.next(); s.i < len(s.b) {
		s.fail()
	}
	return s.err
}

// object calls each with the name of every member, whose value each must read.
func (s *scan) object(each func(name []byte)) {
	s.within('{', func() {
		if s.next() != '"' {
			s.fail()
			return
		}
		name := s.value().bytes()
		if s.next() != ':' {
			s.fail()
			return
		}
		s.i++
		each(name)
	})
}

// within calls item where each item of an object or array begins.
func (s *scan) within(open byte, item func()) {
	shut := open + 2 // '{' and '}', '[' and ']'
	if s.depth++; s.next() != open || s.depth > maxDepth {
		s.fail()
		return
	}
	defer func() { s.depth-- }()
	if s.i++; s.next() == shut {
		s.i++
		return
	}
	for {
		item()
		switch s.next() {
		case ',':
			s.i++
		case shut:
			s.i++
			return
		default:
			s.fail()
			return
		}
	}
}

// value is one value as it stands.
type value struct {
	json []byte
	// plain is true for a string without an escape, all ASCII.
	plain bool
}

// value reads a value. One that fails is null.
func (s *scan) value() (v value) {
	from := s.next()
	at := s.i
	switch from {
	case '"':
		v.plain = s.text()
	case '{':
		s.object(func([]byte) { s.value() })
	case '[':
		s.within('[', func() { s.value() })
	default:
		for s.i < len(s.b) && scalar[s.b[s.i]] {
			s.i++
		}
		if !json.Valid(s.b[at:s.i]) {
			s.fail()
		}
	}
	if s.err != nil {
		return value{json: null}
	}
	v.json = s.b[at:s.i]
	return v
}

// scalar tells the bytes of numbers and of true, false and null.
var scalar = func() (t [256]bool) {
	for _, c := range "0123456789+-.eEtrufalsn" {
		t[c] = true
	}
	return t
}()

// ordinary tells the bytes that need no look within a string.
var ordinary = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// text reads a string and reports whether it is plain.
func (s *scan) text() (plain bool) {
	b, from, escaped := s.b, s.i, false
	plain = true
	for i := from + 1; i < len(b); i++ {
		c := b[i]
		if ordinary[c] {
			continue
		}
		switch {
		case c == '"':
			if s.i = i + 1; escaped && !json.Valid(b[from:s.i]) {
				s.fail()
			}
			return plain
		case c < ' ':
			s.fail()
			return false
		case c == '\\':
			escaped = true
			i++
		}
		plain = false
	}
	s.fail()
	return false
}

// bytes is what a string says; another type reads as empty.
func (v value) bytes() []byte {
	if v.plain {
		return v.json[1 : len(v.json)-1]
	}
	return []byte(v.text())
}

func (v value) text() (s string) {
	if v.plain {
		return string(v.json[1 : len(v.json)-1])
	}
	_ = json.Unmarshal(v.json, &s)
	return s
}

// entitiesOf appends the entities in the answer to a query, as they stand. An
// answer that holds no list of them is not taken for an empty one.
func entitiesOf(out [][]byte, answer []byte) ([][]byte, error) {
	s, found := scan{b: answer}, false
	s.object(func(name []byte) {
		if string(name) != "value" {
			s.value()
			return
		}
		found = true
		s.within('[', func() { out = append(out, s.value().json) })
	})
	err := s.end()
	if err == nil && !found {
		err = errNotJSON
	}
	if err != nil {
		return nil, fmt.Errorf("list of entities of %d bytes: %w", len(answer), err)
	}
	return out, nil
}
