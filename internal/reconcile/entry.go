package reconcile

import (
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// entry is one person: as stored, and as they will be.
type entry struct {
	prior *directory.Record // nil if not stored
	next  directory.Record
	// hasManager is false if next's manager is prior's.
	hasManager bool
	queued     bool // in order
}

// rows is how many rows the entry takes: the record, and one where a removal
// begins to wait or waits no more.
func (e *entry) rows() int {
	n := 1
	if was, is := e.listed(); was != is {
		for _, list := range []listing{was, is} {
			if list != unlisted {
				n++
			}
		}
	}
	return n
}

// listing is where a person's waiting removal is listed.
type listing int

const (
	unlisted listing = iota
	pending          // for the end of the run
	held             // for a human
)

func listingOf(r *directory.Record) listing {
	switch {
	case r == nil || r.Pending == "":
		return unlisted
	case r.Held:
		return held
	default:
		return pending
	}
}

// listed is where the removal is listed before and after the batch.
func (e *entry) listed() (was, is listing) { return listingOf(e.prior), listingOf(&e.next) }

// settled reports whether the stored record needs no write.
func (e *entry) settled() bool {
	return e.prior != nil && e.prior.Pending == e.next.Pending && e.prior.Held == e.next.Held && e.prior.Kept == e.next.Kept &&
		directory.Compare(e.prior, &e.next) == nil
}

// folded is what a page makes of one person. The batch's own entry is left
// alone until there is room for the difference.
type folded struct {
	entry
	in *entry // the person's entry in the batch, or nil
}

// relist moves a waiting removal from one list to another.
func relist(f *job.Fence, batch *directory.Batch, id string, was, is listing) {
	switch was {
	case pending:
		f.Pending--
		batch.Unpend = append(batch.Unpend, id)
	case held:
		f.Held--
		batch.Unhold = append(batch.Unhold, id)
	}
	switch is {
	case pending:
		f.Pending++
		batch.Pend = append(batch.Pend, id)
	case held:
		f.Held++
		batch.Hold = append(batch.Hold, id)
	}
}

func count(f *job.Fence, t directory.Type) {
	switch t {
	case directory.Created:
		f.Run.Created++
		f.Stored++
		f.Active++
	case directory.Updated:
		f.Run.Updated++
	case directory.Archived:
		f.Run.Archived++
		f.Active--
	case directory.Reactivated:
		f.Run.Reactivated++
		f.Active++
	}
}
