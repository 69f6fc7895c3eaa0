package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

// jobTitles are titles as people have them, and as they are to be read.
var jobTitles = map[string]string{
	"": "", " \t": "",
	"Boss": "boss", " boss": "boss", "BO\u017fS": "boss", // the long s folds to an s
	"Head  of Sales": "head of sales", "head of\u00a0sales ": "head of sales",
	"Straße": "strasse", "STRASSE": "strasse",
	"Cafe\u0301": "café", "CAFÉ": "café",
	"Clerk": "clerk", "<b>&": "<b>&",
}

// reorganized is how many people a reorganization gives numbered titles, more than a
// transaction takes.
const reorganized = directory.MaxRows + 40

// read is the title as it is to be read.
func read(title string) string {
	if strings.HasPrefix(title, "Grade ") {
		return strings.ToLower(title)
	}
	return jobTitles[title]
}

// ledger is a store of changes and positions only, in which any commit may
// crash the worker, before or after it has taken effect.
type ledger struct {
	Store
	t         *rapid.T
	fence     job.Fence
	rows      []directory.ChangeRow
	positions map[string]directory.PositionRecord
	crashes   bool
}

var errCrash = errors.New("crash")

func (l *ledger) Prepare(_ string, f job.Fence, b directory.Batch) (job.Fence, func(context.Context, string) (job.Fence, error), error) {
	next, err := l.commit(f, b) // at once: nothing is planned meanwhile
	after := f
	after.Seq++
	return after, func(context.Context, string) (job.Fence, error) { return next, err }, nil
}

func (l *ledger) commit(f job.Fence, b directory.Batch) (job.Fence, error) {
	fate := "lives"
	if l.crashes {
		fate = rapid.SampledFrom([]string{"lives", "lives", "dies before", "dies after"}).Draw(l.t, "commit")
	}
	if fate == "dies before" {
		return f, errCrash
	}
	if b.Rows() > directory.MaxRows || f.Seq != l.fence.Seq {
		l.t.Fatalf("commit of %d rows on %d, at %d", b.Rows(), f.Seq, l.fence.Seq)
	}
	for i, c := range b.Changes {
		if c.Number != l.fence.LastChange+int64(i)+1 {
			l.t.Fatalf("change %d after %d", c.Number, l.fence.LastChange+int64(i))
		}
	}
	if n := len(b.Changes); n > 0 {
		if f.LastChange != b.Changes[n-1].Number {
			l.t.Fatalf("fence at %d, last change is %d", f.LastChange, b.Changes[n-1].Number)
		}
		l.rows = append(l.rows, directory.ChangeRow{Changes: slices.Clone(b.Changes)})
	}
	for _, p := range b.Positions {
		l.positions[p.ID] = p
	}
	f.Seq++
	l.fence = f
	if fate == "dies after" {
		return f, errCrash
	}
	return f, nil
}

func (l *ledger) ChangeRows(_ context.Context, _ string, after int64, _ int) (rows []directory.ChangeRow, err error) {
	for _, r := range l.rows {
		if r.Changes[len(r.Changes)-1].Number > after && len(rows) < 2 {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (l *ledger) PositionRecords(_ context.Context, _ string, ids []string) (map[string]directory.PositionRecord, error) {
	found := make(map[string]directory.PositionRecord)
	for _, id := range ids {
		if p, ok := l.positions[id]; ok {
			found[id] = p
		}
	}
	return found, nil
}

// slice is a new worker for what is stored, with time for everything or for
// as little as possible.
func (l *ledger) slice(hasty bool) *worker {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := &worker{
		Engine: &Engine{Store: l, Now: func() time.Time { return now }, Log: wiretest.Silent()},
		part:   "c", fence: l.fence, last: l.fence, meter: new(job.Meter), log: wiretest.Silent(), until: now,
	}
	if hasty {
		w.until = now.Add(-1)
	}
	if err := w.load(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	return w
}

// staff is the people as they are, by ID: their titles, nothing for the rest.
type staff map[string]string

// change writes changes of a few people, as any phase would.
func (s staff) change(t *rapid.T, w *worker) error {
	next := maps.Clone(s)
	var b directory.Batch
	for range rapid.IntRange(1, 6).Draw(t, "changes") {
		id := fmt.Sprint("p", rapid.IntRange(1, 9).Draw(t, "person"))
		switch rapid.SampledFrom([]string{"title", "title", "leave", "other"}).Draw(t, "kind") {
		case "title":
			next.give(w, &b, id, rapid.SampledFrom(slices.Sorted(maps.Keys(jobTitles))).Draw(t, "jobTitle"))
		case "other":
			if _, stored := next[id]; stored {
				w.tell(&b, &directory.Change{Type: directory.Updated, ID: id})
			}
		case "leave":
			if was, stored := next[id]; stored {
				w.tell(&b, &directory.Change{Type: directory.Archived, ID: id, Position: move(holder(was), nil)})
				delete(next, id)
			}
		}
	}
	return s.commit(w, next, b)
}

// reorganize gives many people numbered titles, some the same.
func (s staff) reorganize(t *rapid.T, w *worker) error {
	next := maps.Clone(s)
	var b directory.Batch
	grades, from := rapid.IntRange(1, 300).Draw(t, "grades"), rapid.IntRange(0, 300).Draw(t, "from")
	for i := range reorganized {
		next.give(w, &b, fmt.Sprint("r", i), fmt.Sprint("Grade ", from+i%grades))
	}
	return s.commit(w, next, b)
}

// holder is a person with a title.
func holder(title string) *directory.Record {
	return &directory.Record{Person: directory.Person{JobTitle: title}}
}

// give gives a person a title.
func (s staff) give(w *worker, b *directory.Batch, id, title string) {
	raw, _ := json.Marshal(title)
	c := directory.Change{Type: directory.Created, ID: id, Set: fmt.Appendf(nil, `{"jobTitle":%s}`, raw)}
	var prior *directory.Record
	if was, stored := s[id]; stored {
		c.Type, prior = directory.Updated, holder(was)
	}
	c.Position = move(prior, holder(title))
	w.tell(b, &c)
	s[id] = title
}

// commit writes the changes that lead to next. A worker that dies may have
// written them.
func (s staff) commit(w *worker, next staff, b directory.Batch) error {
	seq := w.fence.Seq
	err := w.commit(context.Background(), b)
	if w.Store.(*ledger).fence.Seq > seq {
		clear(s)
		maps.Copy(s, next)
	}
	return err
}

// fold lets the phase have its turn, if it is due.
func fold(w *worker) error {
	if !w.positionsDue() {
		return nil
	}
	w.fence.Run.Phase = "positions"
	if err := w.positions(context.Background()); err != nil {
		return err
	}
	return w.commit(context.Background(), directory.Batch{})
}

// However the changes are cut into slices, and wherever these die, every
// position ends with as many people as there are, and its changes tell whether
// anybody holds it.
func TestPositionsAreARecount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{t: t, positions: make(map[string]directory.PositionRecord), crashes: true}
		people := staff{}
		w := l.slice(false)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			var err error
			switch rapid.SampledFrom([]string{"change", "change", "reorganize", "fold", "fold", "new slice"}).Draw(t, "step") {
			case "change":
				err = people.change(t, w)
			case "reorganize":
				err = people.reorganize(t, w)
			case "fold":
				err = fold(w)
			case "new slice":
				err = errBudget
			}
			if err != nil {
				w = l.slice(rapid.Bool().Draw(t, "hasty"))
			}
		}
		l.crashes = false
		for n := 0; ; n++ {
			w = l.slice(true)
			if err := fold(w); err == nil {
				break
			} else if !errors.Is(err, errBudget) || n > 20 {
				t.Fatalf("after %d slices: %v", n, err)
			}
		}
		l.check(people)
		if f := w.fence.Positions; f.Through != w.fence.LastChange || f.To != 0 || f.Swept != "" {
			t.Errorf("fold %+v, last change %d", f, w.fence.LastChange)
		}
		if w = l.slice(false); w.positionsDue() {
			t.Errorf("due again: fold %+v, last change %d", w.fence.Positions, w.fence.LastChange)
		}
	})
}

// check compares what is stored and told with a recount.
func (l *ledger) check(people staff) {
	want := make(map[string]int)
	for _, title := range people {
		if title = read(title); title != "" {
			want[title]++
		}
	}
	exists := make(map[string]bool) // by the feed
	for _, r := range l.rows {
		for _, c := range r.Changes {
			had, known := exists[c.ID]
			switch {
			case !strings.HasPrefix(string(c.Type), "position."):
				continue
			case c.Type == directory.PositionCreated && known,
				c.Type == directory.PositionArchived && !had,
				c.Type == directory.PositionReactivated && (had || !known):
				l.t.Errorf("change %d: %s of a position that existed: %v, was known: %v", c.Number, c.Type, had, known)
			}
			if c.Type == directory.PositionCreated {
				var title string
				told, _ := c.Set.Get("title")
				if err := json.Unmarshal(told, &title); err != nil || title != l.positions[c.ID].Title {
					l.t.Errorf("created as %s, stored as %q", told, l.positions[c.ID].Title)
				}
			}
			exists[c.ID] = c.Type != directory.PositionArchived
		}
	}
	for id, p := range l.positions {
		as := read(p.Title)
		for title, r := range jobTitles { // the title is one of those that people have, without needless space
			if directory.Title(title) == p.Title {
				as = r
			}
		}
		if as == "" || p.People != want[as] || p.Active() != (want[as] > 0) || p.Active() != exists[id] {
			l.t.Errorf("position %q: %d people, active %v, in the feed %v; want %d", p.Title, p.People, p.Active(), exists[id], want[as])
		}
		delete(want, as)
	}
	for title, n := range want {
		if n > 0 {
			l.t.Errorf("no position %q, which %d people have", title, n)
		}
	}
}

// More positions than one transaction takes are folded in several, and a
// worker that had time for one of them only goes on behind it.
func TestManyPositions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{t: t, positions: make(map[string]directory.PositionRecord)}
		w := l.slice(false)
		var b directory.Batch
		n := rapid.IntRange(directory.MaxRows, 3*directory.MaxRows+1).Draw(t, "positions")
		for i := range n {
			title := fmt.Sprint("Title ", i)
			raw, _ := json.Marshal(title)
			w.tell(&b, &directory.Change{
				Type: directory.Created, ID: fmt.Sprint(i), Set: fmt.Appendf(nil, `{"jobTitle":%s}`, raw),
				Position: &directory.Move{To: directory.PositionID(title)},
			})
		}
		if err := w.commit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		slices := 1
		for ; fold(l.slice(true)) != nil; slices++ {
			if slices > 9 {
				t.Fatal("no end")
			}
		}
		if want := (n + directory.MaxRows - 1) / directory.MaxRows; slices != want || len(l.positions) != n {
			t.Errorf("%d positions of %d in %d slices, want %d", len(l.positions), n, slices, want)
		}
		for _, p := range l.positions {
			if p.People != 1 || !p.Active() {
				t.Errorf("%+v", p)
			}
		}
	})
}

// Where the worker has seen all changes, and nobody moved, it needs neither
// the log nor a commit to know that nothing is to be done.
func TestPositionsNotDue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{t: t, positions: make(map[string]directory.PositionRecord)}
		w := l.slice(false)
		if w.positionsDue() {
			t.Error("due without any change")
		}
		var b directory.Batch
		w.tell(&b, &directory.Change{Type: directory.Updated, ID: "p"})
		if !w.positionsDue() {
			t.Error("not due, though a change is numbered that is not committed and may move somebody")
		}
		if err := w.commit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if w.positionsDue() || w.fence.Positions.Through != 1 {
			t.Errorf("due, or not taken in: %+v", w.fence.Positions)
		}
	})
}
