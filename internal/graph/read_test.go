package graph

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// agree compares what the product reads of a page with what the oracle does:
// the same items and links, or both an error.
func agree(b []byte) error {
	people, err := DecodePeople(b)
	truePeople, wrong := oraclePeople(b)
	if err := same(people, truePeople, err, wrong); err != nil {
		return fmt.Errorf("people: %w", err)
	}
	list, err := DecodeList(b)
	trueList, wrong := oracleList(b)
	if err := same(list, trueList, err, wrong); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	groups, err := DecodeGroups(b)
	trueGroups, wrong := oracleGroups(b)
	if err := same(groups, trueGroups, err, wrong); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	return nil
}

func same[T any](got, want T, err, wrong error) error {
	switch {
	case (err == nil) != (wrong == nil):
		return fmt.Errorf("error %v, want %v", err, wrong)
	case err != nil && !fault.Is(err, fault.Unknown):
		return fmt.Errorf("kind of %w", err)
	case !reflect.DeepEqual(got, want):
		return fmt.Errorf("%+v, want %+v", got, want)
	}
	return nil
}

// samples are pages as Graph sends them, and what it never sends.
func samples() []string {
	user := func(more string) string {
		return `{"@odata.context":"https://g.example/$metadata#users","@odata.nextLink":"https://g.example/v1.0/users/delta?$skiptoken=x","value":[{"id":"` + guid + `"` + more + `}]}`
	}
	ref := func(more string) string { return `{"id":"` + guid2 + `"` + more + `}` }
	var all []string
	for _, more := range []string{
		``, `,"mail":null`, `,"mail":"a@b.c","displayName":"M\u00fcller \"X\" \\ \ud83d\ude00\n"`, `,"mail":7`, `,"mail":["a"]`, `,"mail":{}`, `,"mail":true`, `,"Mail":"other case"`, `,"ID":"x"`,
		`,"id":null`, `,"id":"` + strings.ToUpper(guid2) + `"`, `,"id":"x"`, `,"mail":"a","mail":null`, `,"mail":null,"mail":"a"`, `,"ma\u0069l":"escaped name"`,
		`,"otherMails":[]`, `,"otherMails":null`, `,"otherMails":[null,"b","","a","b"]`, `,"otherMails":["a",1]`, `,"otherMails":"a"`, `,"otherMails":["a"],"otherMails":[]`,
		`,"accountEnabled":true`, `,"accountEnabled":false`, `,"accountEnabled":null`, `,"accountEnabled":"true"`, `,"accountEnabled":true,"accountEnabled":null`,
		`,"assignedLicenses":[{"skuId":"` + strings.ToUpper(guid) + `","disabledPlans":["` + guid + `"]},{},null,{"skuId":null},{"skuId":"ÄB"}]`, `,"assignedLicenses":["x"]`, `,"assignedLicenses":[{"skuId":5}]`,
		`,"manager@delta":null`, `,"manager@delta":[]`, `,"manager@delta":[` + ref(``) + `]`, `,"manager@delta":[` + ref(`,"@removed":{"reason":"deleted"}`) + `]`, `,"manager@delta":[{"id":"x"}]`, `,"manager@delta":[{"id":"x"},` + ref(``) + `]`,
		`,"manager@delta":[{"id":"x"}],"manager@delta":[]`, `,"manager@delta":[null]`, `,"manager@delta":{}`, `,"manager@delta":[{"id":"x","@removed":null}]`, `,"manager@delta":[{"id":"x","@removed":{}}]`, `,"manager@delta":[{"@removed":1}]`,
		`,"manager@delta":[` + ref(``) + `],"manager@delta":null`, `,"manager":` + ref(``), `,"manager":null`, `,"manager":{}`, `,"manager":{"id":"x"}`, `,"manager":"x"`, `,"manager":` + ref(``) + `,"manager":null`, `,"manager":{"id":"x"},"manager":null`,
		`,"@removed":{"reason":"changed"}`, `,"@removed":{"reason":"deleted"},"mail":"a"`, `,"@removed":{}`, `,"@removed":null`, `,"@removed":{"reason":null}`, `,"@removed":{"reason":7}`, `,"@removed":"x"`, `,"@removed":{"reason":"changed"},"@removed":{}`,
		`,"@removed":{"reason":"deleted"},"manager@delta":[{"id":"x"}]`, `,"unknown":{"deep":[1,-2.5e3,true,{"x":null}]}`, `,"unknown":01`, `},{"id":"` + guid + `"`, `},null,{"id":"` + guid + `"`, `}]},{"value":[{`,
		`,"displayName":"Team","groupTypes":["unified",null],"resourceProvisioningOptions":["team"],"securityEnabled":true,"visibility":"Private"`, `,"displayName":null`, `,"displayName":7`, `,"securityEnabled":null`, `,"securityEnabled":1`,
		`,"members@delta":[` + ref(`,"@odata.type":"#microsoft.graph.user"`) + `,` + ref(`,"@removed":{"reason":"deleted"}`) + `,{"id":"` + guid + `"}]`, `,"members@delta":[` + ref(`,"@odata.type":"#microsoft.graph.group"`) + `]`,
		`,"members@delta":[` + ref(``) + `,` + ref(`,"@odata.type":"#microsoft.graph.device"`) + `]`, `,"members@delta":[{"id":"x","@odata.type":"#microsoft.graph.group"}]`, `,"members@delta":[{"@odata.type":3,"id":"` + guid + `"}]`,
		`,"members@delta":null`, `,"members@delta":[null]`, `,"members@delta":[{"id":"x"}],"members@delta":[` + ref(``) + `]`, `,"@removed":{"reason":"changed"},"members@delta":[{"id":"x"}]`,
	} {
		all = append(all, user(more))
	}
	return append(all, ``, `null`, `[]`, `{}`, `{"value":[]}`, `{"value":null,"@odata.deltaLink":"d"}`, `{"value":[],"value":null,"@odata.deltaLink":"d"}`, `{"value":[{"id":"x"}],"value":[],"@odata.deltaLink":"d"}`, `{"value":{},"@odata.deltaLink":"d"}`,
		`{"value":[],"@odata.deltaLink":"d","@odata.nextLink":"n"}`, `{"value":[],"@odata.deltaLink":""}`, `{"value":[],"@odata.deltaLink":null,"@odata.nextLink":"n"}`, `{"value":[],"@odata.deltaLink":5}`, `{"value":[],"@odata.deltaLink":"d"} x`,
		"{\"value\":[{\"id\":\""+guid+"\",\"displayName\":\"\xff\xc3(\"}],\"@odata.deltaLink\":\"d\"}", ` { "value" : [ { "id" : "`+guid+"\" \n,\t\"mail\" :\r\"a\" } ] , \"@odata.deltaLink\" : \"d\" } ")
}

// Both readers agree on every page, cut anywhere, and with another byte
// anywhere.
func TestOracleAgrees(t *testing.T) {
	whole := 0
	for _, text := range samples() {
		if err := agree([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := DecodePeople([]byte(text)); err == nil {
			whole++
		}
	}
	if whole < 40 || whole > len(samples())-20 {
		t.Errorf("%d pages of %d are whole", whole, len(samples()))
	}
}

func TestEveryCut(t *testing.T) {
	for _, text := range samples() {
		for i := range text {
			b := []byte(strings.TrimRight(text[:i], " "))
			_, people := DecodePeople(b)
			_, list := DecodeList(b)
			_, groups := DecodeGroups(b)
			if len(b) < len(strings.TrimRight(text, " ")) && (people == nil || list == nil || groups == nil) && !strings.HasSuffix(text, " x") && !strings.Contains(text, "}]},{") {
				t.Fatalf("%q is whole", b)
			}
		}
	}
}

func TestEveryByte(t *testing.T) {
	for n, text := range samples() {
		for i := range text {
			b := []byte(text)
			for _, c := range []byte("\"\\{}[],:0nx \x00\xff") {
				if b[i] = c; (i+n)%29 != 0 { // each place in some samples
					continue
				}
				if err := agree(b); err != nil {
					t.Fatalf("%q: %v", b, err)
				}
			}
		}
	}
}

// FuzzOracle holds the product's readers against encoding/json.
func FuzzOracle(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := agree(b); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	})
}

// Pages of many groups with many members, of whom many come again, are read as
// the oracle reads them, whatever memory one group leaves to the next.
func TestManyMembers(t *testing.T) {
	id := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%08x-0000-0000-0000-0000000000%02x", rapid.Uint32Range(0, 200).Draw(t, "id"), rapid.Byte().Draw(t, "end")%4)
	})
	rapid.Check(t, func(t *rapid.T) {
		var groups []string
		for range rapid.IntRange(1, 6).Draw(t, "groups") {
			var members []string
			for range rapid.IntRange(0, 300).Draw(t, "members") {
				members = append(members, `{"id":"`+id.Draw(t, "member")+`"`+rapid.SampledFrom([]string{"", "", `,"@removed":{"reason":"deleted"}`, `,"@odata.type":"#microsoft.graph.user"`, `,"@odata.type":"#microsoft.graph.group"`}).Draw(t, "more")+`}`)
			}
			groups = append(groups, `{"id":"`+id.Draw(t, "group")+`","members@delta":[`+strings.Join(members, ",")+`]}`)
		}
		if err := agree([]byte(`{"value":[` + strings.Join(groups, ",") + `],"@odata.nextLink":"n"}`)); err != nil {
			t.Fatal(err)
		}
	})
}

// Pages of any length hold their items, the first of which may be tiny beside
// the others and the other way around.
func TestManyItems(t *testing.T) {
	tiny, big := `{"id":"`+guid+`","@removed":{}}`, `{"id":"`+guid2+`","displayName":"`+strings.Repeat("x", 3000)+`"}`
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 100, 999, 1000, 2500} {
		for _, kind := range [][2]string{{tiny, big}, {big, tiny}, {tiny, tiny}, {big, big}} {
			items := slices.Repeat([]string{kind[1]}, n)
			if n > 0 {
				items[0] = kind[0]
			}
			p, err := DecodePeople([]byte(`{"value":[` + strings.Join(items, ",") + `],"@odata.nextLink":"n"}`))
			if err != nil || len(p.Items) != n || p.Items == nil {
				t.Fatalf("%d items of %d: %v", len(p.Items), n, err)
			}
			for i, it := range p.Items {
				if want := items[i] == tiny; want != (it.Removed == directory.Deleted) || !want && len(it.DisplayName) != 3000 {
					t.Fatalf("item %d of %d: %.200q", i, n, it.DisplayName)
				}
			}
			if cap(p.Items) > 2*n+1000 {
				t.Errorf("room for %d beside %d", cap(p.Items), n)
			}
		}
	}
}

// A GUID is what package directory says that it is, in lower case or not.
func TestParseGUID(t *testing.T) {
	check := func(s string) {
		t.Helper()
		hash, lower, ok := parseGUID(s)
		_, want := directory.Key(strings.ToLower(s))
		if _, exact := directory.Key(s); ok != want || ok && lower != exact {
			t.Errorf("%q: %v, %v", s, lower, ok)
		}
		if small, _, _ := parseGUID(strings.ToLower(s)); ok && small != hash {
			t.Errorf("%q: the case counts", s)
		}
	}
	for _, s := range []string{"", guid, strings.ToUpper(guid), guid[:35], guid + "0", strings.ReplaceAll(guid, "-", "0"), strings.Repeat("-", 36)} {
		check(s)
	}
	for i := range guid {
		for c := range 256 {
			b := []byte(guid)
			b[i] = byte(c)
			check(string(b))
		}
	}
	hashes := map[uint32]bool{}
	for i := range 4096 {
		h, _, _ := parseGUID(fmt.Sprintf("%08x-0000-0000-0000-00000000%04x", i/64, i))
		hashes[h>>18] = true // as few as a table has slots
	}
	if len(hashes) < 3000 {
		t.Errorf("4096 IDs in %d places", len(hashes))
	}
}
