package tables

import (
	"bytes"
	"context"
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// contents is everything that a table stores, with binary values decoded.
func contents(t *testing.T, table string) (all []byte) {
	t.Helper()
	for pager := server.Client().NewClient(table).NewListEntitiesPager(nil); pager.More(); {
		p, err := pager.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entities {
			r, err := decodeRow(e)
			if err != nil {
				continue // of another test
			}
			all = append(append(append(all, e...), r.data...), '\n')
		}
	}
	return all
}

// planted is the name that stands in everything stored of a connection.
func planted(c string) string { return "Penelope of " + c + "." }

// plant stores something of the connection wherever something can be, and
// returns how many rows of each table a purge has to delete.
func plant(t *testing.T, s *Store, c, tenant string) map[string]int {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := person(1)
	p.DisplayName = planted(c)
	for _, part := range []string{c, c + "~preview"} {
		mustCommit(t, s, part, directory.Batch{
			Add:     []directory.Record{p},
			Teams:   []directory.TeamRecord{{Team: directory.Team{ID: person(2).ID, DisplayName: planted(c)}}},
			Lists:   []directory.Listing{{List: directory.HeldPeople, ID: p.ID}},
			Changes: []directory.Change{{Number: 1, Type: directory.Created, ID: p.ID, Set: directory.Set(`{"displayName":"` + planted(c) + `"}`), At: time.Unix(0, 0).UTC()}},
			Enum:    "e", Seen: []string{p.ID}, Erased: []string{person(3).ID},
		})
	}
	for _, run := range []string{"001", "002", "003"} {
		must(s.PutRun(ctx, c, job.Run{ID: run, By: planted(c)}))
	}
	must(s.Claim(ctx, tenant, c))
	must(s.Claim(ctx, tenant+"0", c)) // of a consent that came to no end
	must(s.Note(ctx, entry(c, time.Now(), "offboard")))
	must(s.CreateConnection(ctx, connection.Connection{ID: c, Company: "c", Status: connection.Offboarded}))
	return map[string]int{directoryTable: 14, runsTable: 3, claimsTable: 2}
}

func TestPurgeAll(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	c, tenant, other := fresh(), fresh(), fresh()
	want := plant(t, s, c, tenant)
	neighbors := []string{c + "0", other}
	for _, n := range neighbors {
		plant(t, s, n, fresh())
	}
	if n, err := s.Left(ctx, c); err != nil || n != 17 {
		t.Errorf("%d rows to purge, want 17 (%v)", n, err)
	}
	got, calls := map[string]int{}, 0
	for done := false; !done; calls++ {
		var (
			n   map[string]int
			err error
		)
		if n, done, err = s.PurgeAll(ctx, c, 5); err != nil || calls > 10 {
			t.Fatal(calls, err)
		}
		sum := 0
		for table, k := range n {
			got[table] += k
			sum += k
		}
		if sum > 5+2 { // the fence and the claims, of which a connection has one or two, go beyond the limit
			t.Errorf("%v deleted at once", n)
		}
	}
	if !maps.Equal(got, want) || calls < 4 {
		t.Errorf("deleted %v in %d calls, want %v", got, calls, want)
	}
	if n, err := s.Left(ctx, c); err != nil || n != 0 {
		t.Errorf("%d rows left, %v", n, err)
	}
	if n, done, err := s.PurgeAll(ctx, c, 5); err != nil || !done || len(n) != 0 {
		t.Errorf("once more: %v, %v, %v", n, done, err)
	}
	for _, table := range []string{directoryTable, runsTable, claimsTable} {
		b := contents(t, table)
		if bytes.Contains(b, []byte(planted(c))) {
			t.Errorf("table %s still holds a name", table)
		}
		if table != claimsTable && !bytes.Contains(b, []byte(planted(other))) {
			t.Errorf("table %s does not show the names that it holds", table)
		}
		if bytes.Contains(b, []byte(`"`+c+`"`)) || bytes.Contains(b, []byte(`"`+c+`~`)) {
			t.Errorf("table %s still names the connection", table)
		}
	}
	for _, n := range neighbors {
		if left, err := s.Left(ctx, n); err != nil || left != 17 {
			t.Errorf("a neighbor has %d rows left, want 17 (%v)", left, err)
		}
	}
	if es, _, err := s.Entries(ctx, c, "", 10); err != nil || len(es) != 1 {
		t.Errorf("%d entries in the audit log, %v", len(es), err)
	}
	if _, err := s.Connection(ctx, c); err != nil {
		t.Errorf("its row: %v", err)
	}
}

// What lies in a partition that no purge knows is found all the same, whatever
// build wrote it.
func TestLeftLooksEverywhere(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	plant(t, s, c, fresh())
	if _, done, err := s.PurgeAll(ctx, c, 1000); err != nil || !done {
		t.Fatal(done, err)
	}
	want := 0
	for _, e := range []struct{ table, pk, rk string }{
		{directoryTable, c + "~later", "zz"}, {directoryTable, c, "~~"}, {runsTable, c, " x"}, {runsTable, c + "~preview", "1"},
	} {
		entity := []byte(`{"PartitionKey":"` + e.pk + `","RowKey":"` + e.rk + `","V":9,"D0@odata.type":"Edm.Binary","D0":"` + base64.StdEncoding.EncodeToString([]byte("x")) + `"}`)
		if _, err := server.Client().NewClient(e.table).UpsertEntity(ctx, entity, nil); err != nil {
			t.Fatal(err)
		}
		want++
		if n, err := s.Left(ctx, c); err != nil || n != want {
			t.Errorf("%s in %s of %s: %d left, want %d (%v)", e.rk, e.pk, e.table, n, want, err)
		}
	}
}

// Whoever adds a table says what a purge does with it.
func TestEveryTableIsJudged(t *testing.T) {
	judged := []string{"audit", "claims", "connections", "directory", "nonces", "runs", "service"}
	var got []string
	for v, i := reflect.TypeFor[Store](), 0; i < v.NumField(); i++ {
		if v.Field(i).Type == reflect.TypeFor[*table]() {
			got = append(got, v.Field(i).Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, judged) {
		t.Errorf("tables %v, judged are %v: see purgeall.go", got, judged)
	}
}
