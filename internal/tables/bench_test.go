package tables

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// colleague is a person with all that a company keeps, 1 kB as JSON.
func colleague(n int) directory.Record {
	yes := true
	p := directory.Record{Person: directory.Person{
		ID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", n), Mail: fmt.Sprintf("first.last%d@contoso.example", n),
		OtherMails: []string{fmt.Sprintf("first%d@private.example", n)}, UserPrincipalName: fmt.Sprintf("first.last%d@contoso.example", n),
		ProxyAddresses: []string{fmt.Sprintf("SMTP:first.last%d@contoso.example", n), fmt.Sprintf("smtp:f%d@contoso.onmicrosoft.example", n)},
		DisplayName:    fmt.Sprintf("First Last %d", n), GivenName: "First", Surname: fmt.Sprintf("Last %d", n),
		BusinessPhones: []string{"+43 1 1234567"}, MobilePhone: "+43 660 1234567", PreferredLanguage: "de-AT", AccountEnabled: &yes, UserType: "Member",
		JobTitle: "Senior Engineer for Something", Department: "Research & Development", OfficeLocation: "Building 7/3.14",
		EmployeeID: fmt.Sprintf("E%07d", n), EmployeeHireDate: "2019-03-01T00:00:00Z",
		AssignedLicenses: []string{"06ebc4ee-1bb5-47dd-8120-11324bc54e06", "f30db892-07e9-47e9-837c-80727f46fd3d"},
		Manager:          fmt.Sprintf("%08x-0000-4000-8000-000000000000", n/8),
	}, Life: directory.Life{Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Changed: int64(n)}}
	return p
}

// crowd is a full batch of new people with the changes that tell of them.
func crowd(size int) (b directory.Batch) {
	for n := 1; n <= size; n++ {
		p := colleague(n)
		b.Add = append(b.Add, p)
		b.Changes = append(b.Changes, directory.Change{Number: int64(n), Type: directory.Created, ID: p.ID, Run: "0000000000001-run", At: p.Created,
			Set: directory.Difference(&directory.Person{}, &p.Person)})
	}
	return b
}

// used is the processor time of this process so far.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(vs []float64) float64 {
	slices.Sort(vs)
	return vs[len(vs)/2]
}

// alternately runs the ways in turn, and reports by name the processor time of
// each for one row, and how often the first goes into each other.
func alternately(b *testing.B, rows int, ways map[string]func()) {
	b.Helper()
	const rounds = 5
	times := map[string][]float64{}
	for _, way := range ways { // so that buffers are there
		way()
	}
	for b.Loop() {
		for range rounds {
			for name, way := range ways {
				n, from := 1, used(b)
				way()
				for used(b)-from < 100*time.Millisecond {
					way()
					n++
				}
				times[name] = append(times[name], float64((used(b)-from).Nanoseconds())/1e3/float64(n*rows))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, all := range times {
		if name != "ours" {
			ratios := make([]float64, len(all))
			for i := range all {
				ratios[i] = all[i] / times["ours"][i]
			}
			b.ReportMetric(median(ratios), "x-"+name)
		}
	}
	for name, all := range times {
		b.ReportMetric(median(slices.Clone(all)), name+"-µs/row")
	}
}

// accepting answers every transaction of n operations, and every upsert, and
// keeps nothing of what it gets.
type accepting struct{ answer string }

func (a accepting) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	resp := answer(204, "", "")
	if strings.HasSuffix(r.URL.Path, "$batch") {
		resp = answer(202, innerType, a.answer)
	}
	resp.Request = r
	return resp, nil
}

// BenchmarkWriter compares a full batch with what the SDK takes for the same
// rows, in transactions and one by one: with a transport that answers at once,
// and over TLS to another process, whose time does not count.
func BenchmarkWriter(b *testing.B) {
	b.Run("null", func(b *testing.B) {
		s, _ := plugged(b, "https://acc.table.core.windows.net", accepting{answered(directory.MaxRows + 3)})
		_, sdk := plugged(b, "https://acc.table.core.windows.net", accepting{answered(directory.MaxRows + 2)})
		writers(b, s, sdk)
	})
	b.Run("http", func(b *testing.B) {
		c, url := remote(b)
		s, sdk := plugged(b, url, c)
		writers(b, s, sdk)
	})
}

func writers(b *testing.B, s *Store, sdk *aztables.Client) {
	const size = directory.MaxRows
	batch, ctx := crowd(size), context.Background()
	fence := job.Fence{Index: job.Index{From: 1}}
	entity := func(rk string, v any) []byte {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			b.Fatal(err)
		}
		return fmt.Appendf(nil, `{"PartitionKey":"c1","RowKey":%q,"V":1,"D0@odata.type":"Edm.Binary","D0":%q}`, rk, base64.StdEncoding.EncodeToString(bytes.TrimSpace(buf.Bytes())))
	}
	var wide [][]byte
	for i := range batch.Add {
		wide = append(wide, columns(&batch.Add[i]))
	}
	b.Logf("a record has %d bytes", len(batch.Add[0].AppendJSON(nil)))
	alternately(b, size, map[string]func(){
		"ours": func() {
			if _, err := s.Commit(ctx, "c1", fence, batch); err != nil {
				b.Fatal(err)
			}
		},
		"transaction": func() {
			actions := []aztables.TransactionAction{{ActionType: aztables.TransactionTypeAdd, Entity: entity(fenceKey, fence)}}
			for i := range batch.Add {
				actions = append(actions, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: entity("u!"+batch.Add[i].ID, &batch.Add[i])})
			}
			actions = append(actions, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: entity("e!1", batch.Changes)})
			if _, err := sdk.SubmitTransaction(ctx, actions, nil); err != nil {
				b.Fatal(err)
			}
		},
		"upsert": func() {
			for i := range batch.Add {
				if _, err := sdk.UpsertEntity(ctx, entity("u!"+batch.Add[i].ID, &batch.Add[i]), &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace}); err != nil {
					b.Fatal(err)
				}
			}
		},
		"upsert-columns": func() { // as they are stored by whoever has a column for each property
			for _, e := range wide {
				if _, err := sdk.UpsertEntity(ctx, e, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace}); err != nil {
					b.Fatal(err)
				}
			}
		},
	})
}

// BenchmarkCommit is one full batch, with its allocations.
func BenchmarkCommit(b *testing.B) {
	const size = directory.MaxRows
	batch := crowd(size)
	s, _ := plugged(b, "https://acc.table.core.windows.net", accepting{answered(size + 3)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Commit(context.Background(), "c1", job.Fence{Index: job.Index{From: 1}}, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/row")
}

// BenchmarkCommitFence is a commit of the fence alone.
func BenchmarkCommitFence(b *testing.B) {
	s, _ := plugged(b, "https://acc.table.core.windows.net", accepting{answered(1)})
	f := full[job.Fence]()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Commit(context.Background(), "c1", f, directory.Batch{}); err != nil {
			b.Fatal(err)
		}
	}
}

// columns is a person as an entity with a column for each property, which is
// how others store them.
func columns(p *directory.Record) []byte {
	var props map[string]any
	b, _ := json.Marshal(p) // strings and times: cannot fail
	_ = json.Unmarshal(b, &props)
	for name, v := range props {
		switch v.(type) {
		case []any, map[string]any:
			text, _ := json.Marshal(v)
			props[name] = string(text)
		}
	}
	props["PartitionKey"], props["RowKey"], props["odata.etag"], props["Timestamp"] = "c1", "u!"+p.ID, `W/"datetime'2026-01-02T03%3A04%3A05Z'"`, "2026-01-02T03:04:05Z"
	b, _ = json.Marshal(props)
	return b
}

// served answers a query with the entities, in pages.
func served(b *testing.B, entities [][]byte) transport {
	var pages []string
	for page := range slices.Chunk(entities, maxPage) {
		pages = append(pages, `{"odata.metadata":"https://acc.table.core.windows.net/$metadata#directory","value":[`+string(bytes.Join(page, []byte(",")))+`]}`)
	}
	return func(r *http.Request, _ []byte) *http.Response {
		at := 0
		if next := r.URL.Query().Get("NextRowKey"); next != "" {
			if _, err := fmt.Sscan(next, &at); err != nil {
				b.Error(err)
			}
		}
		resp := answer(200, "application/json;odata=minimalmetadata;charset=utf-8", pages[at])
		if at+1 < len(pages) {
			resp.Header.Set("x-ms-continuation-NextPartitionKey", "c1")
			resp.Header.Set("x-ms-continuation-NextRowKey", fmt.Sprint(at+1))
		}
		return resp
	}
}

// BenchmarkPrior compares the ways to learn what is stored of 5,000 people: the
// index, made anew or of a row for every batch, against all their columns
// through the SDK; and our records against theirs.
func BenchmarkPrior(b *testing.B) {
	const people = 5000
	var all, recs, loose [][]byte
	var packed []byte
	stored := func(rk string, data []byte) []byte {
		e, err := row{pk: "c1", rk: rk, data: data}.encode()
		if err != nil {
			b.Fatal(err)
		}
		return append([]byte(`{"odata.etag":"W/\"datetime'2026-01-02T03%3A04%3A05Z'\"","Timestamp":"2026-01-02T03:04:05Z",`), e[1:]...)
	}
	want := map[[16]byte]directory.Mark{}
	for n := range people {
		p := colleague(n)
		k, _ := directory.Key(p.ID)
		want[k] = directory.MarkOf(&p)
		packed = appendIndexed(packed, directory.Indexed{Key: k, Mark: want[k]})
		all, recs = append(all, columns(&p)), append(recs, stored("u!"+p.ID, p.AppendJSON(nil)))
	}
	for chunk := range slices.Chunk(packed, indexedSize*directory.MaxRows) {
		loose = append(loose, stored(indexKey(int64(len(loose))), chunk))
	}
	_, sdk := plugged(b, "https://acc.table.core.windows.net", served(b, all))
	read := func(entities [][]byte) func() {
		s, _ := plugged(b, "https://acc.table.core.windows.net", served(b, entities))
		return func() {
			got := make(map[[16]byte]directory.Mark, people)
			err := s.Index(context.Background(), "c1", 1, func(row []directory.Indexed) error {
				for _, e := range row {
					got[e.Key] = e.Mark
				}
				return nil
			})
			if err != nil || len(got) != people || testing.Verbose() && !reflect.DeepEqual(got, want) {
				b.Fatal(len(got), err)
			}
		}
	}
	through := func() {
		n := 0
		for pager := sdk.NewListEntitiesPager(nil); pager.More(); {
			page, err := pager.NextPage(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range page.Entities {
				var p struct {
					ID, Mail, UserPrincipalName, DisplayName, GivenName, Surname, JobTitle, Department string
				}
				if err := json.Unmarshal(e, &p); err != nil || p.ID == "" {
					b.Fatal(err)
				}
				n++
			}
		}
		if n != people {
			b.Fatal(n)
		}
	}
	b.Run("index", func(b *testing.B) {
		alternately(b, people, map[string]func(){"ours": read([][]byte{stored(indexKey(1), packed)}), "columns": through})
	})
	b.Run("loose", func(b *testing.B) {
		alternately(b, people, map[string]func(){"ours": read(loose), "columns": through})
	})
	b.Run("records", func(b *testing.B) {
		s, _ := plugged(b, "https://acc.table.core.windows.net", served(b, recs))
		_, sdk := plugged(b, "https://acc.table.core.windows.net", served(b, recs))
		alternately(b, people, map[string]func(){
			"ours": func() {
				if ps, _, err := s.People(context.Background(), "c1", "", people); err != nil || len(ps) != people {
					b.Fatal(len(ps), err)
				}
			},
			"pager": func() { // the same rows through the SDK's pages
				var ps []directory.Record
				for pager := sdk.NewListEntitiesPager(nil); pager.More(); {
					page, err := pager.NextPage(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					for _, e := range page.Entities {
						var props struct{ D0 []byte }
						var p directory.Record
						if err := json.Unmarshal(e, &props); err != nil || json.Unmarshal(props.D0, &p) != nil {
							b.Fatal(err)
						}
						ps = append(ps, p)
					}
				}
				if len(ps) != people {
					b.Fatal(len(ps))
				}
			},
		})
	})
}
