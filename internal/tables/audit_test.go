package tables

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/sandbox/tablestore"
)

func entry(c string, at time.Time, action string) connection.Entry {
	return connection.Entry{Connection: c, At: at, Source: connection.FromAPI, Actor: "anna", Action: action, Outcome: "asked", Detail: map[string]string{"a": "b"}}
}

// Entries come newest first, each once, in pages of any size.
func TestEntries(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	at := time.Date(2026, 11, 20, 6, 0, 0, 0, time.FixedZone("CET", 3600))
	var want []connection.Entry
	for i := range 7 {
		e := entry(c, at.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("act", i))
		if err := s.Note(ctx, e); err != nil {
			t.Fatal(err)
		}
		e.At = e.At.UTC()
		want = append([]connection.Entry{e}, want...)
	}
	if err := s.Note(ctx, entry(c+"0", at, "another's")); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 3, 7, 8, 5000} {
		var got []connection.Entry
		for after := ""; ; {
			es, next, err := s.Entries(ctx, c, after, limit)
			if err != nil || len(es) > limit || len(got) > len(want) {
				t.Fatalf("limit %d: %d entries, %v", limit, len(es), err)
			}
			got = append(got, es...)
			if after = next; next == "" {
				break
			}
		}
		for i := range got {
			if got[i].ID == "" {
				t.Errorf("limit %d: entry %d has no ID", limit, i)
			}
			got[i].ID = ""
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("limit %d: %+v, want %+v", limit, got, want)
		}
	}
}

// What was noted stays as it is: the same entry again changes nothing, and
// another one with its ID is refused.
func TestNoteOnce(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	e := entry(c, time.Now(), "purged")
	e.ID = "0123-a"
	for range 2 {
		if err := s.Note(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	other := e
	other.Outcome = "done"
	if err := s.Note(ctx, other); !fault.Is(err, fault.Conflict) {
		t.Errorf("another entry with the ID: %v", err)
	}
	es, _, err := s.Entries(ctx, c, "", 10)
	if err != nil || len(es) != 1 || es[0].Outcome != "asked" || !es[0].At.Equal(e.At) {
		t.Errorf("entries %+v, %v", es, err)
	}
	if err := s.Note(ctx, connection.Entry{Connection: c, Action: "x"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an entry without a time: %v", err)
	}
}

// An answer that is lost on the way leaves one entry and no error.
func TestNoteAnswerLost(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	if err := s.Note(ctx, entry(c, time.Now(), "first")); err != nil { // the table is there
		t.Fatal(err)
	}
	cut := 0
	server.OnWrite(func(_ int64, table string) tablestore.Verdict {
		if cut++; table == auditTable && cut == 1 {
			return tablestore.Cut
		}
		return tablestore.Pass
	})
	defer server.OnWrite(nil)
	if err := s.Note(ctx, entry(c, time.Now(), "second")); err != nil || cut == 0 {
		t.Errorf("%d writes, %v", cut, err)
	}
	if es, _, err := s.Entries(ctx, c, "", 10); err != nil || len(es) != 2 {
		t.Errorf("%d entries, %v", len(es), err)
	}
}

// Entries that are about no connection have a log of their own.
func TestEntriesOfAll(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	e := entry("", time.Now(), "wave")
	e.ID = "0-" + fresh()
	if err := s.Note(ctx, e); err != nil {
		t.Fatal(err)
	}
	if es, _, err := s.Entries(ctx, "", "", 1); err != nil || len(es) != 1 || es[0].ID != e.ID {
		t.Errorf("entries %+v, %v", es, err)
	}
}

// No code but that of the audit log touches its table, and that only reads
// and adds.
func TestAuditOnlyGrows(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(`\b(insert|get|readable)\(ctx, s\.audit, `)
	uses := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(b), "\n") {
			if strings.Contains(line, ".audit") {
				uses++
				if name != "audit.go" || len(allowed.FindAllString(line, -1)) != strings.Count(line, ".audit") {
					t.Errorf("%s:%d: %s", name, i+1, line)
				}
			}
		}
	}
	if uses != 3 {
		t.Errorf("%d uses of the table, want one each to read one, to list and to add", uses)
	}
}

// A stored entry is whole or refused.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"id":"r","connection":"p","at":"2026-11-20T06:00:00Z","source":"api","action":"sync","outcome":"asked","detail":{"run":"x"}}`))
	f.Add([]byte(`{"id":"q","connection":"p","at":"2026-11-20T06:00:00Z"}`))
	f.Add([]byte(`{"id":"r","connection":"p"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := toEntry(row{pk: "p", rk: "r", data: b})
		if err != nil {
			return
		}
		if e.ID != "r" || e.Connection != "p" || e.At.IsZero() {
			t.Errorf("%q: accepted %+v", b, e)
		}
	})
}
