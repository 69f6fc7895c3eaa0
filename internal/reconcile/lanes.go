package reconcile

import (
	"context"

	"rollcall/internal/directory"
)

// lanes fetch what is to do, until nothing is left or ctx ends.
func (l *lister) lanes(ctx context.Context) <-chan listed {
	pages := make(chan listed)
	stop := context.AfterFunc(ctx, l.wake)
	for range l.Lanes {
		l.asking.Go(func() {
			for {
				s, ok := l.take(ctx)
				if !ok {
					return
				}
				l.walk(ctx, s, pages)
			}
		})
	}
	go func() {
		l.asking.Wait()
		stop()
		close(pages)
	}()
	return pages
}

// wake makes whoever waits look at their context again.
func (l *lister) wake() {
	l.mu.Lock() // whoever has just seen that it goes on waits by now
	defer l.mu.Unlock()
	l.idle.Broadcast()
}

// fetched waits until every page has come, or ctx ends, and reports which.
func (l *lister) fetched(ctx context.Context) bool {
	defer context.AfterFunc(ctx, l.wake)() // lanes that have failed do not wake it
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.open == 0 {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		l.idle.Wait()
	}
}

// take waits for a shard to do; ok is false if none will come.
func (l *lister) take(ctx context.Context) (s directory.Shard, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.todo) == 0 && l.busy > 0 && ctx.Err() == nil {
		l.idle.Wait()
	}
	if len(l.todo) == 0 || ctx.Err() != nil {
		return s, false
	}
	s, l.todo = l.todo[0], l.todo[1:]
	l.busy++
	return s, true
}

// leave tells the others that nothing more comes of a shard.
func (l *lister) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	l.idle.Broadcast()
}

// asked is a page of a shard that was asked for.
type asked struct {
	link  string
	early chan string // the next page's link, as seen before this one is decoded; then closed
	page  chan directory.ListPage
	err   error // if there is no page
	drop  context.CancelFunc
	// sure: the link was no guess, or a right one; last: no page follows. Both
	// are guarded by the lister.
	sure, last bool
}

func (l *lister) ask(ctx context.Context, prefixes []string, link string, sure bool) *asked {
	ctx, drop := context.WithCancel(ctx)
	a := &asked{link: link, early: make(chan string, 1), page: make(chan directory.ListPage, 1), drop: drop, sure: sure}
	l.asking.Go(func() {
		defer drop()
		p, err := l.Graph.ListPeople(ctx, l.conn.Access(), prefixes, link, l.properties(), func(next string) { a.early <- next })
		close(a.early)
		l.learn(a, false, err == nil && p.Next == "")
		a.err = err
		a.page <- p
	})
	return a
}

// learn notes what has turned out about a page: that it belongs to the shard, or
// that it has come and is the last.
func (l *lister) learn(a *asked, sure, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.sure, a.last = a.sure || sure, a.last || last
	if a.sure && a.last {
		l.open--
		l.idle.Broadcast()
	}
}

// wait returns the page, and the one after it if that is asked for while this one
// comes, or is decoded; nil if it is not known by then which that is, or whether
// it is wanted.
func (l *lister) wait(ctx context.Context, prefixes []string, a *asked, wanted func() bool) (p directory.ListPage, after *asked, err error) {
	if next, ok := <-a.early; ok && wanted() {
		after = l.ask(ctx, prefixes, next, false)
	}
	switch p = <-a.page; {
	case after == nil:
	case a.err != nil || p.Next != after.link:
		after.drop()
		after = nil
	default:
		l.learn(after, true, false)
	}
	return p, after, a.err
}

// walk fetches the pages of a shard until its end, or until it is split.
func (l *lister) walk(ctx context.Context, s directory.Shard, pages chan<- listed) {
	prefixes := prefixesOf(&s)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		had  [][16]byte
		long <-chan bool // tells whether it is better split; nil while nobody asks
		cut  bool        // what it has told
		next *asked
	)
	goesOn := func() bool { // as far as is known
		select {
		case cut = <-long:
			long = nil
		default:
		}
		return long == nil && !cut
	}
	for ends := false; !ends; {
		if s.Pages == longShard {
			long = l.long(ctx, prefixes)
		}
		if next == nil {
			next = l.ask(ctx, prefixes, s.Next, true)
		}
		p, after, err := l.wait(ctx, prefixes, next, goesOn)
		next = after
		got := listed{s, p.Items, err}
		if err == nil {
			if s.Pages <= longShard {
				for i := range p.Items {
					if key, ok := directory.Key(p.Items[i].ID); ok {
						had = append(had, key)
					}
				}
			}
			s.Next, s.Pages, s.Done = p.Next, s.Pages+1, p.Next == ""
			if !s.Done && long != nil {
				cut, long = <-long, nil
			}
			if !s.Done && cut {
				s.Next, s.Split = "", true
			}
			got.shard = s
		}
		if ends = err != nil || s.Done || s.Split; ends && !s.Split {
			l.leave()
		}
		select {
		case pages <- got:
		case <-ctx.Done():
			return
		}
	}
	if s.Split {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range had {
			l.doubles[key]++ // again if the shard above was split, too
		}
		l.split(prefixes, nil)
		l.open--
		l.busy--
		l.idle.Broadcast()
	}
}

// long tells, while the next page is fetched, whether the rest of a shard is
// better listed in parallel.
func (l *lister) long(ctx context.Context, prefixes []string) <-chan bool {
	answer := make(chan bool, 1)
	if len(prefixes[0]) >= maxPrefix {
		answer <- false
		return answer
	}
	l.asking.Go(func() {
		n, err := l.Graph.CountPeople(ctx, l.conn.Access(), prefixes...)
		answer <- err == nil && n > 2*longShard*maxListPage
	})
	return answer
}
