package tables

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzRow(f *testing.F) {
	good, _ := row{pk: "p", rk: "r", data: []byte(strings.Repeat(`{"a":"b"}`, 20000)), cols: map[string]string{"Due": "x"}}.encode()
	f.Add(good)
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","V":2}`))
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
