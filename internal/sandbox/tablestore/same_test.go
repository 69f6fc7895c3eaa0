package tablestore

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// step is one request, in terms that mean the same to both stores.
type step struct {
	verb    string
	pk, rk  string
	props   map[string]any
	match   string // "", "any", "current" or "stale"
	actions []step // of a transaction
	filter  string
	sel     string
	top     int32
}

var (
	palette = []map[string]any{
		{"S": "text"}, {"S": "it's <ü> \"q\" \\ 😀"}, {"S": ""}, {"N": 1}, {"N": -7}, {"F": 2.5}, {"F": 7, "F@odata.type": "Edm.Double"}, {"B": true}, {"B": false},
		{"L": "1099511627776", "L@odata.type": "Edm.Int64"}, {"L": "3", "L@odata.type": "Edm.Int64"}, {"X": "AAEC", "X@odata.type": "Edm.Binary"},
		{"D": "2026-03-01T12:00:00Z", "D@odata.type": "Edm.DateTime"}, {"G": "0f8fad5b-d9cb-469f-a165-70867728950e", "G@odata.type": "Edm.Guid"},
		{"F": "NaN", "F@odata.type": "Edm.Double"}, {"S": nil}, {"N": "12", "N@odata.type": "Edm.Int32"}, {"B": "true", "B@odata.type": "Edm.Boolean"},
	}
	partitionKeys = []string{"p", "q", "ü 'x'"}
	rowKeys       = []string{"a", "b", "c", "d!1", "ä", "%2B + &"}
	conditions    = []string{
		"PartitionKey eq 'p'", "PartitionKey gt 'p'", "RowKey lt 'c'", "RowKey ge 'b'", "RowKey ne 'a'", "PartitionKey eq 'ü ''x'''",
		"RowKey le 'b'", "N le 1", "N eq 1", "N lt 5", "N ne 1", "F gt 2.0", "B eq true", "L ge 3L", "S eq 'text'", "S ne ''", "X eq X'000102'",
		"D le datetime'2026-03-01T12:00:00Z'", "G eq guid'0f8fad5b-d9cb-469f-a165-70867728950e'", "Timestamp gt datetime'2020-01-01T00:00:00Z'",
	}
)

func drawStep(t *rapid.T, inside bool) step {
	verbs := []string{"add", "replace", "merge", "delete"}
	if !inside {
		verbs = append(verbs, "update", "mergeUpdate", "get", "query", "transaction", "transaction")
	}
	s := step{
		verb: rapid.SampledFrom(verbs).Draw(t, "verb"), pk: rapid.SampledFrom(partitionKeys).Draw(t, "pk"), rk: rapid.SampledFrom(rowKeys).Draw(t, "rk"),
		props: map[string]any{}, match: rapid.SampledFrom([]string{"any", "any", "current", "stale"}).Draw(t, "match"),
	}
	if inside && s.verb != "delete" && rapid.Bool().Draw(t, "unconditional") {
		s.match = ""
	}
	for _, p := range rapid.SliceOfN(rapid.SampledFrom(palette), 0, 3).Draw(t, "props") {
		for k, v := range p {
			name, _, _ := strings.Cut(k, "@")
			if p[name+"@odata.type"] == nil {
				delete(s.props, name+"@odata.type")
			}
			s.props[k] = v
		}
	}
	switch s.verb {
	case "transaction":
		seen := map[string]bool{}
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			a := drawStep(t, true)
			a.pk = "p" // and the SDK does not double quotes in transactions
			if !seen[a.rk] {
				s.actions = append(s.actions, a)
			}
			seen[a.rk] = true
		}
	case "query":
		cs := rapid.SliceOfN(rapid.SampledFrom(conditions), 0, 3).Draw(t, "conditions")
		for i, c := range cs {
			if rapid.Bool().Draw(t, "not") {
				c = "not (" + c + ")"
			}
			if i > 0 {
				c = "(" + s.filter + ")" + rapid.SampledFrom([]string{" and ", " or "}).Draw(t, "op") + c
			}
			s.filter = c
		}
		s.sel = rapid.SampledFrom([]string{"", "", "RowKey", "PartitionKey,RowKey,N,L", "S"}).Draw(t, "select")
		s.top = int32(rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "top"))
	}
	return s
}

// run does a step and returns what a client learns from it.
func (s step) run(t testing.TB, c *aztables.Client) any {
	ctx := t.Context()
	e := entity(t, s.pk, s.rk, s.props)
	switch s.verb {
	case "add":
		r, err := c.AddEntity(ctx, e, nil)
		if err != nil {
			return said(err)
		}
		return plain(t, r.Value)
	case "replace", "merge":
		_, err := c.UpsertEntity(ctx, e, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateMode(s.verb)})
		return said(err)
	case "update", "mergeUpdate":
		mode := map[string]aztables.UpdateMode{"update": aztables.UpdateModeReplace, "mergeUpdate": aztables.UpdateModeMerge}[s.verb]
		_, err := c.UpdateEntity(ctx, e, &aztables.UpdateEntityOptions{UpdateMode: mode, IfMatch: s.etag(t, c)})
		return said(err)
	case "delete":
		_, err := c.DeleteEntity(ctx, s.pk, s.rk, &aztables.DeleteEntityOptions{IfMatch: s.etag(t, c)})
		return said(err)
	case "get":
		r, err := c.GetEntity(ctx, s.pk, s.rk, nil)
		if err != nil {
			return said(err)
		}
		return plain(t, r.Value)
	case "transaction":
		kinds := map[string]aztables.TransactionType{"add": aztables.TransactionTypeAdd, "replace": aztables.TransactionTypeInsertReplace,
			"merge": aztables.TransactionTypeInsertMerge, "delete": aztables.TransactionTypeDelete}
		var as []aztables.TransactionAction
		for _, a := range s.actions {
			as = append(as, aztables.TransactionAction{ActionType: kinds[a.verb], Entity: entity(t, a.pk, a.rk, a.props), IfMatch: a.etag(t, c)})
		}
		_, err := c.SubmitTransaction(ctx, as, nil)
		return said(err)
	}
	o := &aztables.ListEntitiesOptions{Filter: &s.filter, Select: &s.sel, Top: &s.top}
	if s.top == 0 {
		o.Top = nil
	}
	if s.sel == "" {
		o.Select = nil
	}
	var pages [][]map[string]any
	for p := c.NewListEntitiesPager(o); p.More(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return said(err)
		}
		var es []map[string]any
		for _, e := range page.Entities {
			es = append(es, plain(t, e))
		}
		pages = append(pages, es)
	}
	return pages
}

func (s step) etag(t testing.TB, c *aztables.Client) *azcore.ETag {
	tag := azcore.ETag(`W/"datetime'2020-01-01T00%3A00%3A00.0000000Z'"`)
	switch s.match {
	case "":
		return nil
	case "any":
		tag = azcore.ETagAny
	case "current":
		if r, err := c.GetEntity(t.Context(), s.pk, s.rk, nil); err == nil {
			tag = r.ETag
		}
	}
	return &tag
}

// Whatever is asked of Azurite and of the memory, the answers are the same.
func TestSameAnswers(t *testing.T) {
	a, m := serverOf(t, Azurite), serverOf(t, Memory)
	ca, cm := sdk(t, a, a.token), sdk(t, m, m.token)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		name := fmt.Sprintf("same%d", n)
		for _, c := range []*aztables.ServiceClient{ca, cm} {
			if _, err := c.CreateTable(t.Context(), name, nil); err != nil {
				rt.Fatal(err)
			}
		}
		ta, tm := ca.NewClient(name), cm.NewClient(name)
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step { return drawStep(t, false) }), 3, 7).Draw(rt, "steps")
		for i, s := range append(steps, step{verb: "query"}) {
			if diff := cmp.Diff(s.run(t, ta), s.run(t, tm)); diff != "" {
				b, _ := json.Marshal(s.props)
				rt.Fatalf("step %d, %s %+v %s: Azurite -, memory +\n%s", i, s.verb, s, b, diff)
			}
		}
	})
}
