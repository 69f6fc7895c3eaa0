package tablestore

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// A store in another process serves the SDK over TLS and over plain HTTP.
func TestServe(t *testing.T) {
	for _, kind := range []string{"plain", "tls"} {
		c := startChild(t, kind)
		if (c.CA == nil) != (kind == "plain") {
			t.Errorf("%s: CA %q", kind, c.CA)
		}
		service, err := aztables.NewServiceClient(c.URL, c.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: c.client,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := service.CreateTable(t.Context(), "table", nil); err != nil {
			t.Fatal(err)
		}
		client := service.NewClient("table")
		if _, err := client.SubmitTransaction(t.Context(), []aztables.TransactionAction{
			{ActionType: aztables.TransactionTypeAdd, Entity: entity(t, "p", "r", map[string]any{"N": 1})},
		}, nil); err != nil {
			t.Fatal(err)
		}
		got, err := client.GetEntity(t.Context(), "p", "r", nil)
		if err != nil || plain(t, got.Value)["N"] != 1.0 {
			t.Errorf("%s: %s, %v", kind, got.Value, err)
		}
		c.stop(t)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Kind: Memory}, {Kind: Azurite, Plain: true, NodeModules: modules}, {Kind: Azurite, Plain: true}} {
		if s, err := Start(t.Context(), o); err == nil {
			_ = s.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
	t.Setenv("ROLLCALL_TABLES", "memory")
	s, err := Start(t.Context(), Options{Plain: true})
	if err != nil {
		t.Fatal("the environment chooses:", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A large heap grows by a tenth between two collections, a small one by 32 MiB
// but not without bounds.
func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 1000, 1 << 20: 1000, 32 << 20: 100, 160 << 20: 20, 4 << 30: 10} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes: %d %%, want %d", live, got, want)
		}
	}
}

// A batch is read as the standard library does.
func TestBatchLikeLibrary(t *testing.T) {
	body := people("https://127.0.0.1:1/devstoreaccount1", 0, 100, 400)
	for what, body := range map[string]string{
		"CRLF": string(body), "LF": strings.ReplaceAll(string(body), "\r\n", "\n"),
		"around": "preamble\r\n" + string(body) + "epilogue",
	} {
		got, err := subrequests(batchType, body)
		if err != nil {
			t.Fatal(what, err)
		}
		var want []subrequest
		outer := multipart.NewReader(strings.NewReader(body), "batch_36522ad7-fc75-4b56-8c71-56071383e77b")
		set, err := outer.NextRawPart()
		if err != nil {
			t.Fatal(what, err)
		}
		_, params, err := mime.ParseMediaType(set.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		for inner := multipart.NewReader(set, params["boundary"]); ; {
			p, err := inner.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(what, err)
			}
			b, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
			if err != nil {
				t.Fatal(what, err)
			}
			want = append(want, subrequest{method: r.Method, path: r.URL.Path, body: string(b[bytes.IndexByte(b, '{') : bytes.LastIndexByte(b, '}')+1])})
		}
		if len(got) != 100 || len(want) != 100 {
			t.Fatalf("%s: %d requests, the library has %d", what, len(got), len(want))
		}
		for i := range got {
			if v, ok := got[i].header("content-type"); !ok || v != "application/json" {
				t.Errorf("%s: header %q", what, v)
			}
			if got[i].head = ""; got[i] != want[i] {
				t.Errorf("%s: request %d is %+v, want %+v", what, i, got[i], want[i])
			}
		}
	}
}

// What only the store in memory does: smaller pages, a table by its name, a
// batch of one read, and saying so where it does nothing.
func TestMemory(t *testing.T) {
	s, err := Start(t.Context(), Options{Kind: Memory, Plain: true, Pages: Pages{Rows: 2}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	tr := s.Address().Transport()
	t.Cleanup(tr.CloseIdleConnections)
	service, err := aztables.NewServiceClient(s.URL(), s.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: tr}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.CreateTable(t.Context(), "people", nil); err != nil {
		t.Fatal(err)
	}
	c := service.NewClient("people")
	for _, rk := range []string{"a", "b", "c"} {
		if _, err := c.AddEntity(t.Context(), entity(t, "p", rk, map[string]any{"S": "here"}), nil); err != nil {
			t.Fatal(err)
		}
	}
	page, err := c.NewListEntitiesPager(nil).NextPage(t.Context())
	if err != nil || len(page.Entities) != 2 || page.NextRowKey == nil {
		t.Errorf("a page of %d, %v", len(page.Entities), err)
	}
	read := func(rk string) string {
		return "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
			"GET " + s.URL() + "/people(PartitionKey='p',RowKey='" + rk + "') HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n--b--\r\n"
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		holds              string
	}{
		{"GET", "/Tables('PEOPLE')", "", 200, `"TableName":"people"`},
		{"GET", "/Tables('peopl')", "", 404, "ResourceNotFound"},
		{"GET", "/people?comp=acl", "", 501, "NotImplemented"},
		{"PUT", "/people?comp=acl", "<SignedIdentifiers/>", 501, "NotImplemented"},
		{"POST", "/$batch", read("b"), 202, `"RowKey":"b"`},
		{"POST", "/$batch", read("x"), 202, "HTTP/1.1 404 Not Found"},
		{"GET", "/people()?NextPartitionKey=%25&NextRowKey=%25", "", 400, "InvalidInput"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL()+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + s.Address().Token}, "Accept": {"application/json"}, "Content-Type": {"multipart/mixed; boundary=b"}}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != tt.status || !strings.Contains(string(b), tt.holds) {
			t.Errorf("%s %s: %d %s, %v", tt.method, tt.path, resp.StatusCode, b, err)
		}
	}
}
