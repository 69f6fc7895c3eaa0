package scan

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// any reads a value as encoding/json reads one into an any.
func (s *Scanner) any() any {
	switch c := s.peek(); c {
	case '{':
		m := map[string]any{}
		for name := range s.Members() {
			name = strings.Clone(name) // it is the text's
			m[name] = s.any()
		}
		return m
	case '[':
		l := []any{}
		for range s.Elements() {
			l = append(l, s.any())
		}
		return l
	case '"':
		return s.String()
	case 't', 'f':
		v, _ := s.Bool()
		return v
	case 'n':
		s.Null()
		return nil
	default:
		from := s.at
		s.Skip()
		return json.Number(strings.Clone(s.text[from:s.at]))
	}
}

// plain is what encoding/json reads.
func plain(b []byte) (v any, err error) {
	if err := json.Unmarshal(b, new(json.RawMessage)); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	return v, dec.Decode(&v)
}

var texts = []string{
	``, ` `, `null`, ` null `, `nul`, `nullx`, `true`, `false`, `truefalse`, `"`, `""`, `"a"`, `"a" "b"`, "\"a\x00\"", "\"a\x1f\"", "\"a\x7f\"", "null\x00", "\x00null", "\x0bnull", "\ufeffnull",
	`"12345678"`, `"1234567\"`, `"1234567\""`, `"123456789012345\u00e4"`, "\"ä\xff\xfe\xc3\"", "\"\xed\xa0\x80\"", "\"\u2028\"", `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83d\u0041"`, `"\ude00\ud83d\ude00"`, `"\ud83d\ud83d\ude00"`, `"\ud83d\"`, `"\ud83d\uzzzz"`, `"\u12"`, `"\u123g"`, `"\uABCD\uabcd"`, `"\x"`, `"\`, `"\\\/\b\f\n\r\t\""`, `"\u0000"`, `"\ufffd"`,
	`0`, `-0`, `01`, `-`, `+1`, `1.`, `.1`, `1.5`, `1e`, `1e5`, `1E+5`, `1e-`, `-1.5e-10`, `1e999`, `0x1`, `1 2`, `12345678901234567890`, `-a`, `NaN`,
	`{}`, `[]`, `[ ]`, `{ }`, `[,]`, `[1,]`, `[1 2]`, `[1,2]`, `[[],[]]`, `[[}]`, `[1}`, `{]`, `{,}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{"a" : 1}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`, `{"\u0061":1}`, `{1:2}`, `[1`, `{"a":1`, `{"a":[{}, {"b":[]}],"c":{"d":null}}`, `]`, `}`, `:`, `,`, "[\t1\r\n,\n2 ]",
	`{"a":{"b":{"c":[1,[2,[3,{"d":"e"}]]]}}} `, strings.Repeat("[", 100), strings.Repeat("[", 100) + strings.Repeat("]", 100),
	strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat("[", 10001) + strings.Repeat("]", 10001), strings.Repeat(`{"a":`, 10001) + "1" + strings.Repeat("}", 10001),
}

// What encoding/json reads, the scanner reads, and nothing else.
func check(t *testing.T, b []byte) {
	t.Helper()
	want, wrong := plain(b)
	text := bytes.Clone(b)
	s := New(b)
	got := s.any()
	err := s.End()
	for i := range b { // what was read is not the text's any more
		b[i] = 'x'
	}
	if (err == nil) != (wrong == nil) {
		t.Fatalf("%.200q: %v, want %v", b, err, wrong)
	} else if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%.200q: %#v, want %#v", b, got, want)
	}
	copy(b, text)
	s = New(b)
	s.Skip()
	err = s.End()
	for i := range b { // what was read is not the text's any more
		b[i] = 'x'
	}
	if (err == nil) != (wrong == nil) {
		t.Fatalf("%.200q skipped: %v, want %v", b, err, wrong)
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(check)
}

// A special byte is found wherever it is in a word, after every other byte.
func TestEveryPlace(t *testing.T) {
	for n := range 24 {
		for c := range 256 {
			for _, d := range []string{"", "x", "\xff", "\x7f", " ", "\u0100"} {
				check(t, []byte(`["`+strings.Repeat("a", n)+string([]byte{byte(c)})+d+`","b"]`))
			}
		}
	}
}

// A valid text that is cut anywhere is none, and one with another byte is what
// encoding/json says that it is.
func TestCutAndChanged(t *testing.T) {
	const text = `{"value": [{"id":"a\u00e4\n","n":-1.5e+3,"ok":true,"no":false,"nil":null,"list":["x",{"y":[]}]}], "x":"\ud83d\ude00"}`
	for i := range text {
		check(t, []byte(text[:i]))
		s := New([]byte(text[:i]))
		if s.Skip(); s.End() == nil {
			t.Errorf("%q is whole", text[:i])
		}
		for _, c := range []byte("\"\\{}[],:0eu \x00\xff") {
			b := []byte(text)
			b[i] = c
			check(t, b)
		}
	}
}

// What is asked for in vain is an error, and null is no value.
func TestTyped(t *testing.T) {
	reads := map[string]func(*Scanner){
		"string": func(s *Scanner) { _ = s.String() }, "bool": func(s *Scanner) { s.Bool() }, "strings": func(s *Scanner) { s.Strings() },
		"object": func(s *Scanner) {
			for range s.Members() {
				s.Skip()
			}
		}, "array": func(s *Scanner) {
			for range s.Elements() {
				s.Skip()
			}
		},
	}
	fits := map[string]string{`"a"`: "string", `true`: "bool", `false`: "bool", `["a",null]`: "strings array", `[]`: "strings array", `[1]`: "array", `{}`: "object", `{"a":1}`: "object", `1`: "", `null`: "string bool strings object array"}
	for text, names := range fits {
		for name, read := range reads {
			s := New([]byte(text))
			read(s)
			if want := slices.Contains(strings.Fields(names), name); want != (s.End() == nil) {
				t.Errorf("%s as %s: %v", text, name, s.End())
			}
		}
	}
	s := New([]byte(`[true,false,null]`))
	for range s.Elements() {
		v, ok := s.Bool()
		if at := s.Offset(); v != (at == len(`[true`)) || ok != (at < len(`[true,false,null`)) {
			t.Errorf("before %d: %v, %v", at, v, ok)
		}
	}
	if s.End() != nil || s.Left() != 0 {
		t.Error(s.End())
	}
}

// Lists have no room, so that appending to one leaves the next alone, and
// neither lists nor loose strings are lost when a piece of memory is full.
func TestArena(t *testing.T) {
	const n = 3 * pieceList
	s := New([]byte(`[` + strings.TrimSuffix(strings.Repeat(`["A\u0062","c"],[],`, n), `,`) + `]`))
	var lists [][]string
	var lower []string
	for range s.Elements() {
		l := s.Strings()
		lists = append(lists, l)
		if len(l) > 0 {
			lower = append(lower, s.Lower(l[0]))
			_ = append(l, "x")
		}
	}
	if s.End() != nil || len(lists) != 2*n {
		t.Fatal(len(lists), s.End())
	}
	for i, l := range lists {
		if want := []string{"Ab", "c"}; i%2 == 0 && !slices.Equal(l, want) || i%2 == 1 && l != nil {
			t.Fatalf("list %d is %q", i, l)
		}
	}
	for _, l := range lower {
		if l != "ab" {
			t.Fatalf("%q", l)
		}
	}
	if s.Lower("ab-1é") != "ab-1é" || s.Lower("") != "" {
		t.Error("lower case is not left alone")
	}
	long := New([]byte(`"` + strings.Repeat("\\n", Piece) + `"`))
	if got := long.String(); got != strings.Repeat("\n", Piece) || long.End() != nil {
		t.Errorf("%d bytes, %v", len(got), long.End())
	}
}

// Errors tell where, and nothing of the text.
func TestErrorsAreDiscreet(t *testing.T) {
	for _, text := range []string{`{"name":"secret`, `{"secret":1]`, `["secret" 1]`, `["secret\q"]`, `{"a":secret}`, "[\"secret\x01\"]"} {
		s := New([]byte(text))
		s.Skip()
		if err := s.End(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
