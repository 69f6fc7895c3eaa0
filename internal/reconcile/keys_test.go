package reconcile

import (
	"encoding/binary"
	"testing"
)

// Whoever was added is remembered, and hardly anybody else, whether IDs are
// random or count up.
func TestKeys(t *testing.T) {
	const n = 200_000
	for name, key := range map[string]func(i uint64) [16]byte{
		"first bytes": func(i uint64) (k [16]byte) { binary.BigEndian.PutUint64(k[:], i); return k },
		"last bytes":  func(i uint64) (k [16]byte) { binary.BigEndian.PutUint64(k[8:], i); return k },
		"both": func(i uint64) (k [16]byte) {
			i *= 0x9e3779b97f4a7c15
			binary.BigEndian.PutUint64(k[:], i)
			copy(k[8:], k[:])
			return k
		},
	} {
		var k keys
		if k.has(key(0)) {
			t.Errorf("%s: somebody is among nobody", name)
		}
		for i := range uint64(n) {
			k.add(key(i))
		}
		wrong := 0
		for i := range uint64(n) {
			if !k.has(key(i)) {
				t.Fatalf("%s: key %d of %d is forgotten", name, i, n)
			}
			if k.has(key(n + i)) {
				wrong++
			}
		}
		bytes := 0
		for _, f := range k.filters {
			bytes += 8 * len(f)
		}
		// Seven filters by six in a million are eight of 200,000.
		if wrong > 40 || bytes > n*5 {
			t.Errorf("%s: %d of %d wrongly found, %d bytes", name, wrong, n, bytes)
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	var k keys
	for i := range uint64(50_000) {
		k.add([16]byte{1, byte(i), byte(i >> 8), byte(i >> 16)})
	}
	for i := uint64(0); b.Loop(); i++ {
		if k.has([16]byte{2, byte(i), byte(i >> 8), byte(i >> 16)}) {
			b.Log("wrongly found")
		}
	}
}
