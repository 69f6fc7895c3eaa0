package reconcile_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// decoys puts before the own link of some pages another one, which belongs to
// something within the page.
type decoys struct {
	next   http.RoundTripper
	base   string
	placed atomic.Int32 // before a link
	pages  atomic.Int32
}

const (
	decoy     = "decoy"
	maxDecoys = 40 // pages: whoever believed them would come to an end, too
)

func (d *decoys) RoundTrip(req *http.Request) (*http.Response, error) {
	q := req.URL.Query()
	if q.Has(decoy) {
		req = req.Clone(req.Context())
		q.Del(decoy)
		req.URL.RawQuery = q.Encode()
	}
	return edits{d.next, "/users", func(m map[string]any) {
		if d.pages.Add(1) > maxDecoys {
			return
		}
		if _, more := m["@odata.nextLink"]; more {
			d.placed.Add(1)
		}
		// Members are sent in the order of their names.
		m["@before"] = map[string]any{"@odata.nextLink": d.base + "/v1.0/users?$top=5&" + decoy + "=1&$filter=" + url.QueryEscape("startswith(userPrincipalName,'a')")}
	}}.RoundTrip(req)
}

// The next page is asked for by what looks like its link, while the page is
// decoded; if that was something else, nobody comes of it.
func TestListWrongGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 90)
	w.spread(fewLetters)
	d := &decoys{next: &lister{next: wires.Transport}, base: strings.TrimSuffix(wires.Microsoft.GraphURL(), "/")}
	w.engine = w.newEngine(t, d)
	w.engine.Lanes = 3
	if r := w.succeed(); r.Created != 90 || r.Updated != 0 {
		t.Errorf("%d created, %d updated", r.Created, r.Updated)
	}
	w.settled()
	if d.placed.Load() == 0 {
		t.Error("no decoy stood before a link")
	}
}
