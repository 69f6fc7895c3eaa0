package directory

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func people() *rapid.Generator[Person] {
	return rapid.Custom(func(t *rapid.T) Person {
		p := Person{ID: "11111111-2222-3333-4444-555555555555"}
		text := rapid.SampledFrom([]string{"", "a", "b", "Zoë", "O'Neil", "<b>", "=1+1", "\x00\x1f", "\u2028", strings.Repeat("\xff", 200), strings.Repeat("é", 200)})
		list := rapid.SliceOfN(text, 0, 4)
		v := reflect.ValueOf(&p).Elem()
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch at := v.Field(i).Addr().Interface().(type) {
			case *string:
				if name != "ID" {
					*at = text.Draw(t, name)
				}
			case *[]string:
				*at = list.Draw(t, name)
			case **bool:
				if n := rapid.IntRange(0, 2).Draw(t, name); n < 2 {
					b := n == 1
					*at = &b
				}
			default:
				t.Fatalf("a field of type %T", at)
			}
		}
		return p
	})
}

// apply is what a reader of the feed does with a change; it is written apart
// from the code that makes changes.
func apply(t *rapid.T, state map[string]any, set map[string]json.RawMessage) {
	for name, raw := range set {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("value of %s: %v", name, err)
		}
		if v == nil {
			delete(state, name)
		} else {
			state[name] = v
		}
	}
}

// asMap is a person as its JSON, read without our types.
func asMap(t *rapid.T, p Person) map[string]any {
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "id")
	return m
}

// A difference applied to the old person gives the new one, whatever the two.
func TestDifferenceApplied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := people().Draw(t, "a"), people().Draw(t, "b")
		a.Canonical()
		b.Canonical()
		set := Difference(&a, &b)
		state := asMap(t, a)
		apply(t, state, set.All())
		if want := asMap(t, b); !reflect.DeepEqual(state, want) {
			t.Fatalf("difference applied gives %v, want %v", state, want)
		}
		if (len(set) == 0) != (a.Fingerprint() == b.Fingerprint()) {
			t.Fatalf("difference %v, fingerprints %x and %x", set, a.Fingerprint(), b.Fingerprint())
		}
	})
}

// Order and repeats in lists are no change; a moved value is one.
func TestFingerprint(t *testing.T) {
	yes := true
	base := Person{Mail: "a@x.example", OtherMails: []string{"b", "a"}, AccountEnabled: &yes}
	same := Person{Mail: "a@x.example", OtherMails: []string{"a", "b", "", "a"}, AccountEnabled: &yes}
	base.Canonical()
	same.Canonical()
	if base.Fingerprint() != same.Fingerprint() {
		t.Error("order and repeats of a list change the fingerprint")
	}
	others := []Person{
		{},
		{Mail: "a@x.example", OtherMails: []string{"a", "b"}},                                            // enabled is unknown
		{Mail: "a@x.example", OtherMails: []string{"ab"}, AccountEnabled: &yes},                          // joined
		{Mail: "a@x.example", ProxyAddresses: []string{"a", "b"}, AccountEnabled: &yes},                  // another property
		{UserPrincipalName: "a@x.example", OtherMails: []string{"a", "b"}, AccountEnabled: &yes},         // another property
		{Mail: "a@x.example", OtherMails: []string{"a", "b"}, AccountEnabled: new(bool)},                 // disabled
		{Mail: "a@x.example", OtherMails: []string{"a", "b"}, AccountEnabled: &yes, Manager: "somebody"}, // one more
	}
	for i, o := range others {
		if o.Fingerprint() == base.Fingerprint() {
			t.Errorf("person %d has the fingerprint of another", i)
		}
	}
}

func TestMerge(t *testing.T) {
	prior := Record{Person: Person{ID: "p", Mail: "old@x.example", JobTitle: "Chef", Manager: "m1"}, Life: Life{Changed: 7}}
	t.Run("an unmentioned manager stays, an unmentioned title does not", func(t *testing.T) {
		got := Merge(&prior, Item{Person: Person{ID: "p", Mail: "new@x.example"}})
		if got.Manager != "m1" || got.JobTitle != "" || got.Mail != "new@x.example" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a removed manager is gone", func(t *testing.T) {
		if got := Merge(&prior, Item{Person: Person{ID: "p"}, HasManager: true}); got.Manager != "" {
			t.Errorf("manager %q", got.Manager)
		}
	})
	t.Run("who returns is active, with nothing pending", func(t *testing.T) {
		gone := prior
		gone.Archived, gone.Reason, gone.Pending = gone.Created.AddDate(1, 0, 0), Deleted, Missing
		got := Merge(&gone, Item{Person: Person{ID: "p"}})
		if !got.Active() || got.Pending != "" || got.Reason != "" {
			t.Errorf("got %+v", got)
		}
		if c := Compare(&gone, &got); c == nil || c.Type != Reactivated {
			t.Errorf("change %+v, want a reactivation", c)
		}
	})
}

// The estimate is never below the real size, or a transaction could be
// refused for its length.
func TestSizeIsUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := people().Draw(t, "p")
		b, err := json.Marshal(Record{Person: p, Life: Life{Reason: SoftDeleted, Pending: SoftDeleted, Changed: 1 << 60}})
		if err != nil {
			t.Fatal(err)
		}
		if got := Size(&p); got < len(b) {
			t.Fatalf("size %d, JSON has %d bytes", got, len(b))
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("11111111-2222-3333-4444-55555555abcd")
	f.Add("11111111-2222-3333-4444-55555555ABCD")
	f.Add("11111111222233334444555555555555")
	f.Add("----")
	f.Fuzz(func(t *testing.T, s string) {
		k, ok := Key(s)
		if !ok {
			return
		}
		const hex = "0123456789abcdef"
		var back []byte
		for i, c := range k {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				back = append(back, '-')
			}
			back = append(back, hex[c>>4], hex[c&15])
		}
		if string(back) != s {
			t.Errorf("Key(%q) = %s", s, back)
		}
	})
}
