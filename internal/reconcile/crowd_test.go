package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const crowdSize = 25

// crowd answers users/delta with one page of people as large as Entra allows.
// The stand-in's directory has no such page.
type crowd struct{ other, proxies []string }

func (c crowd) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del("Accept-Encoding") // the page is not compressed
	resp, err := wires.Transport.RoundTrip(req)
	if err != nil || !strings.Contains(req.URL.Path, "/users/delta") {
		return resp, err
	}
	_ = resp.Body.Close()
	people := []map[string]any{}
	for i := range crowdSize {
		people = append(people, map[string]any{
			"id": fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), "displayName": fmt.Sprint("Person ", i),
			"otherMails": c.other, "proxyAddresses": c.proxies,
		})
	}
	b, err := json.Marshal(map[string]any{"value": people, "@odata.deltaLink": "https://" + req.URL.Host + "/v1.0/users/delta?$deltatoken=x"})
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}
