package tables

import (
	"bytes"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// A roster's row holds no JSON, because a tenant has many more memberships
// than people: a version byte, then 17 bytes a member, key and marks, sorted
// by key without repeats.
const (
	rosterVersion = 1
	memberSize    = 17
	// maxBucket is as many hex digits as a key has.
	maxBucket = 32
)

func encodeRoster(r *directory.Roster) ([]byte, error) {
	if strings.Contains(r.Team, "!") || r.Team == "" {
		return nil, fault.New(fault.Invalid, "roster: team %q is no ID", r.Team)
	}
	if err := checkRoster(r); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1+memberSize*len(r.Members))
	b = append(b, rosterVersion)
	for i := range r.Members {
		b = append(b, r.Members[i].Key[:]...)
		b = append(b, byte(r.Members[i].Marks))
	}
	return b, nil
}

// toRoster reads a roster's row.
func toRoster(r row) (directory.Roster, error) {
	team, bucket, ok := strings.Cut(strings.TrimPrefix(r.rk, rosterPrefix), "!")
	if !ok {
		return directory.Roster{}, fault.New(fault.Invalid, "row %s/%s: names no bucket", r.pk, r.rk)
	}
	ros, err := decodeRoster(team, bucket, r.data)
	fault.Wrap(&err, "row %s/%s", r.pk, r.rk)
	return ros, err
}

// decodeRoster reads a roster's value and refuses whatever encodeRoster does
// not write.
func decodeRoster(team, bucket string, b []byte) (directory.Roster, error) {
	r := directory.Roster{Team: team, Bucket: bucket}
	if len(b) == 0 || b[0] == 0 {
		return r, fault.New(fault.Invalid, "roster: no version")
	}
	if b[0] > rosterVersion {
		return r, newer("roster", int(b[0]), rosterVersion)
	}
	rest := b[1:]
	if len(rest) == 0 || len(rest)%memberSize != 0 {
		return r, fault.New(fault.Invalid, "roster: %d bytes of members, not a multiple of %d", len(rest), memberSize)
	}
	r.Members = make([]directory.Member, len(rest)/memberSize)
	for i := range r.Members {
		m := rest[i*memberSize:]
		r.Members[i] = directory.Member{Key: [16]byte(m), Marks: directory.Marks(m[16])}
	}
	return r, checkRoster(&r)
}

// checkRoster says whether the members are sorted, without repeats, and all
// of the bucket: else a search would miss some.
func checkRoster(r *directory.Roster) error {
	if len(r.Bucket) > maxBucket {
		return fault.New(fault.Invalid, "roster: bucket %q is longer than an ID", r.Bucket)
	}
	for i := range r.Members {
		if i > 0 && bytes.Compare(r.Members[i-1].Key[:], r.Members[i].Key[:]) >= 0 {
			return fault.New(fault.Invalid, "roster: members %d and %d are out of order", i-1, i)
		}
		for d := range len(r.Bucket) {
			if digit(&r.Members[i].Key, d) != r.Bucket[d] {
				return fault.New(fault.Invalid, "roster: member %d is not of bucket %q", i, r.Bucket)
			}
		}
	}
	return nil
}

// digit is the key's hex digit at place d.
func digit(key *[16]byte, d int) byte {
	return "0123456789abcdef"[key[d/2]>>(4*(1-d%2))&15]
}
