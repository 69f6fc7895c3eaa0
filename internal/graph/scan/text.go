package scan

import (
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// word is the eight bytes from i, the first lowest.
func word(t string, i int) uint64 {
	w := t[i : i+8]
	return uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
		uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
}

// string finds the end of a string whose opening quote is next, and checks it
// on the way. An error gives an empty one.
func (s *Scanner) string() (from, to int, escaped bool) {
	t, i := s.text, s.at+1
	from = i
	for {
		// Eight bytes at once: the lowest high bit of m is at the first byte
		// that is a quote, a backslash or below a space. A borrow can only put
		// false ones above it.
		for i+8 <= len(t) {
			x := word(t, i)
			q, b := x^('"'*ones), x^('\\'*ones)
			m := ((q-ones)&^q | (b-ones)&^b | (x-' '*ones)&^x) & highs
			if m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(t) && t[i] != '"' && t[i] != '\\' && t[i] >= ' ' {
			i++
		}
		s.at = i
		switch {
		case i == len(t):
			s.fail("")
			return 0, 0, false
		case t[i] == '"':
			s.at = i + 1
			return from, i, escaped
		case t[i] != '\\':
			s.fail("a control character in a string")
			return 0, 0, false
		}
		n := escape(t[i:])
		if n == 0 {
			s.fail("an escape that is none")
			return 0, 0, false
		}
		i, escaped = i+n, true
	}
}

// escape is how long the escape is with which the text begins, 0 for none.
func escape(t string) int {
	if len(t) < 2 {
		return 0
	}
	switch t[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := unit(t); ok {
			return 6
		}
	}
	return 0
}

// unit is the UTF-16 unit of the \uXXXX with which the text begins.
func unit(t string) (r rune, ok bool) {
	if len(t) < 6 || t[0] != '\\' || t[1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(t[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Piece is how many bytes of strings are allocated at once, at most.
const Piece = 32 << 10

// pieceList is how many strings of lists are allocated at once, at most.
const pieceList = 1024

// arena keeps strings and lists in few pieces of memory.
type arena struct {
	most  int      // bytes that all strings together can take, but for a few
	bytes []byte   // the piece for strings; what is written never changes
	lists []string // what is left of the piece for lists
	list  []string // the list that is being made
}

// Begin begins a list; it ends with [arena.List], before the next begins.
func (a *arena) Begin() { a.list = a.list[:0] }

// Add adds a string to the list.
func (a *arena) Add(v string) { a.list = append(a.list, v) }

// List returns the strings since [arena.Begin], without room to append; nil
// for none.
func (a *arena) List() []string {
	n := len(a.list)
	if n == 0 {
		return nil
	}
	if n > len(a.lists) {
		const least = len(`"",`) // bytes of the text that a string of a list takes
		a.lists = make([]string, max(n, min(pieceList, a.most/least)))
	}
	l := a.lists[:n:n]
	a.lists = a.lists[n:]
	copy(l, a.list)
	return l
}

// room makes sure that n bytes can be appended where they are, and returns
// where they begin.
func (a *arena) room(n int) int {
	if cap(a.bytes)-len(a.bytes) < n { // a full piece belongs to its strings
		a.bytes = make([]byte, 0, max(n, min(Piece, a.most)))
	}
	return len(a.bytes)
}

// since is the string of what was appended from a place on.
func (a *arena) since(from int) string {
	if from == len(a.bytes) {
		return ""
	}
	return unsafe.String(&a.bytes[from], len(a.bytes)-from)
}

// copy is the text in our own memory.
func (a *arena) copy(t string) string {
	from := a.room(len(t))
	a.bytes = append(a.bytes, t...)
	return a.since(from)
}

// Lower is the text in lower case.
func (a *arena) Lower(t string) string {
	i := 0
	for ; i+8 <= len(t); i += 8 {
		// The high bits of x+63 are set from A on, those of x+37 beyond Z.
		if x := word(t, i); x&highs != 0 || (x+63*ones)&^(x+37*ones)&highs != 0 {
			break
		}
	}
	for ; i < len(t); i++ {
		if c := t[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return a.copy(strings.ToLower(t))
		}
	}
	return t
}

// unescape returns the text without its escapes, which were checked. Half a
// surrogate pair is U+FFFD.
func (a *arena) unescape(t string) string {
	from := a.room(len(t)) // an escape is longer than what it stands for
	for t != "" {
		n := strings.IndexByte(t, '\\')
		if n < 0 {
			a.bytes = append(a.bytes, t...)
			break
		}
		a.bytes = append(a.bytes, t[:n]...)
		t = t[n:]
		c := t[1]
		switch c {
		case 'u':
			r, _ := unit(t)
			t = t[6:]
			if utf16.IsSurrogate(r) {
				low, _ := unit(t)
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					t = t[6:]
				}
			}
			a.bytes = utf8.AppendRune(a.bytes, r)
			continue
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		a.bytes = append(a.bytes, c)
		t = t[2:]
	}
	return a.since(from)
}
