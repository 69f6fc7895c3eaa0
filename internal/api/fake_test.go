package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// now is the tests' clock.
var now = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

const (
	contoso = "k7vq2x5n3jd4mzs6ab2chtwyeu" // a connection's ID
	fabrica = "aaaq2x5n3jd4mzs6ab2chtwyeu"
	tenant  = "3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"
	object  = "8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"
)

// fake is every collaborator in memory. One goroutine uses it at a time.
type fake struct {
	connections map[string]connection.Connection
	runs        map[string][]job.Run // newest first
	people      map[string][]directory.Record
	changes     map[string][]directory.Change
	last        map[string]int64
	fences      map[string]job.Fence
	listed      map[directory.List][]string // IDs in order, of any connection
	teams       map[string][]directory.TeamRecord
	rosters     map[string][]directory.Roster // by team
	positions   map[string][]directory.PositionRecord
	licenses    map[string][]directory.LicenseRecord
	mailboxes   map[string][]directory.MailboxRecord

	err       error // every call fails with it
	conflicts int   // updates that lose to another writer
	lostReply bool  // a create that is stored, then answered as conflict
	failAfter int   // reads of people or changes that succeed; -1 for all
	reads     int
	gate      chan struct{} // if set, later reads wait for it
	manual    func(id, actor string) (string, error)
	ask       func(trigger job.Trigger, id, person, actor string) (string, error)
	search    func(tenant, text string) ([]directory.Team, error)
	group     func(id string) (directory.Team, error) // nil: every group is there
	decide    func(id, run, hash string, approve bool) (string, error)
	govern    func(how, id, actor string) (connection.Connection, error)
	entries   []connection.Entry // of the audit log, oldest first
	notes     int                // notes that the log still takes; -1 for all
	ownApp    func(secret string) (string, error)
	expiring  func(within time.Duration, owns map[string]string) ([]connection.Expiry, error)
	wave      connection.Wave
	requeue   func(id string, since time.Time, window time.Duration) (string, error)
	dead      []job.DeadLetter
	resubmit  func(id string, sequence int64, limit int) (map[job.Fate]int, bool, error)
	fates     map[string]job.Fate // that the API gives the dead letters, by run
}

func newFake() *fake {
	return &fake{
		connections: map[string]connection.Connection{}, runs: map[string][]job.Run{},
		people: map[string][]directory.Record{}, changes: map[string][]directory.Change{},
		last: map[string]int64{}, fences: map[string]job.Fence{}, failAfter: -1, notes: -1,
		listed: map[directory.List][]string{}, teams: map[string][]directory.TeamRecord{}, rosters: map[string][]directory.Roster{},
		positions: map[string][]directory.PositionRecord{}, licenses: map[string][]directory.LicenseRecord{}, mailboxes: map[string][]directory.MailboxRecord{},
	}
}

func (f *fake) CreateConnection(_ context.Context, c connection.Connection) error {
	if f.err != nil {
		return f.err
	}
	f.connections[c.ID] = c
	if f.lostReply {
		return fault.New(fault.Conflict, "exists")
	}
	return nil
}

func (f *fake) Connection(_ context.Context, id string) (connection.Connection, error) {
	if f.err != nil {
		return connection.Connection{}, f.err
	}
	c, ok := f.connections[id]
	if !ok {
		return c, fault.New(fault.NotFound, "no row %s", id)
	}
	return c, nil
}

func (f *fake) UpdateConnection(_ context.Context, c connection.Connection) (connection.Connection, error) {
	stored := f.connections[c.ID]
	if f.conflicts > 0 { // another writer comes in between
		f.conflicts--
		stored.LastRun = "other"
		stored.Version += "+"
		f.connections[c.ID] = stored
	}
	if c.Version != stored.Version {
		return c, fault.New(fault.Conflict, "stale")
	}
	c.Version += "+"
	f.connections[c.ID] = c
	return c, nil
}

func (f *fake) Connections(_ context.Context, after string, limit int) ([]connection.Connection, string, error) {
	var all []connection.Connection
	for _, c := range f.connections {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b connection.Connection) int { return strings.Compare(a.ID, b.ID) })
	return cut(all, func(c connection.Connection) string { return c.ID }, after, limit, f.err)
}

func (f *fake) Run(_ context.Context, c, run string) (job.Run, error) {
	for _, r := range f.runs[c] {
		if r.ID == run {
			return r, f.err
		}
	}
	return job.Run{}, fault.New(fault.NotFound, "no row")
}

func (f *fake) Runs(_ context.Context, c, after string, limit int) ([]job.Run, string, error) {
	return cut(f.runs[c], func(r job.Run) string { return r.ID }, after, limit, f.err)
}

func (f *fake) read() error {
	if f.reads++; f.reads > 1 && f.gate != nil {
		<-f.gate
	}
	if f.failAfter >= 0 && f.reads > f.failAfter {
		return fault.New(fault.Unknown, "tables: 500 from secret.table.example")
	}
	return f.err
}

func (f *fake) People(_ context.Context, c, after string, limit int) ([]directory.Record, string, error) {
	return cut(f.people[c], func(r directory.Record) string { return r.ID }, after, limit, f.read())
}

func (f *fake) Changes(_ context.Context, c string, after int64, limit int) (cs []directory.Change, err error) {
	for _, ch := range f.changes[c] {
		if ch.Number > after && len(cs) < limit {
			cs = append(cs, ch)
		}
	}
	return cs, f.read()
}

func (f *fake) LastChange(_ context.Context, c string) (int64, error) { return f.last[c], f.err }

func (f *fake) Manual(_ context.Context, id, actor string) (string, error) {
	return f.manual(id, actor)
}

func (f *fake) Fence(_ context.Context, c string) (job.Fence, error) { return f.fences[c], f.err }

func (f *fake) Listed(_ context.Context, _ string, l directory.List, after string, limit int) ([]string, error) {
	ids, _, err := cut(f.listed[l], func(id string) string { return id }, after, limit, f.read())
	return ids, err
}

func (f *fake) Records(_ context.Context, c string, ids []string) (map[string]directory.Record, error) {
	return pick(f.people[c], func(r directory.Record) string { return r.ID }, ids), f.err
}

func (f *fake) Decide(_ context.Context, id, run, hash string, approve bool, _ string) (string, error) {
	return f.decide(id, run, hash, approve)
}

func (f *fake) URL(c connection.Connection) string {
	return fmt.Sprintf("https://links.example/connect/%s.%d.%d", c.ID, c.Link, c.LinkExpires.Unix())
}

// cut pages a sorted slice; after need not be in it.
func cut[T any](all []T, id func(T) string, after string, limit int, err error) ([]T, string, error) {
	if err != nil {
		return nil, "", err
	}
	for after != "" && len(all) > 0 && id(all[0]) <= after {
		all = all[1:]
	}
	if len(all) <= limit {
		return all, "", nil
	}
	return all[:limit], id(all[limit-1]), nil
}

// bench is an API over a fake, and its log.
type bench struct {
	*fake
	api *API
	log bytes.Buffer
}

func newBench() *bench {
	b := &bench{fake: newFake()}
	b.api = New(Options{
		Connections: b.fake, Runs: b.fake, Directory: b.fake, Syncer: b.fake, Linker: b.fake,
		Teams: b.fake, Holdings: b.fake, Groups: b.fake,
		Removals: b.fake, Plans: b.fake, Decider: b.fake, Governor: b.fake, Audit: b.fake, Apps: b.fake,
		Registered: connection.Apps{"base": appBase, "mailboxes": appMailboxes},
		Service:    Service{Cloud: "public", Credential: "certificate", Vault: "https://contoso-kv.vault.azure.net/", Credentials: b.fake, Waves: b.fake},
		Operations: Operations{Fleet: b.fake, Requeuer: b.fake, DeadLetters: b.fake},
		LinkTTL:    14 * 24 * time.Hour, Now: func() time.Time { return now },
		Log: slog.New(slog.NewJSONHandler(&b.log, nil)),
	})
	b.connections[contoso] = connection.Connection{
		ID: contoso, Company: "c1", Name: "Contoso", Status: connection.Invited,
		Link: 1, LinkExpires: now.Add(time.Hour), CreatedAt: now, Version: "1",
	}
	b.connections[fabrica] = connection.Connection{
		ID: fabrica, Company: "c2", Name: "Fabrikam", Status: connection.OK, Tenant: tenant,
		Link: 1, LinkExpires: now, NextDue: now.Add(time.Hour), CreatedAt: now, Version: "1",
	}
	return b
}

// do sends one request; a body is sent as JSON.
func (b *bench) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, in)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, r)
	return w
}

// read decodes an answer of the wanted status into v, exactly.
func read(t *testing.T, w *httptest.ResponseRecorder, status int, v any) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
	want := "application/json"
	if status >= 400 {
		want = "application/problem+json"
	}
	if got := w.Header().Get("Content-Type"); got != want {
		t.Errorf("content type %q, want %q", got, want)
	}
	dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
}

// refused expects a problem of the given code, worded in full.
func refused(t *testing.T, w *httptest.ResponseRecorder, status int, code string) Problem {
	t.Helper()
	var p Problem
	read(t, w, status, &p)
	if p.Type != "urn:rollcall:problem:"+code || p.Status != status || p.Title == "" || p.Detail == "" || p.Remedy == "" {
		t.Fatalf("problem %+v, want code %s", p, code)
	}
	return p
}

// names reports whether the problem lists a mistake in the field.
func (p Problem) names(field string) bool {
	return slices.ContainsFunc(p.Errors, func(e FieldError) bool { return e.Field == field && e.Message != "" })
}

func retryAfter(t *testing.T, w *httptest.ResponseRecorder) int {
	t.Helper()
	n, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if err != nil {
		t.Fatalf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	return n
}

// crowd stores n people and their creations.
func (b *bench) crowd(id string, n int) {
	for i := range n {
		person := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		b.people[id] = append(b.people[id], directory.Record{
			Person: directory.Person{ID: person, DisplayName: fmt.Sprint("Person ", i)}, Life: directory.Life{Created: now, Changed: int64(i + 1)},
		})
		b.changes[id] = append(b.changes[id], directory.Change{
			Number: int64(i + 1), Type: directory.Created, ID: person, Run: "r", At: now,
			Set: directory.Set(fmt.Sprintf(`{"displayName":"Person %d"}`, i)),
		})
	}
	b.last[id] = int64(n)
}

const get, post, put, del, patch = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch
