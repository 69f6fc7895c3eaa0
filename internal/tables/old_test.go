package tables

import (
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// Rows as the first release wrote them. They are literal: what a customer has
// stored does not change when a type does.
const (
	oldConnection = `{"ID":"ccccccccccccccccccccccccca","Company":"c-1","Name":"Contoso <Ltd>","NamedTenant":"","Tenant":"11111111-2222-3333-4444-555555555555","Status":"held","Problem":{"code":"x","message":"m","remedy":"r","at":"2026-11-20T06:00:00Z"},"Link":2,"LinkExpires":"2026-11-27T06:00:00Z","Approved":{"tenant":"11111111-2222-3333-4444-555555555555","object":"o","by":"b","at":"2026-11-20T06:00:00Z"},"Verify":{"id":"v","attempt":3,"since":"2026-11-20T06:00:00Z"},"NextDue":"2026-11-20T18:00:00Z","Manual":{"at":"2026-11-20T06:00:00Z","run":"r1","sent":true,"by":"anna"},"Again":"r2","LastRun":"r3","LastSuccess":"2026-11-20T06:00:00Z","Decision":{"plan":"p","run":"r4","approve":true,"at":"2026-11-20T06:00:00Z","by":"bob"},"Guard":{"maxCount":50,"maxPercent":10},"CreatedAt":"2026-10-20T06:00:00Z","CreatedBy":"carl"}`
	oldFence      = `{"epoch":3,"seq":41,"commit":"ABC","run":{"id":"r2","trigger":"manual","state":"running","by":"anna","phase":"people","full":true,"why":"first","slices":1,"began":"2026-11-20T06:00:00Z","created":12,"updated":0,"archived":0,"reactivated":0,"unchanged":0,"seen":13,"graphCalls":4,"throttles":0,"retries":0,"transactions":3,"pages":2,"lastChange":0},"slice":2,"attempt":1,"touched":"2026-11-20T06:00:00Z","recent":["r1"],"lastChange":77,"stored":12,"active":10,"pending":1,"people":{"delta":"https://graph.microsoft.com/v1.0/users/delta?$deltatoken=d","deltaAt":"2026-11-20T06:00:00Z","swept":"s","hash":"h","enum":"e1","fresh":true},"plan":{"hash":"ph","run":"r1","at":"2026-11-20T06:00:00Z","count":2,"active":12},"held":2}`
	oldPerson     = `{"id":"00000001-0000-0000-0000-000000000000","otherMails":["a","b"],"displayName":"Zoë <z>","accountEnabled":true,"manager":"m","archived":"2026-11-20T06:00:00Z","reason":"deleted","pending":"missing","held":true,"kept":true,"created":"2026-10-20T06:00:00Z","changed":9}`
	// oldMember is a whole entity, as it was on the wire.
	oldMember = `{"PartitionKey":"%s","RowKey":"u!00000002-0000-0000-0000-000000000000","V":1,"D0@odata.type":"Edm.Binary","D0":"eyJpZCI6IjAwMDAwMDAyLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCIsImNyZWF0ZWQiOiIyMDI2LTEwLTIwVDA2OjAwOjAwWiIsImNoYW5nZWQiOjF9"}`
)

// putRaw stores an entity without any code of this package.
func putRaw(t *testing.T, table, entity string) {
	t.Helper()
	if _, err := server.Client().NewClient(table).UpsertEntity(context.Background(), []byte(entity), nil); err != nil {
		t.Fatal(err)
	}
}

// entityOf is an entity of the first release with a small value.
func entityOf(pk, rk, columns, value string) string {
	return fmt.Sprintf(`{"PartitionKey":%q,"RowKey":%q,"V":1%s,"D0@odata.type":"Edm.Binary","D0":%q}`, pk, rk, columns, base64.StdEncoding.EncodeToString([]byte(value)))
}

func TestOldRows(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	_, _ = s.Connection(ctx, "none") // makes the tables
	if _, err := s.Fence(ctx, c); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

	putRaw(t, "connections", entityOf("connection", "ccccccccccccccccccccccccca", `,"Due":"2026-11-20T18:00:00.000Z","Status":"held"`, oldConnection))
	conn, err := s.Connection(ctx, "ccccccccccccccccccccccccca")
	wantConn := connection.Connection{ID: "ccccccccccccccccccccccccca", Company: "c-1", Name: "Contoso <Ltd>", Tenant: "11111111-2222-3333-4444-555555555555", Status: connection.Held,
		Problem: &connection.Problem{Code: "x", Message: "m", Remedy: "r", At: at}, Link: 2, LinkExpires: at.AddDate(0, 0, 7),
		Approved: &connection.Approval{Tenant: "11111111-2222-3333-4444-555555555555", Object: "o", By: "b", At: at},
		Verify:   connection.Verify{ID: "v", Attempt: 3, Since: at}, NextDue: at.Add(12 * time.Hour), Manual: connection.Manual{At: at, Run: "r1", Sent: true, By: "anna"},
		Again: "r2", LastRun: "r3", LastSuccess: at, Decision: connection.Decision{Plan: "p", Run: "r4", Approve: true, At: at, By: "bob"},
		Guard: &connection.Guard{MaxCount: 50, MaxPercent: 10}, CreatedAt: at.AddDate(0, -1, 0), CreatedBy: "carl", Version: conn.Version}
	if err != nil || conn.Version == "" || !reflect.DeepEqual(conn, wantConn) {
		t.Errorf("connection %+v, want %+v (%v)", conn, wantConn, err)
	}
	if !reflect.DeepEqual(conn.Chosen(), connection.Defaults) {
		t.Errorf("it syncs %+v", conn.Chosen())
	}

	putRaw(t, "directory", entityOf(c, "c!", "", oldFence))
	f, err := s.Fence(ctx, c)
	wantFence := job.Fence{Epoch: 3, Seq: 41, Commit: "ABC", Slice: 2, Attempt: 1, Touched: at, Recent: []string{"r1"}, LastChange: 77,
		Tally:  job.Tally{Stored: 12, Active: 10, Pending: 1, Held: 2},
		People: job.Cursor{Delta: "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=d", DeltaAt: at, Swept: "s", Hash: "h", Enum: "e1", Fresh: true},
		Plan:   &job.Plan{Hash: "ph", Run: "r1", At: at, Count: 2, Active: 12},
		Run: job.Run{ID: "r2", Trigger: job.Manual, State: job.Running, By: "anna", Phase: "people", Full: true, Why: "first", Slices: 1, Began: at,
			Counters: job.Counters{Created: 12, Seen: 13, GraphCalls: 4, Transactions: 3, Pages: 2}}, Version: f.Version}
	if err != nil || f.Version == "" || !reflect.DeepEqual(f, wantFence) {
		t.Errorf("fence %+v, want %+v (%v)", f, wantFence, err)
	}

	putRaw(t, "directory", entityOf(c, "u!00000001-0000-0000-0000-000000000000", "", oldPerson))
	putRaw(t, "directory", fmt.Sprintf(oldMember, c))
	yes := true
	first := directory.Record{Person: directory.Person{ID: "00000001-0000-0000-0000-000000000000", DisplayName: "Zoë <z>", AccountEnabled: &yes, OtherMails: []string{"a", "b"}, Manager: "m"},
		Life: directory.Life{Archived: at, Reason: directory.Deleted, Pending: directory.Missing, Held: true, Kept: true, Created: at.AddDate(0, -1, 0), Changed: 9}}
	second := directory.Record{Person: directory.Person{ID: "00000002-0000-0000-0000-000000000000"}, Life: directory.Life{Created: at.AddDate(0, -1, 0), Changed: 1}}
	if ps, _, err := s.People(ctx, c, "", 10); err != nil || !reflect.DeepEqual(ps, []directory.Record{first, second}) {
		t.Errorf("people %+v, want %+v and %+v (%v)", ps, first, second, err)
	}
	if _, err := s.Commit(ctx, c, f, directory.Batch{}); err != nil {
		t.Errorf("an old fence cannot be written: %v", err)
	}
}

// Old lists, seen IDs and changes are read as well.
func TestOldSets(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	if _, err := s.Fence(ctx, c); err != nil {
		t.Fatal(err)
	}
	id := "00000001-0000-0000-0000-000000000000"
	putRaw(t, "directory", entityOf(c, "x!"+id, "", `null`))
	putRaw(t, "directory", entityOf(c, "h!"+id, "", `null`))
	putRaw(t, "directory", entityOf(c, "s!e1!0000000000000000007", "", `"AAAAAQAAAAAAAAAAAAAAAA=="`))
	putRaw(t, "directory", entityOf(c, "e!0000000000000000002", "", `[{"number":1,"type":"person.created","id":"a","run":"r","at":"2026-11-20T06:00:00Z","set":{"mail":"x"}},{"number":2,"type":"person.archived","id":"a","run":"r","at":"2026-11-20T06:00:00Z","reason":"missing"}]`))
	for _, l := range []directory.List{directory.PendingPeople, directory.HeldPeople} {
		if ids, err := s.Listed(ctx, c, l, "", 10); err != nil || !reflect.DeepEqual(ids, []string{id}) {
			t.Errorf("list %s: %v, %v", l, ids, err)
		}
	}
	if seen, err := seenOf(s, ctx, c, "e1"); err != nil || !reflect.DeepEqual(seen, map[[16]byte]struct{}{key(1): {}}) {
		t.Errorf("seen %v, %v", seen, err)
	}
	if cs, err := s.Changes(ctx, c, 0, 10); err != nil || len(cs) != 2 || cs[1].Reason != directory.Missing || string(cs[0].Set.All()["mail"]) != `"x"` {
		t.Errorf("changes %+v, %v", cs, err)
	}
}

// What is new in a connection is stored and read.
func TestConnectionSettings(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	at := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	c := connection.Connection{ID: fresh(), Company: "A", Status: connection.Degraded,
		Settings: &connection.Settings{Positions: true, SecurityGroups: true, Mailboxes: true, MailboxTypes: true, Guests: true, Groups: []string{"g1", "g2"}},
		Override: &connection.Override{By: "anna", At: at},
		Guard:    &connection.Guard{MaxCount: 1, MaxPercent: 2, MaxTeams: 3, MaxMemberships: 4},
		Asks:     []connection.Ask{{Trigger: "person", Run: "r2", Person: "p", At: at, By: "bob"}, {Trigger: "preview", Run: "r1", At: at}},
	}
	if err := s.CreateConnection(ctx, c); err != nil {
		t.Fatal(err)
	}
	got, err := s.Connection(ctx, c.ID)
	c.Version = got.Version
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("read %+v, want %+v (%v)", got, c, err)
	}
	c.Settings, c.Override, c.Asks = &connection.Settings{}, nil, nil // nothing chosen is not the defaults
	if _, err := s.UpdateConnection(ctx, c); err != nil {
		t.Fatal(err)
	}
	got, err = s.Connection(ctx, c.ID)
	c.Version = got.Version
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("read %+v, want %+v (%v)", got, c, err)
	}
}
