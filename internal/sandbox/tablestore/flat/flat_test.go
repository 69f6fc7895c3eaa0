package flat

import (
	"encoding/json"
	"testing"
)

// FuzzObject holds the scanner against encoding/json: the same objects, the
// same members, the same values.
func FuzzObject(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":"b","c":true,"d":null,"e":-1.5e+7}`, `{"a":"x\"y","b":"\\"}`, `{"a":"\u00fc\ud83d\ude00"}`, "{\"a\":\"\xff\"}",
		"{\"größe\": \"ü\"\n}", `{"a":}`, `{"a":01}`, `{"a":1.}`, `{"a":1,}`, `{,"a":1}`, `{"a" 1}`, `{"a":1}}`, `{"a":"}`, `{"a":{}}`, `{"a":[]}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\"`,
		"{\"a\":\"\t\"}", `{"a":-}`, `{"a":1e}`, `{"a":1"b":2}`, `[]`, ``, `{"a":truefalse}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, flat := map[string]any{}, true
		if err := json.Unmarshal([]byte(s), &want); err != nil || want == nil {
			flat = false
		}
		for _, v := range want {
			switch v.(type) {
			case map[string]any, []any:
				flat = false
			}
		}
		got, scan := map[string]any{}, Object(s)
		for m, ok := scan.Next(); ok; m, ok = scan.Next() {
			var v any
			if err := json.Unmarshal([]byte(m.Raw), &v); err != nil {
				// A number that no float holds: encoding/json refuses it as a value only.
				if m.Kind != Number || json.Valid([]byte(m.Raw)) == false {
					t.Fatalf("%q: value %q: %v", s, m.Raw, err)
				}
				flat = !scan.Failed()
			}
			if text, ok := v.(string); ok != (m.Kind == String) || ok && text != m.Text || !ok && m.Text != m.Raw {
				t.Fatalf("%q: member %+v is %v", s, m, v)
			}
			got[m.Name] = v
		}
		if scan.Failed() {
			if flat && json.Valid([]byte(s)) {
				t.Fatalf("%q was refused", s)
			}
			return
		}
		if !json.Valid([]byte(s)) {
			t.Fatalf("%q was accepted", s)
		}
		if !flat {
			return // the duplicate of a nested value, or a number out of range
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%q: %q is %v, want %v", s, k, got[k], v)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", s, len(got), len(want))
		}
	})
}
