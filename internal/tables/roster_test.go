package tables

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// member is the membership of person n.
func member(n int, marks directory.Marks) directory.Member {
	return directory.Member{Key: key(n), Marks: marks}
}

// key is the key of person n.
func key(n int) [16]byte {
	return [16]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// The value of a row, byte by byte: rows are stored for years.
func TestRosterValue(t *testing.T) {
	r := directory.Roster{Team: "t", Bucket: "0", Members: []directory.Member{
		member(0x01020304, directory.MarkPending), member(0x0a000000, directory.MarkHeld|directory.MarkKept),
	}}
	want := []byte{1}
	want = append(want, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	want = append(want, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6)
	got, err := encodeRoster(&r)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("value %v, want %v (%v)", got, want, err)
	}
	back, err := decodeRoster("t", "0", want)
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Fatalf("read %+v, want %+v (%v)", back, r, err)
	}
}

func TestRosterRefused(t *testing.T) {
	one, two := string(make([]byte, 16))+"\x01", "\x0a"+string(make([]byte, 15))+"\x00"
	for name, tt := range map[string]struct {
		bucket, value string
		kind          fault.Kind
	}{
		"nothing":                  {"", "", fault.Invalid},
		"no version":               {"", "\x00" + one, fault.Invalid},
		"a newer version":          {"", "\x02" + one, fault.Conflict},
		"no members":               {"", "\x01", fault.Invalid},
		"half a member":            {"", "\x01" + one + two[:16], fault.Invalid},
		"members out of order":     {"", "\x01" + two + one, fault.Invalid},
		"a member twice":           {"", "\x01" + one + one, fault.Invalid},
		"a member of another row":  {"0a", "\x01" + one, fault.Invalid},
		"a bucket of no hex digit": {"G", "\x01" + one, fault.Invalid},
		"a bucket beyond an ID":    {strings.Repeat("0", 33), "\x01" + one, fault.Invalid},
	} {
		if _, err := decodeRoster("t", tt.bucket, []byte(tt.value)); !fault.Is(err, tt.kind) {
			t.Errorf("%s: error %v, want kind %v", name, err, tt.kind)
		}
	}
	if _, err := decodeRoster("t", "00", []byte("\x01"+one)); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for name, r := range map[string]directory.Roster{
		"out of order":   {Team: "t", Members: []directory.Member{member(2, 0), member(1, 0)}},
		"twice":          {Team: "t", Members: []directory.Member{member(1, 0), member(1, 1)}},
		"another bucket": {Team: "t", Bucket: "f", Members: []directory.Member{member(1, 0)}},
		"no team":        {Members: []directory.Member{member(1, 0)}},
	} {
		if _, err := encodeRoster(&r); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: written, %v", name, err)
		}
	}
}

// What can be read is written again as the same bytes.
func FuzzRoster(f *testing.F) {
	for n := range 3 {
		r := directory.Roster{Team: "t"}
		for i := range n + 1 {
			r.Members = append(r.Members, member(i, directory.Marks(i)))
		}
		b, err := encodeRoster(&r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", b)
		f.Add("0", b)
		f.Add("", b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, bucket string, b []byte) {
		r, err := decodeRoster("t", bucket, b)
		if err != nil {
			return
		}
		again, err := encodeRoster(&r)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		for i := range r.Members {
			if at, found := r.Find(r.Members[i].Key); !found || at != i {
				t.Fatalf("member %d found at %d, %v", i, at, found)
			}
		}
	})
}

// A packed set of IDs is read whole or refused.
func FuzzPackedIDs(f *testing.F) {
	f.Add([]byte(`"AQIDBAUGBwgJCgsMDQ4PEA=="`))
	f.Add([]byte(`"AQI="`))
	f.Add([]byte(`7`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows := func(yield func(row, error) bool) { yield(row{pk: "p", rk: "s!e!1", data: b}, nil) }
		ids, err := union(rows)
		if err == nil && len(ids) > len(b) {
			t.Errorf("%d IDs of %d bytes", len(ids), len(b))
		}
	})
}
