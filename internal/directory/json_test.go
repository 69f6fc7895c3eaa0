package directory

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// encoded is what encoding/json makes of a value.
func encoded(t interface{ Fatal(...any) }, v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		at := time.Unix(rapid.Int64Range(0, 1<<36).Draw(t, "s"), rapid.SampledFrom([]int64{0, 1, 120_000_000, 999_999_999}).Draw(t, "ns"))
		return at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 19800), time.FixedZone("", -3*3600)}).Draw(t, "zone"))
	})
}

func reasons() *rapid.Generator[Reason] {
	return rapid.SampledFrom([]Reason{"", SoftDeleted, Deleted, Missing, OutOfScope})
}

func records() *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		return Record{Person: people().Draw(t, "person"), Life: Life{
			Archived: times().Draw(t, "archived"), Reason: reasons().Draw(t, "reason"), Pending: reasons().Draw(t, "pending"),
			Held: rapid.Bool().Draw(t, "held"), Kept: rapid.Bool().Draw(t, "kept"),
			Created: times().Draw(t, "created"), Changed: rapid.Int64().Draw(t, "changed"),
		}}
	})
}

func changes() *rapid.Generator[Change] {
	return rapid.Custom(func(t *rapid.T) Change {
		a, b := people().Draw(t, "a"), people().Draw(t, "b")
		c := Change{
			Number: rapid.Int64().Draw(t, "number"), Type: rapid.SampledFrom([]Type{Created, Redacted, "a\"b"}).Draw(t, "type"),
			ID: rapid.String().Draw(t, "id"), Run: rapid.String().Draw(t, "run"), At: times().Draw(t, "at"), Reason: reasons().Draw(t, "reason"),
			Joined: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "joined"), Left: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "left"),
			Set: Difference(&a, &b),
		}
		if rapid.Bool().Draw(t, "moved") {
			c.Position = &Move{rapid.StringN(0, 2, -1).Draw(t, "from"), rapid.StringN(0, 2, -1).Draw(t, "to")}
		}
		if rapid.Bool().Draw(t, "preview") {
			c.Was = Difference(&b, &a)
		}
		return c
	})
}

// What is appended is what encoding/json writes, byte for byte, and is read
// as what it was.
func TestAppendJSON(t *testing.T) {
	t.Run("records", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			r := records().Draw(t, "record")
			if got, want := string(r.AppendJSON([]byte("x"))), "x"+encoded(t, r); got != want {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
			if got, want := string(r.AppendCreated([]byte("x"), Compare(nil, &r))), "x"+encoded(t, r); got != want {
				t.Fatalf("by its creation\ngot  %s\nwant %s", got, want)
			}
		})
	})
	t.Run("changes", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			cs := rapid.SliceOfN(changes(), 0, 3).Draw(t, "changes")
			got, want := AppendChanges(nil, cs), encoded(t, cs)
			if string(got) != want {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
			var back []Change
			if err := json.Unmarshal(got, &back); err != nil || len(back) != len(cs) {
				t.Fatal(back, err)
			}
			for i := range cs {
				if !bytes.Equal(back[i].Set, cs[i].Set) || !bytes.Equal(back[i].Was, cs[i].Was) {
					t.Fatalf("read %s and %s, wrote %s and %s", back[i].Set, back[i].Was, cs[i].Set, cs[i].Was)
				}
				if one := cs[i].AppendJSON(nil); string(one) != encoded(t, &cs[i]) {
					t.Fatalf("one change: %s", one)
				}
			}
		})
	})
	if got := string(AppendChanges(nil, nil)); got != "null" {
		t.Errorf("no changes: %s", got)
	}
}

// Every string is escaped as encoding/json does it, wherever in its words the
// byte is that needs it.
func TestAppendString(t *testing.T) {
	for c := range 256 {
		for n := range 20 {
			for at := range n {
				b := bytes.Repeat([]byte("a"), n)
				b[at] = byte(c)
				if got, want := string(appendString(nil, string(b))), encoded(t, string(b)); got != want {
					t.Fatalf("byte %d at %d of %d: got %s, want %s", c, at, n, got, want)
				}
			}
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "Zoë van der Berg", "\u2028\u2029\u2027", "\xff\xc0\xaf", "\xe2\x80", "<&>", "\x00\b\f\n\r\t\x1f\x7f\"\\", strings.Repeat("é\xed\xa0\x80", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(appendString(nil, s)), encoded(t, s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// The table of properties says of every field of Person what the field is.
func TestPropertiesAreThoseOfPerson(t *testing.T) {
	typ := reflect.TypeFor[Person]()
	kinds := map[reflect.Type]kind{reflect.TypeFor[string](): text, reflect.TypeFor[[]string](): list, reflect.TypeFor[*bool](): flag}
	if typ.Field(0).Name != "ID" || typ.NumField() != len(properties)+1 || len(Properties()) != len(properties) {
		t.Fatalf("%d fields, %d properties, named %v", typ.NumField(), len(properties), Properties())
	}
	for i, p := range properties {
		f := typ.Field(i + 1) // records are written in this order
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if k, known := kinds[f.Type]; !known || k != p.kind || f.Offset != p.at || p.name != `,"`+name+`":` || option != "omitempty" || Properties()[i] != name {
			t.Errorf("property %d is %+v, the field %+v", i, p, f)
		}
	}
	if len(properties) > 64 {
		t.Error("Difference has 64 bits")
	}
	if unsafe.Sizeof(Person{}) < properties[len(properties)-1].at {
		t.Error("a property lies outside of Person")
	}
}

// People are compared by the million: what costs nothing must go on to.
func TestAllocations(t *testing.T) {
	r, same := clerk(), clerk()
	c := Compare(nil, r)
	b := make([]byte, 0, 8192)
	for name, x := range map[string]struct {
		most float64
		do   func()
	}{
		"fingerprint":             {0, func() { sink += r.Fingerprint() }},
		"mark":                    {0, func() { sink += uint64(MarkOf(r)) }},
		"record":                  {0, func() { b = r.AppendJSON(b[:0]) }},
		"change":                  {0, func() { b = c.AppendJSON(b[:0]) }},
		"nothing changed":         {0, func() { _ = Compare(r, same) }},
		"difference from nothing": {1, func() { out = Difference(&nobody, &r.Person) }},
		"position":                {1, func() { sink += uint64(len(PositionID("Chief Clerk"))) }},
	} {
		if n := testing.AllocsPerRun(100, x.do); n > x.most {
			t.Errorf("%s: %v allocations, at most %v are due", name, n, x.most)
		}
	}
}
