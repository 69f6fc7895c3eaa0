package memory

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// maxChunk is the most items in a chunk. An insert moves half a chunk on
// average: some 5 KiB at 40 bytes an item.
const maxChunk = 256

type item[V any] struct {
	key   string
	value V
}

// list is a sorted list in chunks of at most maxChunk items, none empty. An
// insert or a delete moves items of one chunk only, and one in a hundred or so
// also the list of chunks, 24 bytes each.
type list[V any] struct {
	chunks [][]item[V]
}

// place returns where the key is, or where it would go.
func (l *list[V]) place(key string) (chunk, i int, found bool) {
	// The last chunk that begins at or before the key; mostly the last of all.
	if n := len(l.chunks); n == 0 {
		return 0, 0, false
	} else if l.chunks[n-1][0].key <= key {
		chunk = n - 1
	} else {
		chunk = max(0, sort.Search(n, func(i int) bool { return l.chunks[i][0].key > key })-1)
	}
	c := l.chunks[chunk]
	if n := len(c); c[n-1].key < key {
		return chunk, n, false
	}
	i, found = slices.BinarySearchFunc(c, key, func(it item[V], key string) int { return strings.Compare(it.key, key) })
	return chunk, i, found
}

// get returns the value of a key, valid until the list changes, or nil.
func (l *list[V]) get(key string) *V {
	if c, i, found := l.place(key); found {
		return &l.chunks[c][i].value
	}
	return nil
}

// put adds the key or replaces it together with its value.
func (l *list[V]) put(key string, v V) {
	c, i, found := l.place(key)
	switch {
	case found:
		l.chunks[c][i] = item[V]{key, v}
		return
	case len(l.chunks) == 0:
		l.chunks = append(l.chunks, []item[V]{{key, v}})
		return
	case len(l.chunks[c]) < maxChunk:
		l.chunks[c] = slices.Insert(l.chunks[c], i, item[V]{key, v})
		return
	case c == len(l.chunks)-1 && i == maxChunk:
		// Keys that come in order fill their chunks.
		l.chunks = append(l.chunks, append(make([]item[V], 0, maxChunk), item[V]{key, v}))
		return
	}
	upper := append(make([]item[V], 0, maxChunk), l.chunks[c][maxChunk/2:]...)
	clear(l.chunks[c][maxChunk/2:])
	l.chunks[c] = l.chunks[c][:maxChunk/2]
	l.chunks = slices.Insert(l.chunks, c+1, upper)
	if i > maxChunk/2 {
		c, i = c+1, i-maxChunk/2
	}
	l.chunks[c] = slices.Insert(l.chunks[c], i, item[V]{key, v})
}

// remove takes the key out, if it is there. Neighbors that have become small
// are joined.
func (l *list[V]) remove(key string) {
	c, i, found := l.place(key)
	if !found {
		return
	}
	l.chunks[c] = slices.Delete(l.chunks[c], i, i+1)
	if len(l.chunks[c]) == 0 {
		l.chunks = slices.Delete(l.chunks, c, c+1)
		return
	}
	for _, c := range [...]int{c - 1, c} {
		if c >= 0 && c+1 < len(l.chunks) && len(l.chunks[c])+len(l.chunks[c+1]) <= maxChunk/2 {
			l.chunks[c] = append(l.chunks[c], l.chunks[c+1]...)
			l.chunks = slices.Delete(l.chunks, c+1, c+2)
			return
		}
	}
}

// from yields the items from the key on, in order. The list must not change meanwhile.
func (l *list[V]) from(key string) iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		c, i, _ := l.place(key)
		for ; c < len(l.chunks); c, i = c+1, 0 {
			for ; i < len(l.chunks[c]); i++ {
				if it := &l.chunks[c][i]; !yield(it.key, &it.value) {
					return
				}
			}
		}
	}
}
