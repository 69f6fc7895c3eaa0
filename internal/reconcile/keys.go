package reconcile

import "github.com/cespare/xxhash/v2"

// keys remember whom a slice has written in a first run, in Bloom filters: four
// bytes a person, where a map would take forty. Whoever is wrongly taken for one
// of them, some ten in a hundred thousand, is looked up for nothing.
type keys struct {
	filters []filter
	room    int // that the last one has left
}

// filter has a power of two of bits, eight of which are set for each key.
type filter []uint64

const (
	probes = 8
	// spread is how many bits there are for each key: with eight probes, six of
	// a million keys that are not in a filter seem to be.
	spread = 32
	// The first filter has room for 512 keys, and each one more than the one
	// before, up to 32,768 keys in 128 KiB.
	leastKeys, mostKeys = 1 << 9, 1 << 15
)

func (k *keys) add(key [16]byte) {
	if k.room == 0 {
		k.room = min(leastKeys<<(2*len(k.filters)), mostKeys)
		k.filters = append(k.filters, make(filter, k.room*spread/64))
	}
	k.room--
	k.filters[len(k.filters)-1].add(xxhash.Sum64(key[:]))
}

// has reports whether the person may have been added. Of who was, it is never
// false.
func (k *keys) has(key [16]byte) bool {
	if len(k.filters) == 0 {
		return false
	}
	h := xxhash.Sum64(key[:])
	for i := len(k.filters) - 1; i >= 0; i-- {
		if k.filters[i].has(h) {
			return true
		}
	}
	return false
}

func (f filter) add(h uint64) {
	last := uint64(len(f))*64 - 1
	for at, step := h, h>>32|1; step < (h>>32|1)+probes; step++ { // the step grows, too
		f[at&last/64] |= 1 << (at & 63)
		at += step
	}
}

func (f filter) has(h uint64) bool {
	last := uint64(len(f))*64 - 1
	for at, step := h, h>>32|1; step < (h>>32|1)+probes; step++ {
		if f[at&last/64]&(1<<(at&63)) == 0 {
			return false
		}
		at += step
	}
	return true
}
