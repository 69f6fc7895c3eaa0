package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// Set is the JSON object of the properties that changed, with their new
// values and null for a cleared one, in canonical order. Rows of earlier
// versions have sorted names. It is nil if there are none.
type Set []byte

var errSet = errors.New("directory: a set of properties is no JSON object")

// MarshalJSON returns the object as it is.
func (s Set) MarshalJSON() ([]byte, error) {
	if len(s) == 0 {
		return []byte("null"), nil
	}
	return s, nil
}

// UnmarshalJSON takes a JSON object or null; as always, b is valid JSON. An
// object without properties is nil.
func (s *Set) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, jsonSpace)
	if string(b) == "null" {
		*s = nil
		return nil
	}
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return errSet
	}
	if len(bytes.Trim(b[1:len(b)-1], jsonSpace)) == 0 {
		*s = nil
		return nil
	}
	*s = append((*s)[:0:0], b...)
	return nil
}

// Get returns the new value of a property, null if it was cleared. The value
// is part of the set.
func (s Set) Get(name string) (v json.RawMessage, ok bool) {
	s.each(func(n []byte, raw json.RawMessage) bool {
		if string(n) == name {
			v, ok = raw, true
		}
		return !ok
	})
	return v, ok
}

// All returns the values by name, nil if there are none.
func (s Set) All() (all map[string]json.RawMessage) {
	s.each(func(name []byte, raw json.RawMessage) bool {
		if all == nil {
			all = make(map[string]json.RawMessage)
		}
		if _, twice := all[string(name)]; !twice {
			all[string(name)] = raw
		}
		return true
	})
	return all
}

const jsonSpace = " \t\r\n"

// each yields the properties in their order until told to stop, or until what
// follows is no JSON.
func (s Set) each(yield func(name []byte, value json.RawMessage) bool) {
	b := []byte(s)
	i := space(b, 0)
	if i == len(b) || b[i] != '{' {
		return
	}
	for i++; ; i++ { // behind the brace or a comma
		at := space(b, i)
		end := stringEnd(b, at)
		if end < 0 {
			return
		}
		name := unquote(b[at:end])
		if i = space(b, end); i == len(b) || b[i] != ':' {
			return
		}
		at = space(b, i+1)
		end = valueEnd(b, at)
		if end < 0 || !yield(name, json.RawMessage(b[at:end:end])) {
			return
		}
		if i = space(b, end); i == len(b) || b[i] != ',' {
			return
		}
	}
}

// space returns where the space that begins at i ends.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// stringEnd returns where the string that begins at i ends, -1 if none does.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	i++
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 {
		return -1
	}
	if bytes.IndexByte(b[i:i+n], '\\') < 0 {
		return i + n + 1
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// valueEnd returns where the value that begins at i ends, -1 if none does.
func valueEnd(b []byte, i int) int {
	depth := 0
	for start := i; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i) - 1; i < 0 {
				return -1
			}
		case '{', '[':
			depth++
			continue
		case '}', ']', ',':
			if depth == 0 { // of the object around it
				if i == start {
					return -1
				}
				return i
			}
			if b[i] == ',' {
				continue
			}
			depth--
		case ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return -1
}

// unquote returns what a string of JSON says. Our own names stand for
// themselves.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // what is no JSON is nobody's name
	return []byte(s)
}

// name begins the next property.
func (s Set) name(name string) Set {
	if len(s) == 0 {
		s = append(s, '{')
	} else {
		s[len(s)-1] = ','
	}
	s = append(s, '"')
	s = append(s, name...)
	return append(s, '"', ':')
}

// text, number and flag put a property's new value at the end of a set; an
// empty text and a false flag as null.
func (s Set) text(name, v string) Set {
	s = s.name(name)
	if v == "" {
		return append(s, "null}"...)
	}
	return append(appendString(s, v), '}')
}

func (s Set) number(name string, v int64) Set {
	return append(strconv.AppendInt(s.name(name), v, 10), '}')
}

func (s Set) flag(name string, v bool) Set {
	if !v {
		return append(s.name(name), "null}"...)
	}
	return append(s.name(name), "true}"...)
}
