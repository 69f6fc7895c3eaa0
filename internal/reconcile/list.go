package reconcile

import (
	"context"
	"errors"
	"sync"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// A chain of pages of users/delta takes its time: each page tells where the
// next one is, and holds some 200 people. So where nobody is stored yet, people
// are listed by the first characters of their user principal names, several
// pages of 999 at a time, and then the delta is followed from before the list
// began, which makes it whole. What is missing from such a list proves nothing,
// and a chain is followed with the next run.

// Tests make these smaller.
var (
	// minListed is how many people a tenant must have to be listed in parallel.
	minListed = 2000
	// longShard is after how many pages a shard is looked at, while the next one
	// comes, and how many more it may have before it is split: asking for a
	// shard that has nobody costs a call, too.
	longShard = 4
	// maxListPage is how many people a page of a list has. Source: Microsoft
	// Graph documentation, "List users".
	maxListPage = 999
)

// maxPrefix bounds how far shards are split.
const maxPrefix = 6

// listable reports whether people are to be listed in parallel, or are being.
func (w *worker) listable() bool {
	c := &w.fence.People
	return w.Lanes > 0 && c.Enum != "" && c.Fresh && !c.Chain && c.Next == "" && (c.Latest != "" || !c.Sharded && w.fence.Stored == 0)
}

// list lists everybody, up to the delta link from before it began: the round
// goes on from there. Where the tenant is small, or Microsoft does not let it
// be listed so, it returns the first page of the chain.
func (w *worker) list(ctx context.Context) (first *fetched, err error) {
	if w.fence.People.Latest == "" {
		if first, err = w.weigh(ctx); first != nil || err != nil {
			return first, err
		}
	}
	l := &lister{worker: w, doubles: make(map[[16]byte]int), since: make(chan *fetched, 1)}
	l.idle.L = &l.mu
	if err := l.follow(ctx); err != nil {
		if fault.Is(err, fault.Invalid) {
			return nil, w.chain(ctx, err)
		}
		return nil, err
	}
	c := &w.fence.People
	// More than were counted are no harm: who came since, or whom the settings
	// leave out and a shard that was begun anew has had twice.
	if had := w.fence.Stored + c.Listed; c.Expected-had > 10+c.Expected/200 {
		return nil, w.chain(ctx, fault.New(fault.Unknown, "%d listed, %d counted", had, c.Expected))
	}
	c.Next, c.Latest = c.Latest, ""
	w.fence.Untidy = true
	w.index = nil // it does not tell of those whom this slice has listed
	return <-l.since, nil
}

// weigh asks at once for all that is needed to choose a way, and begins the list
// if it pays. If it does not, it returns the chain's first page.
func (w *worker) weigh(ctx context.Context) (first *fetched, err error) {
	var (
		tenant, properties = w.conn.Access(), w.properties()
		page               = make(chan fetched, 1)
		latest             string
		people             int
		failed             [2]error
		wg                 sync.WaitGroup
	)
	chained, cancel := context.WithCancel(ctx)
	defer cancel() // a page that is not waited for need not come
	go func() {
		p, err := w.Graph.People(chained, tenant, "", properties)
		page <- fetched{page: p, err: err}
	}()
	wg.Go(func() { latest, failed[0] = w.Graph.LatestPeople(ctx, tenant, properties) })
	wg.Go(func() { people, failed[1] = w.Graph.CountPeople(ctx, tenant) })
	wg.Wait()
	if err := errors.Join(failed[:]...); err != nil || people < minListed {
		if fault.Is(err, fault.Throttled) {
			return nil, err
		}
		if err != nil {
			w.log.InfoContext(ctx, "people are not listed in parallel", "err", err)
		}
		got := <-page
		return &got, nil
	}
	for { // places of a list that came to no end go before this one begins
		rows, err := w.Store.ShardRows(ctx, w.part, directory.MaxRows)
		if err != nil {
			return nil, err
		}
		last := len(rows) < directory.MaxRows
		if c := &w.fence.People; last {
			c.Sharded, c.Latest, c.Expected, c.Listed = true, latest, people, 0
		}
		if err := w.commit(ctx, directory.Batch{DropSeen: rows}); err != nil || last {
			return nil, err
		}
	}
}

// chain gives the list up: everybody is enumerated page by page.
func (w *worker) chain(ctx context.Context, why error) error {
	w.log.WarnContext(ctx, "people cannot be listed in parallel: the chain is followed", "err", why)
	w.enumerate("people cannot be listed in parallel", w.fence.People.Hash)
	w.fence.People.Chain = true
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		return err
	}
	return w.compare(ctx)
}

// lister is a list under way: lanes fetch, and one goroutine writes.
type lister struct {
	*worker
	mu     sync.Mutex
	idle   sync.Cond // lanes wait until there is more to do
	todo   []directory.Shard
	open   int // shards whose last page has not come
	busy   int // lanes that may find more to do
	asking sync.WaitGroup
	// doubles are those who were listed before their shard was split.
	doubles map[[16]byte]int
	// since gets the first page of what has happened since before the list.
	since chan *fetched
}

// listed is a page of a shard, and where the shard is after it; if the page
// did not come, where it was before.
type listed struct {
	shard directory.Shard
	items []directory.Item
	err   error
}

// follow lists what is left, and commits where it has come to with the pages.
func (l *lister) follow(ctx context.Context) (err error) {
	shards, err := l.Store.Shards(ctx, l.part)
	if err != nil {
		return err
	}
	known := make(map[string]directory.Shard, len(shards))
	for _, s := range shards {
		known[s.Name] = s
	}
	l.begin(known)
	fetching, cancel := context.WithCancel(ctx) // what is under way to the store goes on
	pages := l.lanes(fetching)
	catching, giveUp := context.WithCancel(ctx)
	latest := l.fence.People.Latest
	var since sync.WaitGroup
	since.Go(func() {
		if l.fetched(fetching) { // asked for while the last pages are written
			p, err := l.Graph.People(catching, l.conn.Access(), latest, l.properties())
			l.since <- &fetched{latest, p, err}
		}
	})
	defer func() { // nothing is left behind
		if err != nil {
			giveUp()
		}
		cancel()
		for range pages {
		}
		since.Wait()
		giveUp()
	}()
	b := newBatcher(l.worker)
	b.ahead = true
	for got := range pages {
		if got.err != nil {
			cancel()
			return l.broken(ctx, b, got)
		}
		if err := l.page(ctx, b, got); err != nil {
			return err
		}
		if l.spent() {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
			return errBudget
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.commit(ctx, nil)
}

// begin puts on the list of what is to do the shards that are not done: as many
// as there are lanes, or a few, each of some first characters.
func (l *lister) begin(known map[string]directory.Shard) {
	for _, letters := range shares(alphabet, l.Lanes) {
		l.unfold("", letters, known)
	}
}

// unfold puts on the list the shard of those whose names go on after the prefix
// with one of the letters, unless it is done; if it was split, the shards
// below it.
func (l *lister) unfold(prefix, letters string, known map[string]directory.Shard) {
	prefixes := make([]string, len(letters))
	for i := range prefixes {
		prefixes[i] = prefix + letters[i:i+1]
	}
	name := shardName(prefixes)
	switch s := known[name]; {
	case s.Split:
		l.split(prefixes, known)
	case !s.Done:
		s.Name = name
		l.todo = append(l.todo, s)
		l.open++
	}
}

// split puts on the list the shards below one: each of its letters for itself,
// or of a single letter shares of those that can follow.
func (l *lister) split(prefixes []string, known map[string]directory.Shard) {
	if len(prefixes) > 1 {
		for _, p := range prefixes {
			l.unfold(p[:len(p)-1], p[len(p)-1:], known)
		}
		return
	}
	for _, letters := range shares(alphabet+"@", l.Lanes) { // a name may be as short as that
		l.unfold(prefixes[0], letters, known)
	}
}

// page takes in a page with the place behind it.
func (l *lister) page(ctx context.Context, b *batcher, got listed) error {
	items, left := got.items[:0], 0
	for i := range got.items {
		it := &got.items[i]
		if key, ok := directory.Key(it.ID); ok && l.double(key) {
			continue
		}
		if l.isErased(it.ID) || !l.chosenBySettings(&it.Person) || !l.inGroups(it.ID) {
			left++
		}
		items = append(items, *it)
	}
	l.fence.Attempt = 0
	l.fence.Run.Pages++
	if err := b.page(ctx, directory.Page{Items: items}); err != nil {
		return err
	}
	if err := b.place(ctx, got.shard); err != nil {
		return err
	}
	l.fence.People.Listed += left // committed with the place; who is stored counts there
	return nil
}

// double reports, once, whether somebody was listed before their shard was
// split.
func (l *lister) double(key [16]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.doubles[key]
	if n > 1 {
		l.doubles[key] = n - 1
	} else {
		delete(l.doubles, key)
	}
	return n > 0
}

// maxForgotten is how often Microsoft may forget where a shard was before the
// list is given up.
const maxForgotten = 8

// broken keeps what came before a page that did not come. A shard whose place
// Microsoft has forgotten is begun anew with the next slice.
func (l *lister) broken(ctx context.Context, b *batcher, got listed) error {
	err := got.err
	if fault.Is(err, fault.Expired) && got.shard.Next != "" {
		kind, times := fault.Unknown, got.shard.Forgotten+1
		if times > maxForgotten {
			kind = fault.Invalid
		}
		err = &fault.Error{Kind: kind, Code: fault.Of(err).Code, Err: err}
		if perr := b.place(ctx, directory.Shard{Name: got.shard.Name, Forgotten: times}); perr != nil {
			return perr
		}
	}
	if cerr := b.commit(ctx, nil); cerr != nil {
		return cerr
	}
	return err
}
