package reconcile

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// scopeHash binds a delta link to what was asked with it.
func scopeHash(properties []string) string {
	return strconv.FormatUint(xxhash.Sum64String("id,"+strings.Join(properties, ",")), 16)
}

// enumID names an enumeration of one kind: commits never repeat a number, and
// those of a preview are numbered elsewhere.
func (w *worker) enumID(kind string) string {
	return kind + strconv.FormatInt(w.fence.Seq, 36)
}

// properties are those that the settings want of people, by their names in
// Graph.
func (w *worker) properties() []string {
	return slices.DeleteFunc(directory.Properties(), func(name string) bool {
		switch name {
		case "jobTitle":
			return !w.chosen.Positions
		case "manager":
			return !w.chosen.ReportingLines
		case "assignedLicenses":
			return !w.chosen.Licenses
		default:
			return false
		}
	})
}

// fetched is a page, or the reason that there is none.
type fetched struct {
	link string
	page directory.Page
	err  error
}

// last reports whether no page follows.
func (f *fetched) last() bool { return f.err != nil || f.page.Delta != "" }

// pages are those of the chain from link, to the round's last page or an error,
// each fetched while the one before is worked on. What is fetched already, if
// anything, is the first page.
func (w *worker) pages(ctx context.Context, link string, first *fetched) iter.Seq[fetched] {
	tenant, properties := w.conn.Access(), w.properties()
	return func(yield func(fetched) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the fetcher when the reader goes early
		ask := func(link string) *fetched {
			p, err := w.Graph.People(ctx, tenant, link, properties)
			return &fetched{link, p, err}
		}
		if first == nil {
			first = ask(link) // by ourselves: there is nothing to do meanwhile, and mostly no other page
		}
		if first.last() {
			yield(*first)
			return
		}
		ahead := make(chan *fetched)
		go func() {
			defer close(ahead)
			for got := first; !got.last(); {
				got = ask(got.page.Next)
				select {
				case ahead <- got:
				case <-ctx.Done():
					return
				}
			}
		}()
		if !yield(*first) {
			return
		}
		for got := range ahead {
			if !yield(*got) {
				return
			}
		}
	}
}

// maxUncommitted is how many pages may pass without a commit, so that a crash
// costs few calls even where nothing has changed.
const maxUncommitted = 16

// people brings people up to date, and looks everybody up if that is what it
// takes.
func (w *worker) people(ctx context.Context) error {
	err := w.round(ctx)
	if stored(err) && !w.doubts {
		w.relearn(ctx)
		err = w.round(ctx)
	}
	return err
}

// round follows one round of users/delta to its delta link. Pages are
// fetched ahead while earlier ones are compared and written.
func (w *worker) round(ctx context.Context) error {
	cur := &w.fence.People
	defer func() { w.index = nil }()
	if cur.Enum != "" {
		w.full(cur.Why)
		if err := w.compare(ctx); err != nil {
			return err
		}
	}
	var first *fetched
	if w.listable() {
		var err error
		if first, err = w.list(ctx); err != nil {
			return err
		}
	}
	link := cur.Next
	switch {
	case link != "":
	case cur.Enum == "":
		link = cur.Delta
	case w.fence.Stored > 0: // of a first page that was cut, or a list that was given up: some may be missing
		cur.Fresh, cur.Sharded, cur.Latest = false, false, ""
	}
	b := newBatcher(w)
	b.ahead = true
	n := 0
	for got := range w.pages(ctx, link, first) {
		if got.err != nil {
			// What came before the failure is kept, down to the place: a page
			// that always fails must not have the others fetched again.
			if err := b.commitPages(ctx, n); err != nil {
				return err
			}
			if fault.Is(got.err, fault.Expired) {
				return w.restart(ctx, got)
			}
			return got.err
		}
		if err := b.page(ctx, got.page); err != nil {
			return err
		}
		// From here on the whole page is in the batch, so its successor's link
		// may go with the next commit.
		w.fence.Attempt = 0
		w.fence.Run.Pages++
		w.fence.People.Next = got.page.Next
		if got.page.Delta != "" {
			return b.commit(ctx, func(f *job.Fence) { w.listed(f, got.page.Delta) })
		}
		n++
		spent := w.spent()
		if spent || n%maxUncommitted == 0 {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
		}
		if spent {
			return errBudget
		}
	}
	return ctx.Err()
}

// compare loads the index of whom an enumeration compares with, and makes it
// where there is none: of what a build has stored that knew none, or after
// somebody was erased.
func (w *worker) compare(ctx context.Context) (err error) {
	f := &w.fence
	if f.Stored == 0 {
		return nil
	}
	if f.Index.From == 0 {
		if err := w.makeIndex(ctx, func() {}); err != nil {
			return err
		}
	}
	w.index, err = w.loadIndex(ctx)
	return err
}

// listed ends a round at its delta link.
func (w *worker) listed(f *job.Fence, delta string) {
	f.People.Next, f.People.Delta, f.People.DeltaAt = "", delta, w.Now().UTC()
	if f.People.Fresh { // nobody can be missing
		if !f.People.Sharded {
			f.People.FullAt = f.People.DeltaAt
		}
		f.People.Enum, f.People.Fresh, f.People.Why = "", false, ""
	}
	w.advance()
}

// restart begins a full enumeration after Graph has forgotten a link.
func (w *worker) restart(ctx context.Context, got fetched) error {
	enumerating := w.fence.People.Enum != ""
	why := "Microsoft no longer knew the delta link"
	if enumerating {
		why = "Microsoft no longer knew the page link"
	}
	return w.anew(ctx, "people", got.link, got.err, enumerating, func() { w.enumerate(why, scopeHash(w.properties())) })
}
