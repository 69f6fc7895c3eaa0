package graph

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

const (
	guid  = "ffff7b1a-13b6-477b-8c0c-380905cd99f7"
	guid2 = "86462606-fde0-4fc4-9e0c-a20eb73e54c6"
)

// A body above its bound fails where it would otherwise end quietly, and one
// that just fits is read whole.
func TestBounded(t *testing.T) {
	for n, fits := range map[int]bool{0: true, 9: true, 10: true, 11: false, 5000: false} {
		b, err := io.ReadAll(&bounded{io.NopCloser(strings.NewReader(strings.Repeat("x", n))), 10})
		if fits != (err == nil) || fits && len(b) != n || !fits && !fault.Is(err, fault.Invalid) {
			t.Errorf("%d bytes of 10: %d read, %v", n, len(b), err)
		}
	}
}

func FuzzDecodePeople(f *testing.F) {
	for _, s := range []string{
		`{"value":[],"@odata.deltaLink":"d"}`, `{"value":[],"@odata.nextLink":"n"}`,
		`{"value":[{"id":"` + guid + `","mail":null,"otherMails":["b","a","a",""],"manager@delta":[{"id":"` + guid2 + `"}]}],"@odata.nextLink":"n"}`,
		`{"value":[{"id":"` + guid + `","@removed":{"reason":"changed"}}],"@odata.deltaLink":"d"}`,
		`{"value":[],"@odata.deltaLink":"d"}}`, `{"value":[],"@odata.deltaLink":"d"} {}`, `{"value":[],"@odata.deltaLink":"d"}]`,
		`{"value":null,"@odata.deltaLink":"d"}`, `{"value":[]}`, `{"value":[],"@odata.deltaLink":"d","@odata.nextLink":"n"}`, `[]`, ``, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePeople(b)
		if err != nil {
			if len(p.Items) > 0 || p.Next+p.Delta != "" {
				t.Errorf("a page beside the error %v", err)
			}
			return
		}
		if !json.Valid(b) {
			t.Errorf("a page of what is no JSON: %q", b)
		}
		if (p.Next == "") == (p.Delta == "") {
			t.Error("a page without one link")
		}
		for _, it := range p.Items {
			if _, ok := directory.Key(it.ID); !ok || it.ID != it.Person.ID {
				t.Errorf("ID %q", it.ID)
			}
			for _, l := range [][]string{it.OtherMails, it.ProxyAddresses, it.BusinessPhones, it.AssignedLicenses} {
				if !slices.IsSorted(l) || len(slices.Compact(slices.Clone(l))) != len(l) {
					t.Errorf("list %q", l)
				}
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "0", "1", "2.128", "-1", "NaN", "Inf", "-Inf", "1e300", "99999999999999999999", "soon", "0x1p10",
		now.Add(time.Minute).Format(http.TimeFormat), now.Add(-time.Minute).Format(http.TimeFormat), now.AddDate(900, 0, 0).Format(http.TimeFormat)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := retryAfter(http.Header{"Retry-After": {s}}, now); d < 0 || d > maxAfter+time.Millisecond {
			t.Errorf("%q waits %s", s, d)
		}
	})
}

// What a page says of a person is what a reader of plain JSON finds there.
func TestDecodeAgainstPlainJSON(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{"O'Neil", "東京\u2028", "\"\\</script>"}))
	texts := []string{"mail", "userPrincipalName", "displayName", "givenName", "surname", "mobilePhone", "preferredLanguage", "userType", "jobTitle", "department", "officeLocation", "employeeId", "employeeHireDate"}
	lists := []string{"otherMails", "proxyAddresses", "businessPhones"}
	rapid.Check(t, func(t *rapid.T) {
		in := map[string]any{"id": strings.ToUpper(guid)}
		want := map[string]any{"id": guid}
		for _, name := range texts {
			switch rapid.IntRange(0, 3).Draw(t, name) {
			case 0:
				in[name] = nil
			case 1:
			default:
				s := text.Draw(t, name)
				in[name] = s
				if s = strings.ToValidUTF8(s, "\ufffd"); s != "" {
					want[name] = s
				}
			}
		}
		for _, name := range lists {
			l := rapid.SliceOf(text).Draw(t, name)
			in[name] = l
			var set []any
			for _, s := range slices.Sorted(slices.Values(l)) {
				if s != "" && (len(set) == 0 || set[len(set)-1] != s) {
					set = append(set, s)
				}
			}
			if set != nil {
				want[name] = set
			}
		}
		if rapid.Bool().Draw(t, "enabled known") {
			on := rapid.Bool().Draw(t, "enabled")
			in["accountEnabled"], want["accountEnabled"] = on, on
		}
		has := rapid.Bool().Draw(t, "manager known")
		if has {
			refs := []any{map[string]any{"id": "OLD", "@removed": map[string]any{"reason": "deleted"}}}
			if rapid.Bool().Draw(t, "manager") {
				refs = append(refs, map[string]any{"id": strings.ToUpper(guid2)})
				want["manager"] = guid2
			}
			in["manager@delta"] = refs
		}
		b, err := json.Marshal(map[string]any{"value": []any{in}, "@odata.nextLink": "n"})
		if err != nil {
			t.Fatal(err)
		}
		p, err := DecodePeople(b)
		if err != nil || len(p.Items) != 1 {
			t.Fatalf("%d items, %v", len(p.Items), err)
		}
		if p.Items[0].HasManager != has {
			t.Errorf("manager mentioned: %v, want %v", p.Items[0].HasManager, has)
		}
		back, err := json.Marshal(p.Items[0].Person)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(back, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("decoded %v, want %v", got, want)
		}
	})
}

// Both what comes and what it becomes are bounded.
func TestReadIsBounded(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(make([]byte, 1000))
	_ = z.Close()
	for name, x := range map[string]struct {
		encoding string
		body     []byte
		most     int64
		fits     bool
	}{
		"plain": {"", make([]byte, 1000), 1000, true}, "plain, too long": {"", make([]byte, 1000), 999, false},
		"packed": {"gzip", packed.Bytes(), 1000, true}, "packed, too long": {"gzip", packed.Bytes(), 999, false},
		"many that are empty": {"gzip", bytes.Repeat([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 100), 1000, false},
	} {
		r := newResponse()
		err := r.read(&http.Response{Header: http.Header{"Content-Encoding": {x.encoding}}, Body: io.NopCloser(bytes.NewReader(x.body))}, x.most)
		if x.fits != (err == nil) || x.fits && len(r.body) != 1000 || !x.fits && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %d bytes, %v", name, len(r.body), err)
		}
		r.free()
	}
}
