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
	if r == nil {
		return unlisted
	}
	return lifeListing(&r.Life)
}

func lifeListing(l *directory.Life) listing {
	switch {
	case l.Pending == "":
		return unlisted
	case l.Held:
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
	// unsure is the page's last item of somebody stored who is in no scope
	// group, as far as the list of their members tells; nil otherwise.
	unsure *directory.Item
}

// take applies an item, and reports whether it matters to us.
func (f *folded) take(w *worker, it *directory.Item) bool {
	current := f.prior
	if f.next.ID != "" {
		current = &f.next
	}
	f.unsure = nil
	stored := current != nil && current.Active()
	switch {
	case it.Removed != "":
		if !stored || current.Kept || current.Held {
			return false // never stored, archived already, or a human has the say
		}
		f.next = *current
		f.next.Pending = it.Removed
		return true
	case w.chosenBySettings(&it.Person):
		if w.inGroups(it.ID) {
			f.merge(current, *it)
			return true
		}
		if !stored {
			return false
		}
		unsure := *it
		f.unsure = &unsure // asked for, before they are taken for gone
	case !stored:
		return false
	default:
		f.leave(current, *it, directory.OutOfScope)
		return true
	}
	f.next = *current
	return true
}

// merge takes the item over: whoever waited to be removed has returned.
func (f *folded) merge(current *directory.Record, it directory.Item) {
	f.next = directory.Merge(current, it)
	f.hasManager = f.hasManager || it.HasManager
}

// leave proposes the removal of somebody stored and active who is in the
// tenant. Those whom a human keeps are kept up to date.
func (f *folded) leave(current *directory.Record, it directory.Item, why directory.Reason) {
	kept := current.Kept
	switch {
	case kept:
		f.merge(current, it)
		f.next.Kept = true
	case current.Held:
		f.next = *current
	default:
		f.next = *current
		f.next.Pending = why
	}
}

// relist moves a waiting removal from one list to another.
func relist(f *job.Fence, batch *directory.Batch, id string, was, is listing) {
	for _, l := range []struct {
		at  listing
		off bool
	}{{was, true}, {is, false}} {
		n := 1
		if l.off {
			n = -1
		}
		switch l.at {
		case pending:
			f.Pending += n
			batch.Lists = append(batch.Lists, directory.Listing{List: directory.PendingPeople, ID: id, Off: l.off})
		case held:
			f.Held += n
			batch.Lists = append(batch.Lists, directory.Listing{List: directory.HeldPeople, ID: id, Off: l.off})
		}
	}
}

// move is a person's change of position, nil if there is none.
func move(prior, next *directory.Record) *directory.Move {
	at := func(r *directory.Record) string {
		if r == nil || !r.Active() {
			return ""
		}
		return directory.PositionID(r.JobTitle)
	}
	m := directory.Move{From: at(prior), To: at(next)}
	if m.From == m.To {
		return nil
	}
	return &m
}
