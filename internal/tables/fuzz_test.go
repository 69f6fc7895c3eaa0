package tables

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"rollcall/internal/fault"
)

func FuzzRow(f *testing.F) {
	good, _ := row{pk: "p", rk: "r", data: []byte(strings.Repeat(`{"a":"b"}`, 20000)), cols: map[string]string{"Due": "x"}}.encode()
	f.Add(good)
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","V":2}`))
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","V":3}`))
	f.Add(compressed(1000))
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","V":1,"D0":7}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRow(b)
		if err != nil {
			return
		}
		enc, err := r.encode()
		if err != nil {
			if len(r.data) <= maxPacked {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeRow(enc)
		if err != nil || !bytes.Equal(again.data, r.data) || again.pk != r.pk || again.rk != r.rk {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

// compressed is a row of so many zeros.
func compressed(n int) []byte {
	b, _ := row{pk: "p", rk: "r", packed: true, data: s2.Encode(nil, make([]byte, n))}.encode()
	return b
}

// A row that would take more memory than a row may have is refused before it does.
func TestExpand(t *testing.T) {
	r, err := decodeRow(compressed(900 << 10))
	if err != nil || !bytes.Equal(r.data, make([]byte, 900<<10)) {
		t.Errorf("%d bytes, %v", len(r.data), err)
	}
	for name, b := range map[string][]byte{
		"too large": compressed(900<<10 + 1), "a bomb": compressed(1 << 26),
		"cut":     bytes.Replace(compressed(1000), []byte(`"D0":"`), []byte(`"D0":"AAAA`), 1),
		"nothing": []byte(`{"PartitionKey":"p","RowKey":"r","V":2}`),
	} {
		if r, err := decodeRow(b); !fault.Is(err, fault.Invalid) || len(r.data) > 900<<10 {
			t.Errorf("%s: %d bytes, %v", name, len(r.data), err)
		}
	}
}

// decodeByMap reads an entity by encoding/json alone.
func decodeByMap(b []byte) (r row, ok bool) {
	var props map[string]json.RawMessage
	if json.Unmarshal(b, &props) != nil {
		return r, false
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(props[name], &s)
		return s
	}
	var v int
	r.pk, r.rk, r.etag = text("PartitionKey"), text("RowKey"), text("odata.etag")
	if err := json.Unmarshal(props["V"], &v); err != nil || v != 1 && v != 2 || r.pk == "" || r.rk == "" {
		return r, false
	}
	r.gone = string(props["T"]) == "true"
	for i := range 16 {
		raw, found := props[fmt.Sprint("D", i)]
		if !found {
			break
		}
		var chunk []byte
		if json.Unmarshal(raw, &chunk) != nil {
			return r, false
		}
		r.data = append(r.data, chunk...)
	}
	if v == 2 {
		if n, err := s2.DecodedLen(r.data); err != nil || n > 900<<10 {
			return r, false
		}
		var err error
		if r.data, err = s2.Decode(nil, r.data); err != nil {
			return r, false
		}
	}
	return r, true
}

// A row reads as encoding/json reads it, and what that refuses is refused.
func FuzzRowLikeJSON(f *testing.F) {
	f.Add(compressed(3))
	f.Add(compressed(900<<10 + 1))
	good, _ := row{pk: "pé", rk: "r\"<", gone: true, data: []byte(strings.Repeat("x", 130000))}.encode()
	f.Add(good)
	f.Add([]byte(` { "RowKey" : "a" , "\u0050artitionKey":"\u00e9\/","V":1, "D0":"YQ==","D1":null,"D2":"Yg\/=","x":{"y":[1,2.5e3,{"z":null}]},"odata.etag":"W/\"1\"","T":false}`))
	f.Add([]byte(`{"PartitionKey":"a","RowKey":"b","V":1,"D0":"YQ==","D0":"Yg==","D2":"YQ=="}`))
	f.Add([]byte(`{"PartitionKey":"a","RowKey":"b","V":1,"D0":[1,2],"D10":"","D15":"YQ==","D16":"?","D01":"?"}`))
	for _, bad := range []string{`{}`, `{"a"}`, `{"a":1,}`, `{"a":01}`, `{"a":"\x"}`, `[1]`, `{"a":[1}`, `{"a":1}{`, "{\"a\":\"\n\"}", `{"a":tru}`, `{a:1}`, `{"a":}`, `{,}`, `{"a":1 "b":2}`, `{"a":-}`, `{"a":"`} {
		f.Add([]byte(strings.Replace(`{"PartitionKey":"a","RowKey":"b","V":1,"q":%}`, "%", bad, 1)))
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeRow(b)
		want, ok := decodeByMap(b)
		if err == nil && (!ok || got.pk != want.pk || got.rk != want.rk || got.etag != want.etag || got.gone != want.gone || !bytes.Equal(got.data, want.data)) {
			t.Fatalf("%q reads as %+v, want %+v, %v", b, got, want, ok)
		}
		if err != nil && ok && bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) < maxDepth {
			t.Fatalf("%q: %v, want %+v", b, err, want)
		}
	})
}

// The answer to a query is read as encoding/json reads it.
func FuzzEntities(f *testing.F) {
	for _, s := range []string{`{"odata.metadata":"m","value":[{"a":1}, {"b":"]"}]}`, `{"value":[]}`, `{"value":{}}`, `{"value":[1,]}`, `{}`, `{"value":[{}]`, `{"value":[{}]} x`, `{"value":null}`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := entitiesOf(nil, b)
		if err != nil {
			return
		}
		var want struct {
			Value []json.RawMessage `json:"value"`
		}
		if bytes.Count(b, []byte(`"value"`)) > 1 || bytes.Contains(b, []byte(`\u`)) || !bytes.Contains(b, []byte(`"value"`)) {
			return // which of them counts is no matter
		}
		if err := json.Unmarshal(b, &want); err != nil || len(got) != len(want.Value) {
			t.Fatalf("%q: %d entities, want %d (%v)", b, len(got), len(want.Value), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], want.Value[i]) {
				t.Fatalf("%q: entity %d is %q, want %q", b, i, got[i], want.Value[i])
			}
		}
	})
}

// An answer without a list of entities is no empty list.
func TestNoEntities(t *testing.T) {
	for _, s := range []string{``, `{}`, `{"value":null}`, `{"value":{}}`, `{"value":[{}]`, `[]`, `{"value":[]}]`} {
		if got, err := entitiesOf(nil, []byte(s)); err == nil {
			t.Errorf("%s is %d entities", s, len(got))
		}
	}
	if got, err := entitiesOf(nil, []byte(" {\n\"value\" : [ {} , {\"a\":[]}\t] } ")); err != nil || len(got) != 2 {
		t.Errorf("%d entities, %v", len(got), err)
	}
}

func FuzzBase64(f *testing.F) {
	for n := range 20 {
		f.Add([]byte("0123456789abcdefghi\xff"[:n]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := string(appendBase64([]byte("x"), b)), "x"+base64.StdEncoding.EncodeToString(b); got != want {
			t.Fatalf("%x: %s, want %s", b, got, want)
		}
	})
}

// Whatever the answer to a transaction is, it is a success only if as many
// operations were done.
func FuzzOutcome(f *testing.F) {
	f.Add([]byte(answered(2)), innerType, 2)
	f.Add([]byte("HTTP/1.1 404"), "", 1)
	f.Fuzz(func(t *testing.T, b []byte, contentType string, n int) {
		if _, err := outcome(b, contentType, n); err == nil && bytes.Count(b, []byte("HTTP/1.1 2")) < n {
			t.Fatalf("%q of %d operations is a success", b, n)
		}
	})
}

func FuzzTransactionAnswer(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\nETag: W/\"x\"\r\n\r\n\r\n--c--\r\n--b--"), "b")
	f.Add([]byte("--b\r\n\r\n--b--"), "b")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		for _, r := range parseInner(body, boundary) {
			if r == nil || r.StatusCode < 100 {
				t.Error("an answer without status")
			}
		}
	})
}
