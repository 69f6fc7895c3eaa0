package reconcile_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/tables"
)

// Whoever turns out to be stored after they were taken for new is looked up,
// with everybody else: the run goes back to what is stored and on from there.
func TestTakenForNew(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{0, 3} {
		t.Run(fmt.Sprintf("%d lanes", lanes), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 250) // several transactions
			ps := w.tenant.People()
			table := wires.Tables.Client().NewClient("directory")
			_, _ = w.store.Fence(w.ctx, w.conn) // makes the table
			_, _ = table.CreateTable(w.ctx, nil)
			for _, p := range []string{ps[0].ID, ps[120].ID, ps[249].ID} {
				data, err := json.Marshal(directory.Record{Person: directory.Person{ID: p, DisplayName: "Of another time"}})
				w.ok(err)
				row, err := json.Marshal(map[string]any{
					"PartitionKey": w.conn, "RowKey": "u!" + p, "V": 1, "D0": base64.StdEncoding.EncodeToString(data), "D0@odata.type": "Edm.Binary",
				})
				w.ok(err)
				_, err = table.AddEntity(w.ctx, row, nil)
				w.ok(err)
			}
			if lanes > 0 {
				w.taps(t, lanes)
			}
			r := w.succeed()
			stored := w.records()
			if r.Created != 247 || r.Updated != 3 || len(stored) != 250 {
				t.Errorf("%d created, %d updated, %d stored", r.Created, r.Updated, len(stored))
			}
			for _, p := range w.tenant.People() {
				if got := stored[p.ID]; got.DisplayName != p.DisplayName || !got.Active() {
					t.Errorf("%s is %q, want %q", p.ID, got.DisplayName, p.DisplayName)
				}
			}
			w.positioned()
			for i, c := range w.told(w.conn, 0) {
				if c.Number != int64(i)+1 {
					t.Fatalf("change %d is the %dth", c.Number, i+1)
				}
			}
		})
	}
}

// Somebody who is on two pages of a first run is stored as the later one says,
// though the earlier one may be under way to the store.
func TestToldTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500)
	var last map[string]any
	twice := map[string]string{}
	w.engine.Graph = w.newEngine(t, edits{wires.Transport, "/users/delta", func(m map[string]any) {
		items := m["value"].([]any)
		if last != nil {
			again := maps.Clone(last)
			again["displayName"] = fmt.Sprint("Told twice ", len(twice))
			twice[again["id"].(string)] = again["displayName"].(string)
			m["value"] = append([]any{again}, items...)
		}
		if len(items) > 0 {
			last = items[0].(map[string]any) // its page may have filled a transaction since
		}
	}}).Graph
	var log bytes.Buffer
	w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.cable.cut(func(int64) error { // a store that takes its time is overtaken by whoever does not wait for it
		time.Sleep(5 * time.Millisecond)
		return nil
	})
	r := w.succeed()
	if strings.Contains(log.String(), "taken for new") {
		t.Error("somebody was looked up before the commit under way had come to its end")
	}
	// Most of them while they wait for their transaction, some across two.
	if len(twice) < 2 || r.Created != 500 || r.Updated == 0 {
		t.Errorf("%d twice, %d created, %d updated", len(twice), r.Created, r.Updated)
	}
	stored := w.records()
	for id, name := range twice {
		if got := stored[id].DisplayName; got != name {
			t.Errorf("%s is %q, want %q", id, got, name)
		}
	}
	w.sound()
}

// late is a store whose answers to commits are a while under way.
type late struct {
	*tables.Store
	n    int
	hold func(commit int)
	read chan struct{} // gets that the fence is read
}

func (l *late) Fence(ctx context.Context, part string) (job.Fence, error) {
	select {
	case l.read <- struct{}{}:
	default:
	}
	return l.Store.Fence(ctx, part)
}

func (l *late) Prepare(part string, f job.Fence, b directory.Batch) (job.Fence, func(context.Context, string) (job.Fence, error), error) {
	next, send, err := l.Store.Prepare(part, f, b)
	l.n++
	n := l.n
	return next, func(ctx context.Context, version string) (job.Fence, error) {
		defer l.hold(n)
		return send(ctx, version)
	}, err
}

// A slice whose time is up waits for its commit under way before it hands on:
// what is handed on is what was stored.
func TestTimeUpInFlight(t *testing.T) {
	t.Parallel()
	for commit := 2; commit <= 7; commit++ {
		t.Run(fmt.Sprint("commit ", commit), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 600)
			ctx, cancel := context.WithCancel(w.ctx)
			l := &late{Store: w.store, read: make(chan struct{})}
			l.hold = func(n int) {
				if n != commit {
					return
				}
				cancel()
				select {
				case <-l.read:
					t.Error("the fence is read while a commit is under way")
				case <-time.After(50 * time.Millisecond):
				}
			}
			w.engine.Store = l
			j := w.job(job.Schedule, "")
			if err := w.engine.Sync(ctx, j); err != nil {
				t.Fatal(err)
			}
			w.quiet(w.engine.Sync)
			w.settled()
		})
	}
}

// A page that is refused while a commit is under way takes nothing from it: the
// run waits as long as Microsoft asks, from what was stored.
func TestRefusedInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 400)
	w.spread(func(i int) string { return fmt.Sprintf("%c%d", 'a'+i%26, i) })
	under, refused := make(chan struct{}), make(chan struct{})
	pages := w.taps(t, 3)
	w.engine = w.newEngine(t, transport(func(req *http.Request) (*http.Response, error) {
		if kind := askedFor(req); kind == askPage || kind == askShard {
			select {
			case <-under:
				select {
				case <-refused:
				default:
					close(refused)
					return &http.Response{
						StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"700"}}, Request: req,
						Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
					}, nil
				}
			default:
			}
		}
		return pages.RoundTrip(req)
	}))
	w.engine.Lanes = 1 // so that one request is refused
	w.engine.Store = &late{Store: w.store, read: make(chan struct{}), hold: func(n int) {
		if n == 3 {
			close(under)
			select {
			case <-refused:
			case <-time.After(5 * time.Second):
				t.Error("nothing was refused")
			}
			time.Sleep(20 * time.Millisecond) // until the worker has seen it
		}
	}}
	j := w.job(job.Schedule, "")
	w.ok(w.engine.Sync(w.ctx, j))
	f := w.fence()
	if f.Run.State != job.Waiting || !f.Run.Throttled || f.Run.NextTry.Sub(w.clock.Now()) < 690*time.Second || f.Seq < 3 {
		t.Errorf("fence of commit %d: run %+v", f.Seq, f.Run)
	}
	w.clock.Advance(time.Hour)
	w.quiet(w.engine.Sync)
	w.settled()
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// leaving is a store that looks, whenever a batch is made, whether the one before
// has gone out.
type leaving struct {
	*tables.Store
	out    atomic.Int64 // writes that have gone out
	before int64        // when the last batch was made
	made   int
	behind int // batches that were made before the one before had gone
}

func (l *leaving) Prepare(part string, f job.Fence, b directory.Batch) (job.Fence, func(context.Context, string) (job.Fence, error), error) {
	out := l.out.Load()
	if l.made > 0 && out == l.before {
		l.behind++
	}
	l.made, l.before = l.made+1, out
	return l.Store.Prepare(part, f, b)
}

// A batch has gone out before the next one is made: then the store works while
// the worker does.
func TestGoneBeforeNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1500)
	l := &leaving{Store: w.store}
	w.cable.cut(func(int64) error {
		time.Sleep(20 * time.Millisecond) // longer than a batch takes to be made
		l.out.Add(1)
		return nil
	})
	w.engine.Store = l
	w.succeed()
	if l.made < 15 || l.behind > 0 {
		t.Errorf("%d of %d batches were made before the one before had gone out", l.behind, l.made)
	}
}
