package directory

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the change as encoding/json writes it with EscapeHTML
// off.
func (c *Change) AppendJSON(b []byte) []byte {
	b = append(b, `{"number":`...)
	b = strconv.AppendInt(b, c.Number, 10)
	b = append(b, `,"type":`...)
	b = appendString(b, string(c.Type))
	b = append(b, `,"id":`...)
	b = appendString(b, c.ID)
	b = append(b, `,"run":`...)
	b = appendString(b, c.Run)
	b = append(b, `,"at":`...)
	b = appendTime(b, c.At)
	if len(c.Set) > 0 {
		b = append(b, `,"set":`...)
		b = append(b, c.Set...)
	}
	if c.Reason != "" {
		b = append(b, `,"reason":`...)
		b = appendString(b, string(c.Reason))
	}
	if len(c.Joined) > 0 {
		b = append(b, `,"joined":`...)
		b = appendStrings(b, c.Joined)
	}
	if len(c.Left) > 0 {
		b = append(b, `,"left":`...)
		b = appendStrings(b, c.Left)
	}
	if m := c.Position; m != nil {
		b = append(b, `,"position":{`...)
		if m.From != "" {
			b = append(b, `"from":`...)
			b = appendString(b, m.From)
		}
		if m.From != "" && m.To != "" {
			b = append(b, ',')
		}
		if m.To != "" {
			b = append(b, `"to":`...)
			b = appendString(b, m.To)
		}
		b = append(b, '}')
	}
	if len(c.Was) > 0 {
		b = append(b, `,"was":`...)
		b = append(b, c.Was...)
	}
	return append(b, '}')
}

// AppendChanges appends the array of the changes, null for a nil one.
func AppendChanges(b []byte, cs []Change) []byte {
	if cs == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range cs {
		if i > 0 {
			b = append(b, ',')
		}
		b = cs[i].AppendJSON(b)
	}
	return append(b, ']')
}

// AppendJSON appends the record as encoding/json writes it with EscapeHTML
// off.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	for i := range properties {
		if f := &properties[i]; !f.empty(&r.Person) {
			b = f.append(append(b, f.name...), &r.Person)
		}
	}
	return r.appendLife(b)
}

// AppendCreated is AppendJSON of a record of whose creation c tells, which has
// all the properties as JSON already.
func (r *Record) AppendCreated(b []byte, c *Change) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	if n := len(c.Set); n > 0 {
		b = append(append(b, ','), c.Set[1:n-1]...)
	}
	return r.appendLife(b)
}

func (r *Record) appendLife(b []byte) []byte {
	if !r.Archived.IsZero() {
		b = append(b, `,"archived":`...)
		b = appendTime(b, r.Archived)
	}
	if r.Reason != "" {
		b = append(b, `,"reason":`...)
		b = appendString(b, string(r.Reason))
	}
	if r.Pending != "" {
		b = append(b, `,"pending":`...)
		b = appendString(b, string(r.Pending))
	}
	if r.Held {
		b = append(b, `,"held":true`...)
	}
	if r.Kept {
		b = append(b, `,"kept":true`...)
	}
	b = append(b, `,"created":`...)
	b = appendTime(b, r.Created)
	b = append(b, `,"changed":`...)
	b = strconv.AppendInt(b, r.Changed, 10)
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendStrings(b []byte, l []string) []byte {
	b = append(b, '[')
	for i, s := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// isPlain reports whether the string stands for itself in JSON: almost all do.
// A string of eight bytes and more is looked at by words, the last of which
// may overlap the one before.
func isPlain(s string) bool {
	n := len(s)
	if n < 8 {
		for i := range n {
			if !plain[s[i]] {
				return false
			}
		}
		return true
	}
	for i := 0; i < n-8; i += 8 {
		if !plainWord(s[i : i+8]) {
			return false
		}
	}
	return plainWord(s[n-8:])
}

// plainWord is isPlain of eight bytes, all at once. A byte that is not plain
// has its highest bit set, or gets it by one of the subtractions, since it is
// below a space, or zero after the xor. Only such a byte borrows from the next.
func plainWord(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, slash := w^ones*'"', w^ones*'\\'
	return (w|(w-ones*' ')|(quote-ones)|(slash-ones))&tops == 0
}

// plain tells the bytes that stand for themselves in a string of JSON.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends a string of JSON. Like encoding/json, it escapes the
// line separators U+2028 and U+2029, and writes bytes that are no UTF-8 as
// \ufffd.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if isPlain(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	const hex = "0123456789abcdef"
	from := 0 // what is before is appended
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, '\\', 'b')
			case '\f':
				b = append(b, '\\', 'f')
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, s[from:i]...)
			b = append(b, `\ufffd`...)
			from = i + n
		case r == '\u2028' || r == '\u2029':
			b = append(b, s[from:i]...)
			b = append(b, `\u202`...)
			b = append(b, hex[r&15])
			from = i + n
		}
		i += n
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
