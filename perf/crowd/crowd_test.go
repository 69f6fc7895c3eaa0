package crowd

import (
	"encoding/json"
	"testing"
)

// A user is about as large as one of a real directory with the same
// properties: 984 bytes were measured.
func TestSize(t *testing.T) {
	c := Crowd{Seed: 1, People: 999}
	n := 0
	for i := range c.People {
		p := c.At(i, 0)
		b := p.AppendUser(nil, false)
		if !json.Valid(b) {
			t.Fatalf("person %d: %s", i, b)
		}
		n += len(b)
	}
	if mean := n / c.People; mean < 900 || mean > 1070 {
		t.Errorf("a user has %d bytes", mean)
	}
}

func TestEvery32ndHasTheSameInitial(t *testing.T) {
	c := Crowd{Seed: 1, People: 3200, Even: true}
	n := map[byte]int{}
	for i := range c.People {
		n[c.At(i, 0).UserPrincipalName[0]]++
	}
	if len(n) != 32 {
		t.Fatalf("%d initials", len(n))
	}
	for b, k := range n {
		if k != 100 {
			t.Errorf("%c: %d", b, k)
		}
	}
}

// What an edit changes is seen, and nothing else is.
func TestDigest(t *testing.T) {
	c := Crowd{Seed: 1, People: 100}
	d := c.Digest(Unchanged)
	if again := c.Digest(Unchanged); again != d {
		t.Error("the same people have another digest")
	}
	if c.Digest(func(i int) int { return i / 99 }) == d {
		t.Error("an edit was not seen")
	}
	p := c.At(5, 0)
	p.ProxyAddresses[0], p.ProxyAddresses[1] = p.ProxyAddresses[1], p.ProxyAddresses[0]
	if q := c.At(5, 0); p.Digest() != q.Digest() {
		t.Error("the order of a list counts")
	}
}
