// Package scan reads a JSON text in one pass, without allocating for what it
// reads.
//
// A text is valid JSON to its last byte or an error: what is skipped is
// checked like what is read.
package scan

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxDepth bounds how deep objects and arrays are nested: encoding/json's own
// bound.
const maxDepth = 10_000

// Scanner reads one text. Its first error stays, and every read after it is
// empty, so it is enough to ask [Scanner.End] at last. A null is read as no
// value by each of its methods.
//
// The strings that it returns are copies, some hundred in one piece of memory:
// who keeps one keeps the piece, of at most [Piece] bytes or of the string's own.
// The names of members are good only until the next is read.
type Scanner struct {
	text  string // not ours
	at    int
	depth int
	first bool // an object or array was opened and nothing of it read
	err   error
	arena
}

// New returns a scanner of the text, which must not change until all is read.
// Bytes that are no UTF-8 are each read as U+FFFD, as encoding/json reads them.
func New(text []byte) *Scanner {
	if !utf8.Valid(text) {
		text = []byte(string([]rune(string(text))))
	}
	return &Scanner{text: unsafe.String(unsafe.SliceData(text), len(text)), arena: arena{most: len(text)}}
}

// End returns the first error, or that there is more than one value.
func (s *Scanner) End() error {
	if s.err == nil && (s.peek() != 0 || s.at < len(s.text)) {
		s.fail("more than one value")
	}
	return s.err
}

// Offset is how many bytes were read, Left how many were not.
func (s *Scanner) Offset() int { return s.at }

// Left is how many bytes were not read.
func (s *Scanner) Left() int { return len(s.text) - s.at }

// errEnd is a text that is cut.
var errEnd = errors.New("the text ends within a value")

// fail notes the first error. It tells where, but not what is there.
func (s *Scanner) fail(what string) {
	if s.err == nil {
		if s.err = errEnd; s.at < len(s.text) {
			s.err = fmt.Errorf("at byte %d: %s", s.at, what)
		}
	}
	s.at = len(s.text) // so that whoever goes on comes to an end
}

// peek skips white space and returns the byte behind it, 0 at the end.
func (s *Scanner) peek() byte {
	for s.at < len(s.text) {
		c := s.text[s.at]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.at++
	}
	return 0
}

// Members enters an object and tells the name of each member, whose value must
// then be read.
func (s *Scanner) Members() iter.Seq[string] {
	return func(yield func(string) bool) {
		for in := s.open('{', "want an object"); in; {
			if t := s.text[s.at:]; !s.first && len(t) > 1 && t[0] == ',' && t[1] == '"' { // as Graph writes
				s.at++
			} else if !s.more('}') {
				return
			} else if s.peek() != '"' {
				s.fail("want a name")
				return
			}
			from, to, escaped := s.string()
			name := s.text[from:to]
			if escaped {
				name = s.unescape(name)
			}
			if s.peek() != ':' {
				s.fail("want a colon")
				return
			}
			s.at++
			if !yield(name) {
				return
			}
		}
	}
}

// Elements enters an array and stops at each element, which must then be read.
func (s *Scanner) Elements() iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		for in := s.open('[', "want an array"); in && s.more(']'); {
			if !yield(struct{}{}) {
				return
			}
		}
	}
}

func (s *Scanner) open(c byte, want string) bool {
	switch s.peek() {
	case c:
		s.at++
		s.first = true
		if s.depth++; s.depth > maxDepth {
			s.fail("nested too deep")
		}
		return s.err == nil
	case 'n':
		s.word("null")
	default:
		s.fail(want)
	}
	return false
}

func (s *Scanner) more(end byte) bool {
	c := s.peek()
	if c == end {
		s.at++
		s.depth--
		s.first = false
		return false
	}
	if s.first {
		s.first = false
	} else if c == ',' {
		s.at++
		if s.peek() == end {
			s.fail("a comma before the end")
		}
	} else {
		s.fail("want a comma")
	}
	return s.err == nil
}

// String reads a string; null is an empty one.
func (s *Scanner) String() string {
	switch s.peek() {
	case '"':
		from, to, escaped := s.string()
		if escaped {
			return s.unescape(s.text[from:to])
		}
		return s.copy(s.text[from:to])
	case 'n':
		s.word("null")
	default:
		s.fail("want a string")
	}
	return ""
}

// Bool reads true or false; ok is false for null.
func (s *Scanner) Bool() (v, ok bool) {
	switch s.peek() {
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case 'n':
		s.word("null")
	default:
		s.fail("want true or false")
	}
	return false, false
}

// Strings reads an array of strings, without room to append.
func (s *Scanner) Strings() []string {
	s.Begin()
	for range s.Elements() {
		s.Add(s.String())
	}
	return s.List()
}

// Null reports whether the value is null, and then reads it.
func (s *Scanner) Null() bool { return s.peek() == 'n' && s.word("null") }

// word reads a literal name.
func (s *Scanner) word(w string) bool {
	if !strings.HasPrefix(s.text[s.at:], w) {
		s.fail("want " + w)
		return false
	}
	s.at += len(w)
	return true
}

// Skip reads any value.
func (s *Scanner) Skip() {
	switch c := s.peek(); {
	case c == '"':
		s.string()
	case c == '{':
		for range s.Members() {
			s.Skip()
		}
	case c == '[':
		for range s.Elements() {
			s.Skip()
		}
	case c == 't':
		s.word("true")
	case c == 'f':
		s.word("false")
	case c == 'n':
		s.word("null")
	case c == '-' || '0' <= c && c <= '9':
		s.number()
	default:
		s.fail("want a value")
	}
}

// number reads a number without making one of it.
func (s *Scanner) number() {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.peekByte() == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.peekByte() == '.' {
		s.at++
		s.digits()
	}
	if c := s.peekByte(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peekByte(); c == '+' || c == '-' {
			s.at++
		}
		s.digits()
	}
}

// peekByte is the next byte, 0 at the end.
func (s *Scanner) peekByte() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// digits reads one digit or more.
func (s *Scanner) digits() {
	from := s.at
	for c := s.peekByte(); '0' <= c && c <= '9'; c = s.peekByte() {
		s.at++
	}
	if s.at == from {
		s.fail("want a digit")
	}
}
