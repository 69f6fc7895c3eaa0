package directory

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestSet(t *testing.T) {
	read := func(row string) (c Change, err error) {
		err = json.Unmarshal([]byte(row), &c)
		return c, err
	}
	t.Run("a row of an earlier version has sorted names", func(t *testing.T) {
		c, err := read(`{"number":1,"set":{"displayName":"Zoë \"Z\"","mail":null,"otherMails":["a","b"]},"was":{"mail":"x"}}`)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"displayName": `"Zoë \"Z\""`, "mail": "null", "otherMails": `["a","b"]`} {
			if v, ok := c.Set.Get(name); !ok || string(v) != want {
				t.Errorf("%s is %s, want %s", name, v, want)
			}
		}
		if v, ok := c.Set.Get("display"); ok || v != nil {
			t.Errorf("what is not there is %s", v)
		}
		if all := c.Was.All(); len(all) != 1 || string(all["mail"]) != `"x"` {
			t.Errorf("was %s", all)
		}
	})
	t.Run("none is nil, and not written", func(t *testing.T) {
		for _, row := range []string{`{}`, `{"set":null}`, `{"set":{}}`, `{"set": { } }`} {
			c, err := read(row)
			if err != nil || c.Set != nil || c.Set.All() != nil {
				t.Errorf("%s: %q, %v", row, c.Set, err)
			}
			if b := encoded(t, c); bytes.Contains([]byte(b), []byte("set")) {
				t.Errorf("%s is written as %s", row, b)
			}
		}
		if b, err := Set(nil).MarshalJSON(); err != nil || string(b) != "null" {
			t.Errorf("%s, %v", b, err)
		}
	})
	t.Run("only an object is one", func(t *testing.T) {
		for _, v := range []string{`[]`, `["mail"]`, `"{}"`, `1`, `true`, `"e30="`} {
			if c, err := read(`{"set":` + v + `}`); err == nil {
				t.Errorf("%s was taken as %s", v, c.Set)
			}
		}
		for _, v := range []string{``, ` `, `{`, `}`, `nul`, `{"a":1`, `[}`} {
			var s Set
			if err := s.UnmarshalJSON([]byte(v)); err == nil {
				t.Errorf("%q was taken as %s", v, s)
			}
		}
	})
	t.Run("a set is the reader's own", func(t *testing.T) {
		row := []byte(`{"mail":"x"}`)
		var s Set
		if err := s.UnmarshalJSON(row); err != nil {
			t.Fatal(err)
		}
		copy(row, "XXXXXXXXXXXX")
		v, _ := s.Get("mail")
		if more := append(v, "more"...); string(s) != `{"mail":"x"}` {
			t.Errorf("%s, by appending %s", s, more)
		}
	})
}

// Sets of what is not a person say what encoding/json would.
func TestSetIsBuilt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, n, on := rapid.String().Draw(t, "name"), rapid.Int64().Draw(t, "n"), rapid.Bool().Draw(t, "on")
		want := map[string]any{"n": n, "name": nil, "on": nil}
		if name != "" {
			want["name"] = name
		}
		if on {
			want["on"] = on
		}
		// Names are in the order in which encoding/json sorts them.
		if got := Set(nil).number("n", n).text("name", name).flag("on", on); string(got) != encoded(t, want) {
			t.Fatalf("got %s, want %s", got, encoded(t, want))
		}
	})
}

// Get and All agree with encoding/json about every object, and survive
// everything else.
func FuzzSet(f *testing.F) {
	for _, s := range []string{
		`{"mail":null}`, ` {"a" : [1,{"b":"}"}] , "c":{"d":"\"","e":[]}, "n":-1.5e3}`, `{"\u006dail":"x\\"}`, `{"a":1,"a":2}`, "{\"\xff\":true}",
		`{}`, `null`, `[]`, `{"a"`, `{"a":`, `{"a":}`, `{"a":"`, `{"a":1,`, `{"a":1,}`, `{"a":]}`, `{"\`, `{"a":1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		Set(b).All()
		Set(b).Get("mail")
		var s Set
		err := s.UnmarshalJSON(b)
		if !json.Valid(b) {
			return
		}
		var want map[string]json.RawMessage
		if wrong := json.Unmarshal(b, &want); (err == nil) != (wrong == nil) {
			t.Fatalf("%q: %v, want %v", b, err, wrong)
		}
		names := 0
		s.each(func([]byte, json.RawMessage) bool { names++; return true })
		if names != len(want) {
			if names < len(want) {
				t.Fatalf("%d properties, want %d", names, len(want))
			}
			return // repeated names, which no set has
		}
		if all := s.All(); len(all) != len(want) || len(want) > 0 && !reflect.DeepEqual(all, want) {
			t.Fatalf("got %s, want %s", all, want)
		}
		for name, v := range want {
			if got, ok := s.Get(name); !ok || !bytes.Equal(got, v) {
				t.Fatalf("%q is %s, want %s", name, got, v)
			}
		}
	})
}
