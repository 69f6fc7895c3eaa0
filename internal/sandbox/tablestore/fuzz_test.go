package tablestore

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/devstoreaccount1/t", "application/json", []byte(`{"PartitionKey":"p","RowKey":"r","a":"b","a@odata.type":"Edm.Binary"}`))
	f.Add("PUT", "/devstoreaccount1/t(PartitionKey='a''b',RowKey='')", "", []byte(`{}`))
	f.Add("DELETE", "/devstoreaccount1/Tables('t')", "", []byte{})
	f.Add("GET", "/devstoreaccount1/t()?$filter=a eq 'b'", "", []byte{})
	f.Add("POST", "/devstoreaccount1/$batch", "multipart/mixed; boundary=b", []byte("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\nDELETE https://h/devstoreaccount1/t(PartitionKey='p',RowKey='r') HTTP/1.1\r\n\r\n--c--\r\n--b--\r\n"))
	f.Fuzz(func(t *testing.T, method, path, contentType string, body []byte) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{"Content-Type": {contentType}}}
		q, refused := parseRequest(r, string(body))
		if refused != nil {
			if refused.status < 400 || refused.code == "" {
				t.Errorf("a refusal without status or code: %+v", refused)
			}
			return
		}
		seen := map[string]bool{}
		for _, op := range q.ops {
			if strings.ContainsAny(op.partition+op.row, "/\\#?\n") {
				t.Errorf("accepted %+v", op)
			}
			if op.partition != q.ops[0].partition || seen[op.row] {
				t.Errorf("accepted %+v", q.ops)
			}
			seen[op.row] = true
		}
		if len(q.ops) > 100 {
			t.Errorf("accepted %d operations", len(q.ops))
		}
	})
}

func FuzzQuoted(f *testing.F) {
	f.Add("it's")
	f.Add("''")
	f.Fuzz(func(t *testing.T, s string) {
		got, rest, ok := quoted("'" + strings.ReplaceAll(s, "'", "''") + "',x")
		if got != s || rest != ",x" || !ok {
			t.Errorf("%q became %q, %q", s, got, rest)
		}
	})
}
