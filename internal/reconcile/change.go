package reconcile

import (
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// tell puts a change into the batch under the next number, which it returns,
// and counts it.
func (w *worker) tell(batch *directory.Batch, c *directory.Change) int64 {
	f := &w.fence
	f.LastChange++
	c.Number, c.Run, c.At = f.LastChange, f.Run.ID, w.Now().UTC()
	batch.Changes = append(batch.Changes, *c)
	count(f, c.Type)
	return c.Number
}

// count counts a change in the run's record, and in what is then stored.
func count(f *job.Fence, t directory.Type) {
	kind, what, _ := strings.Cut(string(t), ".")
	n, stored := figures(f, kind)
	switch what {
	case "created":
		*n.created++
		stored.Stored++
		stored.Active++
	case "updated":
		*n.updated++
	case "archived":
		*n.archived++
		stored.Active--
	case "reactivated":
		*n.reactivated++
		stored.Active++
	}
}

// tallied is where changes of one kind are counted.
type tallied struct{ created, updated, archived, reactivated *int }

// figures are those of a kind by its name in the types of changes. What is
// stored is counted of people and teams only.
func figures(f *job.Fence, kind string) (n tallied, stored *job.Tally) {
	r, stored := &f.Run, new(job.Tally)
	var of *job.KindCounters
	switch kind {
	case "person":
		return tallied{&r.Created, &r.Updated, &r.Archived, &r.Reactivated}, &f.Tally
	case "team":
		of, stored = &r.Teams, &f.Teams
	case "license":
		of = &r.Licenses
	case "mailbox":
		of = &r.Mailboxes
	default:
		of = &r.Positions
	}
	return tallied{&of.Created, &of.Updated, &of.Archived, &of.Reactivated}, stored
}
