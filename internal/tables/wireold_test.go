package tables

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

var fixtures = flag.String("fixtures", "", "write rows of every kind, as this build does, to this file, which must not exist")

// The keys of the fixtures.
const (
	fixtureConnection = "fixturefixturefixturefixtu"
	fixtureID         = "00000001-0000-0000-0000-000000000000"
	fixtureSet        = "set"
)

var fixtureTime = time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

// fill gives every field a value of its own, however deep.
func fill(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(fixtureTime.Add(time.Duration(*n) * time.Second)))
		return
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes(fmt.Appendf(nil, `"v%d"`, *n))
		return
	case v.Type() == reflect.TypeFor[directory.Set]():
		v.SetBytes(fmt.Appendf(nil, `{"s%d":"v%d"}`, *n+1, *n+2))
		*n += 2
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 200))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	}
}

func full[T any]() (v T) {
	n := 0
	fill(reflect.ValueOf(&v).Elem(), &n)
	return v
}

// writeRows writes a fixture, by the store itself.
func writeRows(t *testing.T, name string) {
	s, ctx := newStore(t), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := full[connection.Connection]()
	c.ID, c.Status = fixtureConnection, connection.Held
	must(s.CreateConnection(ctx, c))
	s.Now = func() time.Time { return fixtureTime }
	must(s.Claim(ctx, fixtureID, fixtureConnection))
	must(s.PutNonce(ctx, fixtureConnection, []byte(`{"a":"b"}`), fixtureTime))
	must(s.PutWave(ctx, full[connection.Wave]()))
	e := full[connection.Entry]()
	e.Connection = fixtureConnection
	must(s.Note(ctx, e))
	r := full[job.Run]()
	r.ID = "r1"
	must(s.PutRun(ctx, fixtureConnection, r))

	person, team, license, mailbox, position := full[directory.Record](), full[directory.TeamRecord](), full[directory.LicenseRecord](), full[directory.MailboxRecord](), full[directory.PositionRecord]()
	person.ID, team.ID, license.ID, mailbox.ID, position.ID = fixtureID, fixtureID, fixtureID, fixtureID, fixtureID
	change := full[directory.Change]()
	var lists []directory.Listing
	for _, l := range []directory.List{directory.PendingPeople, directory.HeldPeople, directory.PendingTeams, directory.HeldTeams, directory.PendingMemberships, directory.HeldMemberships} {
		lists = append(lists, directory.Listing{List: l, ID: fixtureID})
	}
	_, err := s.Commit(ctx, fixtureConnection, full[job.Fence](), directory.Batch{
		Put: []directory.Record{person}, Teams: []directory.TeamRecord{team}, Licenses: []directory.LicenseRecord{license}, Mailboxes: []directory.MailboxRecord{mailbox},
		Positions: []directory.PositionRecord{position}, Changes: []directory.Change{change}, Lists: lists, Erased: []string{fixtureID},
		Rosters:  []directory.Roster{{Team: fixtureID, Bucket: "", Members: []directory.Member{{Key: key(1)}, {Key: key(2), Marks: directory.MarkHeld}}}},
		ScopeSet: fixtureSet, Scope: []string{fixtureID}, Enum: fixtureSet, Seen: []string{fixtureID},
	})
	must(err)

	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	must(err)
	for _, table := range []string{connectionsTable, claimsTable, directoryTable, runsTable, noncesTable, auditTable, serviceTable} {
		pager := server.Client().NewClient(table).NewListEntitiesPager(nil)
		for pager.More() {
			page, err := pager.NextPage(ctx)
			must(err)
			for _, entity := range page.Entities {
				var props map[string]any
				must(json.Unmarshal(entity, &props))
				pk, _ := props["PartitionKey"].(string)
				rk, _ := props["RowKey"].(string)
				if !slices.Contains([]string{pk, rk}, fixtureConnection) && rk != fixtureID && pk != servicePartition {
					continue // another test's
				}
				for name := range props {
					if strings.HasPrefix(name, "odata.") || strings.HasPrefix(name, "Timestamp") {
						delete(props, name)
					}
				}
				line, err := json.Marshal(map[string]any{"table": table, "entity": props})
				must(err)
				_, err = fmt.Fprintf(out, "%s\n", line)
				must(err)
				_, err = server.Client().NewClient(table).DeleteEntity(ctx, pk, rk, nil) // each file is read by itself
				must(err)
			}
		}
	}
	must(out.Close())
}

// held reports what of old is not in now as it was; what is new is none of its
// business.
func held(path string, old, now any) (lost []string) {
	switch old := old.(type) {
	case map[string]any:
		have, ok := now.(map[string]any)
		if !ok {
			return []string{path}
		}
		for name, v := range old {
			lost = append(lost, held(path+"."+name, v, have[name])...)
		}
	case []any:
		have, ok := now.([]any)
		if !ok || len(have) != len(old) {
			return []string{path}
		}
		for i := range old {
			lost = append(lost, held(fmt.Sprintf("%s[%d]", path, i), old[i], have[i])...)
		}
	default:
		if !reflect.DeepEqual(old, now) {
			return []string{fmt.Sprintf("%s: %v, was %v", path, now, old)}
		}
	}
	return lost
}

// Rows of every kind, as released builds wrote them, are read with all that is
// in them. The files are never edited; -fixtures adds one.
func TestRowsOfReleases(t *testing.T) {
	if *fixtures != "" {
		writeRows(t, *fixtures)
	}
	files, err := os.ReadDir("testdata")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	if _, err := os.Stat(fmt.Sprintf("testdata/rows-v%d.jsonl", rowVersion)); err != nil {
		t.Errorf("rows of version %d have no file: write it by -run TestRowsOfReleases -fixtures, and keep those before (%v)", rowVersion, err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "rows-") {
			t.Run(f.Name(), func(t *testing.T) { readRows(t, "testdata/"+f.Name()) })
		}
	}
}

func readRows(t *testing.T, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s, ctx := newStore(t), t.Context()
	_, _ = s.Connection(ctx, "none") // makes the tables
	_, _ = s.Fence(ctx, fixtureConnection)
	_, _, _ = s.Claims(ctx, "", 1)
	_, _ = s.TakeNonce(ctx, "none", fixtureTime)
	_, _ = s.Wave(ctx)
	_, _, _ = s.Entries(ctx, fixtureConnection, "", 1)
	_, _, _ = s.Runs(ctx, fixtureConnection, "", 1)
	type stored struct {
		Table  string
		Entity json.RawMessage
	}
	values := map[string]any{} // by table and key
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var st stored
		var keys struct {
			PartitionKey, RowKey, D0 string
			V                        int
		}
		if err := json.Unmarshal(lines.Bytes(), &st); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(st.Entity, &keys); err != nil {
			t.Fatal(err)
		}
		putRaw(t, st.Table, string(st.Entity))
		t.Cleanup(func() {
			_, _ = server.Client().NewClient(st.Table).DeleteEntity(context.Background(), keys.PartitionKey, keys.RowKey, nil)
		})
		data, err := base64.StdEncoding.DecodeString(keys.D0)
		if err != nil {
			t.Fatal(err)
		}
		if keys.V == 2 {
			if data, err = s2.Decode(nil, data); err != nil {
				t.Fatal(err)
			}
		}
		var v any
		binary := strings.HasPrefix(keys.RowKey, rosterPrefix) || strings.HasPrefix(keys.RowKey, indexPrefix)
		if err := json.Unmarshal(data, &v); err != nil && !binary {
			t.Fatal(err)
		}
		kind := st.Table
		if st.Table == directoryTable {
			kind, _, _ = strings.Cut(keys.RowKey, "!")
		}
		values[kind] = v
	}
	read := func(kind string, v any, err error) {
		t.Helper()
		old, ok := values[kind]
		delete(values, kind)
		b, marshalErr := json.Marshal(v)
		var now any
		if err != nil || !ok || marshalErr != nil || json.Unmarshal(b, &now) != nil {
			t.Errorf("%s: in the fixture %t: %v", kind, ok, err)
			return
		}
		for _, l := range held(kind, old, now) {
			t.Error("lost: ", l)
		}
	}
	c, err := s.Connection(ctx, fixtureConnection)
	read(connectionsTable, c, err)
	w, err := s.Wave(ctx)
	read(serviceTable, w, err)
	cl, err := s.Owner(ctx, fixtureID)
	read(claimsTable, map[string]any{"connection": cl, "at": values[claimsTable].(map[string]any)["at"]}, err)
	es, _, err := s.Entries(ctx, fixtureConnection, "", 2)
	read(auditTable, first(es), err)
	nonce, err := s.TakeNonce(ctx, fixtureConnection, fixtureTime.Add(-time.Second)) // before it expires
	read(noncesTable, map[string]any{"value": json.RawMessage(nonce), "expires": fixtureTime}, err)
	f, err := s.Fence(ctx, fixtureConnection)
	read("c", f, err)
	r, err := s.Run(ctx, fixtureConnection, "r1")
	read(runsTable, r, err)
	ps, _, err := s.People(ctx, fixtureConnection, "", 2)
	read("u", first(ps), err)
	ts, _, err := s.Teams(ctx, fixtureConnection, "", 2)
	read("t", first(ts), err)
	ls, err := s.Licenses(ctx, fixtureConnection)
	read("l", first(ls), err)
	ms, _, err := s.Mailboxes(ctx, fixtureConnection, "", 2)
	read("b", first(ms), err)
	pos, _, err := s.Positions(ctx, fixtureConnection, "", 2)
	read("p", first(pos), err)
	cs, err := s.Changes(ctx, fixtureConnection, 0, 10)
	read("e", cs, err)

	want := []directory.Roster{{Team: fixtureID, Members: []directory.Member{{Key: key(1)}, {Key: key(2), Marks: directory.MarkHeld}}}}
	if rs, err := s.Rosters(ctx, fixtureConnection, fixtureID); err != nil || !reflect.DeepEqual(rs, want) {
		t.Errorf("rosters %+v, want %+v (%v)", rs, want, err)
	}
	one, _ := directory.Key(fixtureID)
	sets := map[string]func() (map[[16]byte]struct{}, error){
		"s": func() (map[[16]byte]struct{}, error) { return seenOf(s, ctx, fixtureConnection, fixtureSet) },
		"g": func() (map[[16]byte]struct{}, error) { return s.Scope(ctx, fixtureConnection, fixtureSet) },
		"k": func() (map[[16]byte]struct{}, error) { return s.ErasedPeople(ctx, fixtureConnection) },
	}
	for kind, read := range sets {
		if ids, err := read(); err != nil || !reflect.DeepEqual(ids, map[[16]byte]struct{}{one: {}}) {
			t.Errorf("%s: %v, %v", kind, ids, err)
		}
		delete(values, kind)
	}
	for _, l := range []directory.List{directory.PendingPeople, directory.HeldPeople, directory.PendingTeams, directory.HeldTeams, directory.PendingMemberships, directory.HeldMemberships} {
		if ids, err := s.Listed(ctx, fixtureConnection, l, "", 2); err != nil || !slices.Equal(ids, []string{fixtureID}) {
			t.Errorf("list %s: %v, %v", l, ids, err)
		}
		delete(values, strings.TrimSuffix(string(l), "!"))
	}
	delete(values, "m")
	if _, ok := values["i"]; ok { // since version 2
		people := 0
		err := s.Index(ctx, fixtureConnection, 0, func(row []directory.Indexed) error {
			for _, e := range row {
				if people++; e.Key != one || e.Mark == 0 {
					t.Errorf("index %+v", e)
				}
			}
			return nil
		})
		if err != nil || people != 1 {
			t.Errorf("index of %d, %v", people, err)
		}
		delete(values, "i")
	}
	if len(values) > 0 {
		t.Errorf("not read: %v", values)
	}
}

func first[T any](all []T) any {
	if len(all) != 1 {
		return fmt.Sprintf("%d rows", len(all))
	}
	return all[0]
}
