package directory

import (
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// A mark is never that of nobody, and tells of a record what it is to tell.
func TestMarkOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := records().Draw(t, "record")
		m := MarkOf(&r)
		if m == 0 {
			t.Fatal("a stored person has the mark of none")
		}
		if plain := r.Archived.IsZero() && r.Pending == "" && !r.Held && !r.Kept; (m&MarkPlain != 0) != plain {
			t.Fatalf("mark %x, plain %v", m, plain)
		}
		if (m&MarkManager != 0) != (r.Manager != "") {
			t.Fatalf("mark %x, manager %q", m, r.Manager)
		}
		if f := r.Fingerprint(); m>>2 != Mark(f)>>2 && !(f>>2 == 0 && m == 4) {
			t.Fatalf("mark %x of fingerprint %x", m, f)
		}
		later := r
		later.Created, later.Changed, later.ID = later.Created.Add(time.Hour), later.Changed+1, "other"
		if MarkOf(&later) != m {
			t.Fatal("the mark tells more than the properties and the life")
		}
	})
	plain := Record{Person: Person{Mail: "a"}}
	for name, change := range map[string]func(*Record){
		"archived": func(r *Record) { r.Archived = time.Unix(1, 0) },
		"pending":  func(r *Record) { r.Pending = Missing },
		"held":     func(r *Record) { r.Held = true },
		"kept":     func(r *Record) { r.Kept = true },
	} {
		r := plain
		if change(&r); MarkOf(&plain)&MarkPlain == 0 || MarkOf(&r)&MarkPlain != 0 {
			t.Errorf("%s: marks %x and %x", name, MarkOf(&plain), MarkOf(&r))
		}
	}
}

// Fingerprints are stored: these bytes are hashed, whatever the machine and
// the version.
func TestFingerprintIsStored(t *testing.T) {
	yes, long := true, strings.Repeat("x", 300)
	p := Person{ID: "none of it", Mail: "a", OtherMails: []string{"b", "cc"}, AccountEnabled: &yes, Department: long, Manager: "m"}
	bytes := "\x01\x01a" + "\x02\x02\x01b\x02cc" + "\x0b\x01" + "\x0e\xac\x02" + long + "\x13\x01m"
	if got, want := p.Fingerprint(), xxhash.Sum64String(bytes); got != want {
		t.Errorf("fingerprint %x, want %x", got, want)
	}
	p.Mail = strings.Repeat("y", 5000) // more than the stack holds
	if got, want := p.Fingerprint(), xxhash.Sum64String("\x01\x88\x27"+p.Mail+bytes[3:]); got != want {
		t.Errorf("fingerprint %x, want %x", got, want)
	}
}

func TestRowsCountShards(t *testing.T) {
	b := Batch{Shards: make([]Shard, 3), Index: make([]Indexed, 50), Put: make([]Record, 2)}
	if n := b.Rows(); n != 5 {
		t.Errorf("%d rows, want 5: entries of the index share one", n)
	}
}

// A plain title is named as any other.
func TestPositionIDOfASCII(t *testing.T) {
	slow := func(title string) string { return PositionID("\u200a" + title) } // a space that is not ASCII
	rapid.Check(t, func(t *rapid.T) {
		title := rapid.StringOf(rapid.RuneFrom([]rune(" \tAZaz09&.-~\x7f\x00é"))).Draw(t, "title")
		if got, want := PositionID(title), slow(title); got != want {
			t.Fatalf("%q: %s, want %s", title, got, want)
		}
	})
	for _, title := range []string{"", " ", "Chief  Clerk", "CHIEF CLERK ", strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		if got, want := PositionID(title), slow(title); got != want {
			t.Errorf("%q: %s, want %s", title, got, want)
		}
	}
}
