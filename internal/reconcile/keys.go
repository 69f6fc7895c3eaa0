package reconcile

import (
	"encoding/binary"
	"slices"
)

// keys remember whom a first run has written, at eight bytes a person, where a
// map would take forty: an item that the settings do not want is of nobody,
// unless an earlier page has brought them in.
type keys struct {
	sorted []uint64
	recent []uint64 // written since the others were sorted
}

// maxRecent is how many are looked through one by one.
const maxRecent = 1024

// half of a key tells people apart well enough: GUIDs are random, and whoever is
// taken for another is only looked up.
func half(key [16]byte) uint64 {
	return binary.BigEndian.Uint64(key[:]) ^ binary.BigEndian.Uint64(key[8:])
}

func (k *keys) add(key [16]byte) {
	k.recent = append(k.recent, half(key))
	if len(k.recent) > max(maxRecent, len(k.sorted)/8) {
		k.sorted = append(k.sorted, k.recent...)
		slices.Sort(k.sorted)
		k.recent = k.recent[:0]
	}
}

// has reports whether the person may have been added.
func (k *keys) has(key [16]byte) bool {
	h := half(key)
	if _, ok := slices.BinarySearch(k.sorted, h); ok {
		return true
	}
	return slices.Contains(k.recent, h)
}
