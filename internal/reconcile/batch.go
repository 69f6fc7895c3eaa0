package reconcile

import (
	"context"
	"slices"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

const (
	// maxChangeBytes bounds the packed changes by an upper estimate of their
	// JSON: they are one row of at most 900 KiB. The records take as much once
	// more, so that a transaction stays well below its 4 MiB.
	maxChangeBytes = 850 << 10
	// maxSeen is how many IDs one row of seen IDs holds: 16 bytes each, and a
	// third more for base 64, in one row.
	maxSeen = 30000
)

// batcher collects what pages change until a transaction is full. A page's
// link is advanced in the fence only when the whole page is in the batch, so
// a crash replays what was not committed, and a replayed page comes to nothing.
type batcher struct {
	w       *worker
	entries map[string]*entry
	order   []*entry // what the next commit writes
	rows    int
	bytes   int
	seen    []string
	shards  []directory.Shard // places of a list in parallel
	// fresh: nobody is stored, so people are inserted without being read, and
	// the store objects to one who is.
	fresh bool
	// ahead: a full batch is committed while the next one is made. Only where
	// nothing but [batcher.stored] reads what is stored.
	ahead bool
	// made is the batch of the last plan, and differ has the sets of its
	// changes: both are used again for the next.
	made   directory.Batch
	differ directory.Differ
}

func newBatcher(w *worker) *batcher {
	return &batcher{
		w:       w,
		entries: make(map[string]*entry),
		fresh:   w.fence.People.Fresh && w.fence.Stored == 0,
	}
}

// page takes in one page, committing as often as the batch is full.
func (b *batcher) page(ctx context.Context, p directory.Page) error {
	people, err := b.fold(ctx, p)
	if err != nil {
		return err
	}
	if err := b.scope(ctx, people); err != nil {
		return err
	}
	if err := b.managers(ctx, people); err != nil {
		return err
	}
	for _, f := range people {
		if f.next.ID == "" { // nobody to us, before and after
			continue
		}
		if err := b.add(ctx, f); err != nil {
			return err
		}
	}
	if len(b.seen) >= maxSeen {
		return b.flush(ctx)
	}
	return nil
}

// news are the page's items that may tell something new, in their order, and
// counts the others.
func (b *batcher) news(p directory.Page) (items []directory.Item) {
	f := &b.w.fence
	enumerates := f.People.Enum != ""
	sweeps := enumerates && !f.People.Fresh
	told := make(map[string]bool) // of whom something new was told
	items = p.Items[:0]
	for i := range p.Items {
		it := &p.Items[i]
		f.Run.Seen++
		if sweeps && it.Removed == "" {
			b.seen = append(b.seen, strings.Clone(it.ID)) // without the whole page
		}
		if b.w.isErased(it.ID) {
			continue
		}
		if !b.w.chosen.ReportingLines { // then nobody has one
			it.HasManager = true
		}
		if !told[it.ID] && b.entries[it.ID] == nil && b.w.index.settles(b.w, it) {
			f.Run.Unchanged++
			continue
		}
		if b.w.index != nil {
			told[it.ID] = true
		}
		items = append(items, *it)
	}
	return items
}

// fold applies the page's items in their order, the last one of a person
// winning, to what is stored and to what the batch already holds.
func (b *batcher) fold(ctx context.Context, p directory.Page) ([]*folded, error) {
	items := b.news(p)
	stored, err := b.stored(ctx, items)
	if err != nil {
		return nil, err
	}
	var (
		people = make([]*folded, 0, len(items))
		onPage = make(map[string]*folded, len(items))
	)
	for i := range items {
		it := &items[i]
		f := onPage[it.ID]
		if f == nil {
			f = b.start(it.ID, stored)
		}
		if !f.take(b.w, it) {
			continue
		}
		if onPage[it.ID] == nil {
			onPage[it.ID] = f
			people = append(people, f)
		}
	}
	return people, nil
}

// managers settles what a page leaves open. In a delta round an unmentioned
// manager has not changed: of somebody who is not stored, since the settings left
// them out or age has purged them, it is to be asked for; who is new is not told
// from them. In an enumeration, or of somebody who returns,
// it means that there is none, or, in tenants where Graph forgets to mention
// them, nothing; so whoever would keep a stored manager then is asked for.
// Source of that defect: issue 15842 of microsoftgraph/microsoft-graph-docs.
func (b *batcher) managers(ctx context.Context, people []*folded) error {
	c := &b.w.fence.People
	enumerating := c.Enum != ""
	// Unchanged since before a list began is not unchanged since the list: a
	// manager who was gone for a while was not listed, and is not told again.
	catchesUp := enumerating && c.Sharded && c.Latest == ""
	var ids []string
	for _, f := range people {
		returns := f.prior != nil && (!f.prior.Active() || f.prior.Pending != "" || f.prior.Kept)
		comes := f.prior == nil && !enumerating
		if (enumerating || returns || comes) && !f.hasManager && f.next.ID != "" && f.next.Pending == "" && (f.next.Manager != "" || catchesUp || comes) {
			ids = append(ids, f.next.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := b.w.Graph.Managers(ctx, b.w.conn.Access(), ids)
	if err != nil {
		return err
	}
	for _, f := range people {
		if manager, ok := found[f.next.ID]; ok && !f.hasManager {
			f.next.Manager, f.hasManager = manager, true
		}
	}
	return nil
}

// start is a person before a page: as the batch has them, else as stored.
func (b *batcher) start(id string, stored map[string]directory.Record) *folded {
	if e := b.entries[id]; e != nil {
		return &folded{entry: *e, in: e}
	}
	f := &folded{}
	if r, ok := stored[id]; ok {
		f.prior = &r
	}
	return f
}

// isNew reports whether the item is of somebody who need not be looked up: the
// index, or that nobody was stored, proves that they are new, and no earlier page
// of this slice has brought them in.
func (b *batcher) isNew(it *directory.Item) bool {
	w := b.w
	if it.Removed != "" || w.doubts {
		return false
	}
	key, ok := directory.Key(it.ID)
	return (b.fresh || ok && w.index.unstored(key)) && !w.written.has(key)
}

// stored reads the page's people as they are stored, those apart who are in
// the batch or new.
func (b *batcher) stored(ctx context.Context, items []directory.Item) (map[string]directory.Record, error) {
	var ids []string
	asked := make(map[string]bool)
	for i := range items {
		it := &items[i]
		if asked[it.ID] || b.entries[it.ID] != nil || b.isNew(it) {
			continue
		}
		asked[it.ID] = true
		ids = append(ids, it.ID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := b.w.land(ctx); err != nil { // it may be about them
		return nil, err
	}
	return b.w.Store.Records(ctx, b.w.part, ids)
}

// add takes one person's next state into the batch, committing first if there
// is no room.
func (b *batcher) add(ctx context.Context, f *folded) error {
	if f.in != nil && !f.in.queued { // committed since: that is what is stored now
		committed := f.in.next
		f.in.prior, f.prior = &committed, &committed
	}
	size := 2 * directory.Size(&f.next.Person) // the record, and its change
	more := f.rows()
	if f.in != nil && f.in.queued {
		more -= f.in.rows()
	} else if f.settled() {
		b.w.fence.Run.Unchanged++
		return nil
	}
	if b.rows+more > directory.MaxRows || (b.bytes+size)/2 > maxChangeBytes {
		if err := b.flush(ctx); err != nil {
			return err
		}
		more = f.rows()
	}
	e := f.in
	switch {
	case e == nil:
		e = &f.entry
	case !e.queued: // committed just now, to make room
		e.next, e.hasManager = f.next, f.hasManager
		more = e.rows()
	default:
		e.next, e.hasManager = f.next, f.hasManager
	}
	b.bytes += size
	b.rows += more
	if !e.queued {
		e.queued = true
		b.order = append(b.order, e)
		b.entries[e.next.ID] = e
	}
	return nil
}

// place takes the place of a shard into the batch.
func (b *batcher) place(ctx context.Context, s directory.Shard) error {
	if i := slices.IndexFunc(b.shards, func(o directory.Shard) bool { return o.Name == s.Name }); i >= 0 {
		b.shards[i] = s
		return nil
	}
	if b.rows == directory.MaxRows {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.shards = append(b.shards, s)
	b.rows++
	return nil
}

// flush commits what there is, if there is anything.
func (b *batcher) flush(ctx context.Context) error {
	if len(b.order) == 0 && len(b.seen) == 0 && len(b.shards) == 0 {
		return nil
	}
	if b.ahead {
		return b.write(ctx, nil, b.w.launch)
	}
	return b.commit(ctx, nil)
}

// commitPages commits if any page has come since the last commit.
func (b *batcher) commitPages(ctx context.Context, pages int) error {
	if pages%maxUncommitted == 0 {
		return b.flush(ctx)
	}
	return b.commit(ctx, nil)
}

// commit writes the batch with the fence, after then has adjusted the fence
// as it is after the batch.
func (b *batcher) commit(ctx context.Context, then func(*job.Fence)) error {
	return b.write(ctx, then, b.w.commit)
}

func (b *batcher) write(ctx context.Context, then func(*job.Fence), how func(context.Context, directory.Batch) error) error {
	batch := b.plan()
	if then != nil {
		then(&b.w.fence)
	}
	if err := how(ctx, batch); err != nil {
		return err
	}
	b.clear()
	return nil
}

// clear makes room for the next batch.
func (b *batcher) clear() {
	for _, e := range b.order { // what is left of the page may hold on to them
		e.queued = false
		key, ok := directory.Key(e.next.ID)
		switch fresh := b.w.fence.People.Fresh; {
		case !ok:
		case fresh && e.prior == nil:
			b.w.written.add(key)
		case b.w.index != nil:
			b.w.index.put(key, directory.MarkOf(&e.next))
		}
	}
	clear(b.entries)
	b.order, b.seen, b.shards, b.rows, b.bytes = nil, nil, nil, 0, 0
}

// plan turns the entries into rows and numbered changes, and counts them in
// the fence.
func (b *batcher) plan() directory.Batch {
	f := &b.w.fence
	b.differ.Reset()
	clear(b.made.Add) // nothing but the last page is kept alive
	clear(b.made.Put)
	batch := &b.made
	*batch = directory.Batch{
		Enum: f.People.Enum, Seen: b.seen, Shards: b.shards, Add: batch.Add[:0], Put: batch.Put[:0], Changes: batch.Changes[:0], Lists: batch.Lists[:0],
	}
	for _, e := range b.order {
		if e.settled() {
			f.Run.Unchanged++
			continue
		}
		if c, changed := b.differ.Compare(e.prior, &e.next); changed {
			c.Position = move(e.prior, &e.next)
			if b.w.previewing() && e.prior != nil {
				c.Was = directory.Difference(&e.next.Person, &e.prior.Person)
			}
			e.next.Changed = b.w.tell(batch, &c)
		}
		if was, is := e.listed(); was != is {
			relist(f, batch, e.next.ID, was, is)
		}
		if e.prior == nil {
			e.next.Created = b.w.Now().UTC()
			batch.Add = append(batch.Add, e.next)
		} else {
			batch.Put = append(batch.Put, e.next)
		}
	}
	return *batch
}
