// Package flat reads JSON objects whose values are all scalars, as entities
// are. It accepts nothing that encoding/json refuses.
package flat

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a value.
type Kind byte

// The kinds of values.
const (
	String Kind = iota + 1
	Number
	Bool
	Null
)

// Member is one name and its value.
type Member struct {
	Name string
	Kind Kind
	Raw  string // the value in JSON, always valid UTF-8
	Text string // of a string: what it says; of others: Raw
}

// Scanner reads one member after the other. Its strings are parts of its input
// wherever that needs no unescaping.
type Scanner struct {
	rest   string
	any    bool // a member has been read
	failed bool
}

// Object scans a whole object.
func Object(s string) Scanner {
	s = trim(s)
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return Scanner{failed: true}
	}
	return Scanner{rest: s[1 : len(s)-1]}
}

// Inside scans the members of an object without its braces.
func Inside(s string) Scanner { return Scanner{rest: s} }

// Failed says, once Next has returned false, whether the input was no flat object.
func (s *Scanner) Failed() bool { return s.failed }

// Next returns the next member, and false at the end or where the input is wrong.
func (s *Scanner) Next() (m Member, ok bool) {
	if s.failed {
		return m, false
	}
	rest := trim(s.rest)
	if rest == "" && !s.any {
		return m, false
	}
	if s.any {
		if rest == "" {
			return m, false
		}
		if rest[0] != ',' {
			return s.fail()
		}
		rest = trim(rest[1:])
	}
	s.any = true
	_, name, rest, ok := text(rest)
	if !ok {
		return s.fail()
	}
	m.Name = name
	if rest = trim(rest); rest == "" || rest[0] != ':' {
		return s.fail()
	}
	if rest = trim(rest[1:]); rest == "" {
		return s.fail()
	}
	switch c := rest[0]; {
	case c == '"':
		m.Kind = String
		m.Raw, m.Text, s.rest, ok = text(rest)
		if !ok {
			return s.fail()
		}
		return m, true
	case c == '-' || digit(c):
		m.Kind = Number
		m.Raw, s.rest, ok = number(rest)
		if !ok {
			return s.fail()
		}
	default:
		for _, word := range [...]string{"true", "false", "null"} {
			if after, found := strings.CutPrefix(rest, word); found {
				m.Kind, m.Raw, s.rest = Bool, word, after
			}
		}
		switch m.Raw {
		case "":
			return s.fail()
		case "null":
			m.Kind = Null
		}
	}
	m.Text = m.Raw
	return m, true
}

func (s *Scanner) fail() (Member, bool) {
	s.failed = true
	return Member{}, false
}

func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\n' || s[0] == '\r' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" {
		if c := s[len(s)-1]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// text reads a string. Most hold neither escapes nor anything but ASCII, and
// are then not copied.
func text(s string) (raw, value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", "", false
	}
	n := strings.IndexByte(s[1:], '"')
	if n < 0 {
		return "", "", "", false
	}
	if plain(s[1 : 1+n]) {
		return s[:n+2], s[1 : n+1], s[n+2:], true
	}
	return special(s)
}

// plain reports whether all of s is ASCII that stands for itself, or a quote:
// in words of eight bytes, the last of which may overlap the one before.
func plain(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if c := s[i]; c < ' ' || c == '\\' || c >= utf8.RuneSelf {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(s)-8; i += 8 {
		if !plainWord(s[i : i+8]) {
			return false
		}
	}
	return plainWord(s[len(s)-8:])
}

// plainWord is plain of eight bytes at once. A byte that is not plain has its
// highest bit set, or gets it by a subtraction, as it is below a space, or zero
// after the xor; only such a byte borrows from the next.
func plainWord(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	return (w|(w-ones*' ')|((w^ones*'\\')-ones))&tops == 0
}

// special reads a string that begins with a quote, with escapes or beyond ASCII.
func special(s string) (raw, value, rest string, ok bool) {
	i, plain, ascii := 1, true, true
	for {
		n := strings.IndexByte(s[i:], '"')
		if n < 0 {
			return "", "", "", false
		}
		escaped := false
		for end := i + n; i < end; i++ {
			switch c := s[i]; {
			case c == '\\':
				plain = false
				if i++; i == end {
					escaped = true
				}
			case c < 0x20:
				return "", "", "", false
			case c >= utf8.RuneSelf:
				ascii = false
			}
		}
		if escaped {
			continue // i is past the quote
		}
		raw, value, rest = s[:i+1], s[1:i], s[i+1:]
		break
	}
	valid := ascii || utf8.ValidString(raw)
	if plain && valid {
		return raw, value, rest, true
	}
	var said string
	if err := json.Unmarshal([]byte(raw), &said); err != nil {
		return "", "", "", false // what does not parse has no value
	}
	if !valid {
		b, _ := json.Marshal(said) // a string
		raw = string(b)
	}
	return raw, said, rest, true
}

// number reads a number by the grammar of RFC 8259.
func number(s string) (raw, rest string, ok bool) {
	i := 0
	digits := func() bool {
		start := i
		for i < len(s) && digit(s[i]) {
			i++
		}
		return i > start
	}
	if s[i] == '-' {
		i++
	}
	start := i
	if !digits() || s[start] == '0' && i > start+1 {
		return "", "", false
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return "", "", false
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return "", "", false
		}
	}
	return s[:i], s[i:], true
}
