package tables

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// A row that is written twice is refused before the service does, whichever
// fields name it, and the message names the kind and nobody.
func TestRowTwice(t *testing.T) {
	s, w := recordedStore(t)
	ctx, id := context.Background(), person(1).ID
	on := directory.Listing{List: directory.HeldTeams, ID: id}
	off := on
	off.Off = true
	for kind, b := range map[string]directory.Batch{
		"u!":  {Add: []directory.Record{person(1)}, Put: []directory.Record{person(1)}},
		"t!":  {Teams: []directory.TeamRecord{team(1), team(2), team(1)}},
		"m!":  {Rosters: []directory.Roster{roster(1, "", 0, 3, 1), {Team: teamID(1)}}},
		"ht!": {Lists: []directory.Listing{on, off}},
		"k!":  {Erased: []string{id}, Unerased: []string{id}},
		"e!": {Changes: []directory.Change{{Number: 1}},
			Redact: []directory.ChangeRow{{Row: fmt.Sprintf("e!%019d", 1), Changes: []directory.Change{{Number: 1}}}}},
		"s!": {DropSeen: []string{"s!e!1", "s!e!1"}},
	} {
		_, err := s.Commit(ctx, fresh(), job.Fence{}, b)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), kind) || strings.Contains(err.Error(), id) {
			t.Errorf("%s: error %v", kind, err)
		}
	}
	if sent := w.take(); len(sent) > 0 {
		t.Errorf("%d requests were sent", len(sent))
	}
}

// A batch is refused by its size before it is sent, and what is allowed is
// within the service's 4 MiB.
func TestTransactionSize(t *testing.T) {
	s, w := recordedStore(t)
	ctx, c := context.Background(), fresh()
	big := func(n, bytes int) directory.Record {
		p := person(n)
		p.OtherMails = []string{strings.Repeat("a", bytes)}
		return p
	}
	var b directory.Batch
	for n := range 5 {
		b.Add = append(b.Add, big(n, 680<<10)) // 907 KiB each as base64
	}
	_, err := s.Commit(ctx, c, job.Fence{}, b)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "more than 4128768 bytes") { // 4 MiB less 64 KiB
		t.Errorf("error %v", err)
	}
	if sent := w.take(); len(sent) > 0 {
		t.Errorf("%d requests were sent", len(sent))
	}
	b.Add = b.Add[:3]
	for n := 4; len(b.Add) < 96; n++ {
		b.Add = append(b.Add, big(n, 9700-n))
	}
	f := job.Fence{Run: job.Run{Why: strings.Repeat("<", 30<<10)}}
	if _, err := s.Commit(ctx, c+"~preview", f, b); err != nil {
		t.Fatal(err)
	}
	sent := w.take()
	if !slices.ContainsFunc(sent, func(r request) bool { return strings.Contains(r.url, "$batch") }) {
		t.Error("no transaction was sent")
	}
	for _, r := range sent {
		if strings.Contains(r.url, "$batch") && (len(r.body) < 4000000 || len(r.body) > 4128768) {
			t.Errorf("body of %d bytes", len(r.body))
		}
	}
	t.Run("a byte too many", func(t *testing.T) {
		b := newBatch(s.directory.url, c)
		defer b.free()
		for n := range 4 {
			b.replace(row{rk: fmt.Sprint(n), data: make([]byte, 700<<10)})
		}
		room := maxBody - len(closing) - len(b.body) // for one more row as base64, and what is beside it
		b.replace(row{rk: "4", data: make([]byte, room/4*3-600)})
		room = maxBody - len(closing) - len(b.body)
		if b.err != nil || room <= 0 {
			t.Fatal(room, b.err)
		}
		if b.body = append(b.body, make([]byte, room)...); b.end() != nil || len(b.body) != 4128768 {
			t.Errorf("%d bytes are refused: %v", len(b.body), b.err)
		}
		b.err, b.body = nil, b.body[:len(b.body)-len(closing)]
		if b.replace(row{rk: "5"}); b.err == nil {
			t.Error("more is taken")
		}
	})
	t.Run("too many rows", func(t *testing.T) {
		var b directory.Batch
		for n := range 100 {
			b.Put = append(b.Put, person(n))
		}
		if _, err := s.Commit(ctx, fresh(), job.Fence{}, b); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "101") {
			t.Errorf("error %v", err)
		}
	})
}

// A full batch with all that goes beside its rows fits into a transaction.
func TestFullestBatch(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	b := directory.Batch{Enum: "e", Seen: []string{person(1).ID},
		Changes: []directory.Change{{Number: 1, Type: directory.Created, At: time.Unix(0, 0).UTC()}}}
	for n := range directory.MaxRows {
		b.Put = append(b.Put, person(n))
	}
	f, err := s.Commit(ctx, c, job.Fence{Index: job.Index{From: 1}}, b)
	if err != nil {
		t.Fatal(err)
	}
	b.ScopeSet, b.Scope, f.Index, b.Enum = "g", []string{person(1).ID}, job.Index{}, "e2" // of which no run has an index too
	b.Changes[0].Number = 2
	if _, err := s.Commit(ctx, c, f, b); err != nil {
		t.Error(err)
	}
}
