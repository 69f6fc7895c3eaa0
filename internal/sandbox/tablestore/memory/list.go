package memory

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"strings"
)

// maxChunk is the most items in a chunk. An insert moves half a chunk on
// average: some 6 KiB at 48 bytes an item.
const maxChunk = 256

// item is a key and its value. Keys are mostly told apart by their first eight
// bytes, which are looked at without going to where the key is.
type item[V any] struct {
	first uint64
	key   string
	value V
}

func newItem[V any](key string, v V) item[V] { return item[V]{firstOf(key), key, v} }

// firstOf is the first eight bytes of a key: what is less comes first.
func firstOf(key string) (w uint64) {
	for i := range 8 {
		w <<= 8
		if i < len(key) {
			w |= uint64(key[i])
		}
	}
	return w
}

// compare is of the item's key and another, whose first bytes are at hand.
func (it *item[V]) compare(first uint64, key string) int {
	if c := cmp.Compare(it.first, first); c != 0 {
		return c
	}
	return strings.Compare(it.key, key)
}

// chunk is some items in order, and the first bytes of the first.
type chunk[V any] struct {
	first uint64
	items []item[V]
}

func newChunk[V any](items ...item[V]) chunk[V] {
	return chunk[V]{items[0].first, append(make([]item[V], 0, maxChunk), items...)}
}

// list is a sorted list in chunks of at most maxChunk items, none empty. An
// insert or a delete moves items of one chunk only, and one in a hundred or so
// also the list of chunks, 32 bytes each.
type list[V any] struct {
	chunks []chunk[V]
}

// place is where a key is, or where it would go.
type place struct {
	chunk, i int
	found    bool
}

func (l *list[V]) place(key string) (p place) {
	n, first := len(l.chunks), firstOf(key)
	if n == 0 {
		return p
	}
	// The last chunk that begins at or before the key; often the last of all.
	begins := func(i int) bool {
		c := &l.chunks[i]
		return c.first < first || c.first == first && c.items[0].key <= key
	}
	if p.chunk = n - 1; !begins(n - 1) {
		p.chunk = max(0, sort.Search(n, func(i int) bool { return !begins(i) })-1)
	}
	items := l.chunks[p.chunk].items
	if p.i = len(items); items[p.i-1].compare(first, key) < 0 {
		return p
	}
	p.i = sort.Search(len(items), func(i int) bool { return items[i].compare(first, key) >= 0 })
	p.found = p.i < len(items) && items[p.i].key == key
	return p
}

// at is the value at a place where one was found, valid until the list changes.
func (l *list[V]) at(p place) *V { return &l.chunks[p.chunk].items[p.i].value }

// get returns the value of a key, valid until the list changes, or nil.
func (l *list[V]) get(key string) *V {
	if p := l.place(key); p.found {
		return l.at(p)
	}
	return nil
}

// put adds the key or replaces it together with its value.
func (l *list[V]) put(key string, v V) { l.putAt(l.place(key), key, v) }

// putAt is put at the key's place.
func (l *list[V]) putAt(p place, key string, v V) {
	it := newItem(key, v)
	if len(l.chunks) == 0 {
		l.chunks = append(l.chunks, newChunk(it))
		return
	}
	switch c := &l.chunks[p.chunk]; {
	case p.found:
		c.items[p.i] = it
		return
	case len(c.items) < maxChunk:
		c.items = slices.Insert(c.items, p.i, it)
	case p.chunk == len(l.chunks)-1 && p.i == maxChunk:
		// Keys that come in order fill their chunks.
		l.chunks = append(l.chunks, newChunk(it))
		return
	default:
		const half = maxChunk / 2
		upper := newChunk(c.items[half:]...)
		clear(c.items[half:])
		c.items = c.items[:half]
		l.chunks = slices.Insert(l.chunks, p.chunk+1, upper)
		if p.i > half {
			p.chunk, p.i = p.chunk+1, p.i-half
		}
		c = &l.chunks[p.chunk]
		c.items = slices.Insert(c.items, p.i, it)
	}
	l.chunks[p.chunk].first = l.chunks[p.chunk].items[0].first
}

// remove takes the key out, if it is there.
func (l *list[V]) remove(key string) {
	if p := l.place(key); p.found {
		l.removeAt(p)
	}
}

// removeAt takes out what was found at a place. Neighbors that have become
// small are joined.
func (l *list[V]) removeAt(p place) {
	c := &l.chunks[p.chunk]
	if c.items = slices.Delete(c.items, p.i, p.i+1); len(c.items) == 0 {
		l.chunks = slices.Delete(l.chunks, p.chunk, p.chunk+1)
		return
	}
	c.first = c.items[0].first
	for _, i := range [...]int{p.chunk - 1, p.chunk} {
		if i >= 0 && i+1 < len(l.chunks) && len(l.chunks[i].items)+len(l.chunks[i+1].items) <= maxChunk/2 {
			l.chunks[i].items = append(l.chunks[i].items, l.chunks[i+1].items...)
			l.chunks = slices.Delete(l.chunks, i+1, i+2)
			return
		}
	}
}

// from yields the items from the key on, in order. The list must not change meanwhile.
func (l *list[V]) from(key string) iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		p := l.place(key)
		for ; p.chunk < len(l.chunks); p.chunk, p.i = p.chunk+1, 0 {
			for items := l.chunks[p.chunk].items; p.i < len(items); p.i++ {
				if it := &items[p.i]; !yield(it.key, &it.value) {
					return
				}
			}
		}
	}
}
