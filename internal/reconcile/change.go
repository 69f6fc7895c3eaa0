package reconcile

import "rollcall/internal/directory"

// tell puts a change into the batch under the next number, and returns it.
func (w *worker) tell(batch *directory.Batch, c *directory.Change) int64 {
	f := &w.fence
	f.LastChange++
	c.Number, c.Run, c.At = f.LastChange, f.Run.ID, w.Now().UTC()
	batch.Changes = append(batch.Changes, *c)
	return c.Number
}
