package tables

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/klauspost/compress/s2"
	"pgregory.net/rapid"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// transport answers every request itself.
type transport func(*http.Request, []byte) *http.Response

func (f transport) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	resp := f(r, body)
	resp.Request = r
	return resp, nil
}

func answer(status int, contentType, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

const innerType = "multipart/mixed; boundary=batchresponse_1"

// answered is the answer to a transaction of n operations that were done.
func answered(n int) string {
	part := "--changesetresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
		"HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nPreference-Applied: return-no-content\r\nDataServiceVersion: 3.0;\r\nETag: W/\"datetime'%d'\"\r\n\r\n\r\n"
	b := "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_1\r\n\r\n"
	for i := range n {
		b += fmt.Sprintf(part, i)
	}
	return b + "--changesetresponse_1--\r\n--batchresponse_1--\r\n"
}

type anyToken struct{}

func (anyToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// plugged returns a store at an endpoint where only f answers, and the SDK's
// own client of its table directory.
func plugged(t testing.TB, endpoint string, f policy.Transporter) (*Store, *aztables.Client) {
	t.Helper()
	opts := &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: f, Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: time.Microsecond}}}
	s, err := New(endpoint, anyToken{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := aztables.NewServiceClient(endpoint, anyToken{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s, svc.NewClient(directoryTable)
}

// operation is one operation of a transaction's body.
type operation struct {
	Method string
	URL    string // decoded
	Raw    string // as it stood
	Header http.Header
	Entity map[string]any
}

// operations reads a transaction as it was sent.
func operations(t testing.TB, contentType string, body []byte) (ops []operation) {
	t.Helper()
	parts := func(contentType string, r io.Reader) (all []*multipart.Part, bodies [][]byte) {
		kind, params, err := mime.ParseMediaType(contentType)
		if err != nil || kind != "multipart/mixed" {
			t.Fatalf("%q is no multipart type: %v", contentType, err)
		}
		for mr := multipart.NewReader(r, params["boundary"]); ; {
			p, err := mr.NextRawPart()
			if err == io.EOF {
				return all, bodies
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			all, bodies = append(all, p), append(bodies, b)
		}
	}
	outer, sets := parts(contentType, bytes.NewReader(body))
	if len(outer) != 1 {
		t.Fatalf("%d change sets", len(outer))
	}
	inner, bodies := parts(outer[0].Header.Get("Content-Type"), bytes.NewReader(sets[0]))
	for i, p := range inner {
		if p.Header.Get("Content-Type") != "application/http" || p.Header.Get("Content-Transfer-Encoding") != "binary" {
			t.Errorf("operation %d comes as %v", i, p.Header)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bodies[i])))
		if err != nil {
			t.Fatalf("operation %d: %v\n%s", i, err, bodies[i])
		}
		op := operation{Method: r.Method, Raw: r.RequestURI, Header: r.Header}
		if op.URL, err = url.PathUnescape(r.URL.String()); err != nil {
			t.Fatal(err)
		}
		// aztables asks for these two by names that it has not set them under, and
		// writes them without their value (source: aztables v1.4.1, writeHeaders).
		if v, ok := op.Header["Dataserviceversion"]; ok && v[0] == "" {
			op.Header.Set("DataServiceVersion", "3.0")
		}
		if op.Header.Get("x-ms-version") == "" {
			op.Header.Del("x-ms-version")
		}
		_, entity, _ := bytes.Cut(bodies[i], []byte("\r\n\r\n"))
		if n := op.Header.Get("Content-Length"); n != "" && n != strconv.Itoa(len(entity)) {
			t.Errorf("operation %d: Content-Length %s of %d bytes", i, n, len(entity))
		}
		if len(entity) > 0 {
			if err := json.Unmarshal(entity, &op.Entity); err != nil {
				t.Fatalf("operation %d: %v\n%s", i, err, entity)
			}
		}
		ops = append(ops, op)
	}
	return ops
}

// sameOperations compares two bodies, but for the addresses of keys with a quote: that
// aztables does not double it in a transaction is its mistake.
func sameOperations(t testing.TB, ours, theirs []operation) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%d operations, want %d", len(ours), len(theirs))
	}
	for i, want := range theirs {
		got := ours[i]
		if want.Method != http.MethodPost { // an address with keys
			want.Raw = double(want.Raw, "%27")
			want.URL = double(want.URL, "'")
		}
		for _, h := range []http.Header{got.Header, want.Header} { // the entities are compared
			if h.Get("Content-Length") == "" && want.Method != http.MethodDelete {
				t.Errorf("operation %d has no Content-Length", i)
			}
			h.Del("Content-Length")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("operation %d:\n%.600v, want\n%.600v", i, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
		}
	}
}

// double doubles the quotes within the keys of an address, whose own quotes
// are plain.
func double(address, quote string) string {
	i, j := strings.Index(address, "(PartitionKey='"), strings.LastIndex(address, "')")
	if i < 0 || j < 0 {
		return address
	}
	i += len("(PartitionKey='")
	keys := strings.Split(address[i:j], "',RowKey='")
	for k := range keys {
		keys[k] = strings.ReplaceAll(keys[k], quote, quote+quote)
	}
	return address[:i] + strings.Join(keys, "',RowKey='") + address[j:]
}

// What we send is what aztables would send of the same rows, whatever is in
// their keys.
func TestBodyLikeTheSDKs(t *testing.T) {
	for _, endpoint := range []string{"https://acc.table.core.windows.net/", "https://127.0.0.1:10002/devstoreaccount1"} {
		var sent []operation
		s, sdk := plugged(t, endpoint, transport(func(r *http.Request, body []byte) *http.Response {
			if !strings.HasSuffix(r.URL.Path, "/$batch") || r.Method != http.MethodPost || r.ContentLength != int64(len(body)) ||
				r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("DataServiceVersion") != "3.0" {
				t.Errorf("request %s %s of %d bytes with %v", r.Method, r.URL, r.ContentLength, r.Header)
			}
			sent = operations(t, r.Header.Get("Content-Type"), body)
			return answer(202, innerType, answered(len(sent)))
		}))
		text := rapid.StringMatching(`[a-z!~' $&+,;:=@%é漢😀"<>()*-]{1,12}`)
		rapid.Check(t, func(rt *rapid.T) {
			part := text.Draw(rt, "partition")
			b := newBatch(s.directory.url, part)
			var actions []aztables.TransactionAction
			late := "" // the version that is told only when the batch is sent
			for n := range rapid.IntRange(1, 6).Draw(rt, "n") {
				r := row{pk: part, rk: fmt.Sprint(n) + text.Draw(rt, "row"), gone: rapid.Bool().Draw(rt, "gone"),
					data: bytes.Repeat([]byte{byte(n)}, rapid.IntRange(0, 20).Draw(rt, "size"))}
				etag := rapid.SampledFrom([]string{"", `W/"datetime'2026-01-02T03%3A04%3A05Z'"`}).Draw(rt, "etag")
				kind := rapid.SampledFrom([]aztables.TransactionType{aztables.TransactionTypeAdd, aztables.TransactionTypeInsertReplace, aztables.TransactionTypeDelete}).Draw(rt, "kind")
				entity, err := r.encode()
				if err != nil {
					rt.Fatal(err)
				}
				a := aztables.TransactionAction{ActionType: kind, Entity: entity}
				switch kind {
				case aztables.TransactionTypeAdd:
					r.gone = false
					a.Entity, _ = r.encode()
					b.add(row{rk: r.rk, data: r.data})
				case aztables.TransactionTypeDelete:
					b.remove(r.rk)
				default:
					if r.etag = etag; etag != "" {
						match := azcore.ETag(etag)
						a.ActionType, a.IfMatch = aztables.TransactionTypeUpdateReplace, &match
					}
					if etag != "" && late == "" {
						late = etag
						b.swap(r)
					} else {
						b.replace(r)
					}
				}
				actions = append(actions, a)
			}
			if err := b.end(); err != nil {
				rt.Fatal(err)
			}
			defer b.free()
			etag, err := s.directory.submit(t.Context(), b, late)
			if err != nil || etag != `W/"datetime'0'"` {
				rt.Fatalf("version %q, %v", etag, err)
			}
			ours := sent
			if _, err := sdk.SubmitTransaction(t.Context(), actions, nil); err != nil {
				rt.Fatal(err)
			}
			sameOperations(t, ours, sent)
		})
	}
}

// A value is split over as many properties as it needs, none above 64 KiB, and
// how long the entity will be is known before.
func TestChunks(t *testing.T) {
	for _, size := range []int{0, 1, 61439, 61440, 61441, 122880, 921600} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * i >> 3)
		}
		r := row{pk: "p", rk: "r", data: data}
		b, err := r.encode()
		if err != nil || len(b) != len(`{"PartitionKey":"p","RowKey":"r"`)+r.tailSize() {
			t.Fatalf("%d bytes: entity of %d, %v", size, len(b), err)
		}
		var props map[string]any
		if err := json.Unmarshal(b, &props); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for i := 0; props[fmt.Sprint("D", i)] != nil; i++ {
			chunk, err := base64.StdEncoding.DecodeString(props[fmt.Sprint("D", i)].(string))
			if err != nil || len(chunk) > 65536 || props[fmt.Sprintf("D%d@odata.type", i)] != "Edm.Binary" {
				t.Errorf("%d bytes: D%d of %d, %v", size, i, len(chunk), err)
			}
			got = append(got, chunk...)
		}
		if again, err := decodeRow(b); err != nil || !bytes.Equal(got, data) || !bytes.Equal(again.data, data) {
			t.Errorf("%d bytes come back as %d and %d, %v", size, len(got), len(again.data), err)
		}
	}
	if _, err := (row{pk: "p", rk: "r", data: make([]byte, 921601)}).encode(); !fault.Is(err, fault.Invalid) {
		t.Errorf("more than a row holds: %v", err)
	}
}

// The address of a key with a quote is the one that aztables has for a single
// row.
func TestQuotedAddress(t *testing.T) {
	var sent *http.Request
	_, sdk := plugged(t, "https://acc.table.core.windows.net", transport(func(r *http.Request, _ []byte) *http.Response {
		sent = r
		return answer(204, "", "")
	}))
	for _, key := range []string{"o'neil", "''", "é ü", "a%27b", "~!$&'()*+,;=:@"} {
		e, _ := row{pk: key, rk: key}.encode()
		if _, err := sdk.UpsertEntity(t.Context(), e, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace}); err != nil {
			t.Fatal(err)
		}
		b := newBatch("https://acc.table.core.windows.net/directory", key)
		b.replace(row{rk: key})
		if want := "PUT " + sent.URL.String() + " HTTP/1.1\r\n"; b.end() != nil || !bytes.Contains(b.body, []byte(want)) {
			t.Errorf("%s: not %s in\n%s", key, want, b.body)
		}
	}
}

// A batch of everything says what aztables would of the same rows encoded by
// encoding/json, the fence first and under its version.
func TestCommitBody(t *testing.T) {
	var sent []operation
	s, sdk := plugged(t, "https://acc.table.core.windows.net", transport(func(r *http.Request, body []byte) *http.Response {
		if r.Method == http.MethodGet {
			return answer(404, "application/json", `{"odata.error":{"code":"ResourceNotFound"}}`)
		}
		sent = operations(t, r.Header.Get("Content-Type"), body)
		return answer(202, innerType, answered(len(sent)))
	}))
	p, q := person(1), person(2)
	p.DisplayName, p.OtherMails = "Zoë <z> & \"q\" \u2028", []string{"a@b", "c@d"}
	changes := []directory.Change{{Number: 5, Type: directory.Created, ID: p.ID, Run: "r", At: time.Unix(1, 0).UTC(), Set: directory.Difference(&directory.Person{}, &p.Person)},
		{Number: 6, Type: directory.Archived, ID: q.ID, Run: "r", At: time.Unix(1, 0).UTC(), Reason: directory.Missing}}
	f := job.Fence{Version: "v1", Seq: 6, Index: job.Index{From: 2, Rows: 3}}
	got, err := s.Commit(t.Context(), "c1", f, directory.Batch{Add: []directory.Record{p}, Put: []directory.Record{q}, Changes: changes,
		Erase: []string{person(3).ID}, DropSeen: []string{"s!e!1"}, Shards: []directory.Shard{{Name: "61", Next: "n", Pages: 2}}})
	if err != nil || got.Version != `W/"datetime'0'"` {
		t.Fatalf("version %q, %v", got.Version, err)
	}
	ours := sent
	f.Seq, f.Commit, f.Run.Transactions = 7, got.Commit, 1
	match := azcore.ETag("v1")
	var actions []aztables.TransactionAction
	action := func(kind aztables.TransactionType, rk string, v any) {
		r := row{pk: "c1", rk: rk}
		if b, ok := v.([]byte); ok {
			r.data = b
		} else if v != nil {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
			r.data = bytes.TrimSpace(b.Bytes())
		}
		if strings.HasPrefix(rk, changesPrefix) {
			r.data, r.packed = s2.Encode(nil, r.data), true
		}
		entity, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		a := aztables.TransactionAction{ActionType: kind, Entity: entity}
		if rk == fenceKey {
			a.IfMatch = &match
		}
		actions = append(actions, a)
	}
	action(aztables.TransactionTypeUpdateReplace, "c!", f)
	action(aztables.TransactionTypeAdd, "u!"+p.ID, p)
	action(aztables.TransactionTypeInsertReplace, "u!"+q.ID, q)
	action(aztables.TransactionTypeInsertReplace, "q!61", map[string]any{"name": "61", "next": "n", "pages": 2})
	action(aztables.TransactionTypeDelete, "u!"+person(3).ID, nil)
	action(aztables.TransactionTypeDelete, "s!e!1", nil)
	action(aztables.TransactionTypeAdd, "e!0000000000000000006", changes)
	var index []byte
	for n, m := range []directory.Mark{0, directory.MarkOf(&p), directory.MarkOf(&q), 0} {
		if n > 0 {
			k := key(n)
			index = append(index, k[:]...)
			for shift := 56; shift >= 0; shift -= 8 {
				index = append(index, byte(m>>shift))
			}
		}
	}
	action(aztables.TransactionTypeAdd, "i!0000000000000000007", index)
	if _, err := sdk.SubmitTransaction(t.Context(), actions, nil); err != nil {
		t.Fatal(err)
	}
	sameOperations(t, ours, sent)
	if _, ok := ours[0].Header["If-Match"]; !ok || ours[0].Method != http.MethodPut {
		t.Errorf("the fence is written by %s with %v", ours[0].Method, ours[0].Header)
	}
}
