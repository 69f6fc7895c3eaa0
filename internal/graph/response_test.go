package graph_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

// onePerson is a page of one person, so long that no buffer holds it by chance.
func onePerson(name string) string {
	return `{"value":[{"id":"` + someone + `","displayName":"` + name + `","otherMails":["` + strings.Repeat("x", 100_000) + `"]}],"@odata.deltaLink":"x"}`
}

// However a body is packed, it is read whole or not at all.
func TestEncodings(t *testing.T) {
	page := onePerson("Ann")
	packed := zipped(page)
	half := len(page) / 2
	flipped := func(at int) []byte {
		b := bytes.Clone(packed)
		b[at] ^= 1
		return b
	}
	for name, x := range map[string]struct {
		encoding string
		body     []byte
		length   int // the header, if it is not the body's
		whole    bool
	}{
		"plain":             {"", []byte(page), 0, true},
		"identity":          {"identity", []byte(page), 0, true},
		"gzip":              {"gzip", packed, 0, true},
		"GZIP":              {"GZIP", packed, 0, true},
		"two members":       {"gzip", append(zipped(page[:half]), zipped(page[half:])...), 0, true},
		"half":              {"gzip", packed[:len(packed)/2], 0, false},
		"no trailer":        {"gzip", packed[:len(packed)-8], 0, false},
		"half a trailer":    {"gzip", packed[:len(packed)-3], 0, false},
		"no header":         {"gzip", []byte(page), 0, false},
		"half a header":     {"gzip", packed[:5], 0, false},
		"nothing":           {"gzip", nil, 0, false},
		"wrong checksum":    {"gzip", flipped(len(packed) - 8), 0, false},
		"wrong size":        {"gzip", flipped(len(packed) - 1), 0, false},
		"wrong data":        {"gzip", flipped(len(packed) / 2), 0, false},
		"more behind":       {"gzip", append(bytes.Clone(packed), "more"...), 0, false},
		"another encoding":  {"br", []byte(page), 0, false},
		"packed twice":      {"gzip", zipped(string(packed)), 0, false},
		"not said":          {"", packed, 0, false},
		"short, plain":      {"", []byte(page), len(page) + 1, false},
		"short":             {"gzip", packed, len(packed) + 1, false},
		"whole, page short": {"gzip", zipped(page[:len(page)-1]), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); got != "gzip" {
					t.Errorf("asks for %q", got)
				}
				if x.encoding != "" {
					w.Header().Set("Content-Encoding", x.encoding)
				}
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", strconv.Itoa(max(x.length, len(x.body))))
				_, _ = w.Write(x.body)
			})
			for range 2 { // the second with what the first leaves
				p, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil)
				if x.whole != (err == nil) || err != nil && (!fault.Is(err, fault.Unknown) || p.Items != nil || p.Delta != "") {
					t.Fatalf("%d items, %v", len(p.Items), err)
				}
				if x.whole && (len(p.Items) != 1 || p.Items[0].DisplayName != "Ann") {
					t.Fatalf("%d items", len(p.Items))
				}
			}
		})
	}
}

// A refusal is told by its status and its code, packed or not; a body that
// cannot be read leaves the status.
func TestPackedRefusals(t *testing.T) {
	const text = `{"error":{"code":"TooManyRequests","message":"Ann Smith"}}`
	packed := zipped(text)
	for name, x := range map[string]struct {
		encoding, kind string
		body           []byte
		code           string
	}{
		"plain":        {"", "application/json", []byte(text), "TooManyRequests"},
		"with charset": {"", "application/json;odata.metadata=minimal; charset=utf-8", []byte(text), "TooManyRequests"},
		"packed":       {"gzip", "application/json", packed, "TooManyRequests"},
		"cut":          {"gzip", "application/json", packed[:len(packed)-9], ""},
		"no JSON":      {"", "application/json", []byte("<html>"), ""},
		"HTML":         {"", "text/html", []byte(text), ""},
		"no type":      {"", "", []byte(text), ""},
		"another":      {"br", "application/json", []byte(text), ""},
		"a list":       {"", "application/json", []byte(`[1]`), ""},
		"null":         {"", "application/json", []byte(`null`), ""},
		"no error":     {"", "application/json", []byte(`{}`), ""},
		"empty":        {"", "application/json", nil, ""},
	} {
		c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{x.kind}
			if x.encoding != "" {
				w.Header().Set("Content-Encoding", x.encoding)
			}
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write(x.body)
		})
		_, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil)
		if e := fault.Of(err); err == nil || e.Kind != fault.Throttled || e.Code != x.code || e.After < 17*time.Second || strings.Contains(err.Error(), "Ann") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a page has given does not change when later pages use its memory.
func TestPagesKeepTheirOwn(t *testing.T) {
	c, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped(onePerson(r.URL.Query().Get("name"))))
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var kept []directory.Item
			for j := range 10 {
				p, err := c.People(t.Context(), connection.Access{Tenant: "t"}, fmt.Sprintf("%s/v1.0/users/delta?name=n%d-%d", base, i, j), nil)
				if err != nil {
					t.Error(err)
					return
				}
				kept = append(kept, p.Items...)
			}
			for j, it := range kept {
				if it.DisplayName != fmt.Sprintf("n%d-%d", i, j) || it.ID != someone || it.OtherMails[0] != strings.Repeat("x", 100_000) {
					t.Errorf("page %d of %d: %s", j, i, it.DisplayName)
				}
			}
		})
	}
	wg.Wait()
}
