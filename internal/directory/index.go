package directory

// Mark is what the index holds of a stored person: the fingerprint, with its
// two lowest bits replaced by the marks below. 0 stands for nobody.
type Mark uint64

// The two lowest bits of a mark.
const (
	// MarkPlain: active, and no removal is pending, held or kept.
	MarkPlain Mark = 1
	// MarkManager: has a manager.
	MarkManager Mark = 2
)

// MarkOf is the mark of a stored person, never 0.
func MarkOf(r *Record) Mark {
	m := Mark(r.Fingerprint()) &^ (MarkPlain | MarkManager)
	if r.Active() && r.Pending == "" && !r.Held && !r.Kept {
		m |= MarkPlain
	}
	if r.Manager != "" {
		m |= MarkManager
	}
	if m == 0 {
		m = 4 // one fingerprint more that another person may share
	}
	return m
}

// Indexed is one entry of the index.
type Indexed struct {
	Key  [16]byte // see [Key]
	Mark Mark     // 0: not stored any more
}

// WritesPeople reports whether the batch writes or deletes records of people,
// of which the index is to know.
func (b *Batch) WritesPeople() bool { return len(b.Add)+len(b.Put)+len(b.Erase) > 0 }

// Empty reports whether the batch writes nothing beside the fence.
func (b *Batch) Empty() bool {
	return b.Rows()+len(b.Changes)+len(b.Seen)+len(b.Scope)+len(b.Index) == 0
}
