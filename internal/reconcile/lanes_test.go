package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
)

// Lanes end by themselves once nothing is left that they could do, as after a
// page that did not come. Whoever waits for every page is told when the list is
// given up later than that.
func TestFetchedAfterLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{worker: &worker{Engine: &Engine{Lanes: 2}}, open: 1}
		l.idle.L = &l.mu
		ctx, giveUp := context.WithCancel(t.Context())
		whole := make(chan bool, 1)
		go func() { whole <- l.fetched(ctx) }()
		for range l.lanes(ctx) {
			t.Error("a page came")
		}
		synctest.Wait()
		giveUp()
		if <-whole {
			t.Error("every page has come")
		}
	})
}
