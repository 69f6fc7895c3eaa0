package tenant

import (
	"slices"
	"strings"
	"sync"
)

const (
	// maxBeginning is how many bytes of a name are looked at; whoever asks for
	// more sifts what is found by these.
	maxBeginning = 6
	// fewNames are too few to be divided further.
	fewNames = 32
)

// beginnings finds records by how their user principal names begin. Under each
// beginning it keeps the positions of all records whose names have begun so
// since somebody asked, in order: more than have now, never fewer, so that only
// a new name has to be noted, and a position stays where it is. What has many
// is divided by one byte more when it is looked through.
//
// Who looks holds the directory's lock for reading, who notes for writing.
type beginnings struct {
	mu      sync.Mutex // among those who look
	of      map[string][]int32
	divided map[string]bool
}

// from are the positions from pos on of the records whose names may begin so.
func (x *beginnings) from(begin string, pos int, records []*record) []int32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of == nil {
		all := make([]int32, len(records))
		for i := range all {
			all[i] = int32(i)
		}
		x.of, x.divided = map[string][]int32{"": all}, map[string]bool{}
	}
	found := x.of[""]
	for n := 1; n <= min(len(begin), maxBeginning) && len(found) > fewNames; n++ {
		if !x.divided[begin[:n-1]] {
			x.divide(begin[:n-1], found, records)
		}
		found = x.of[begin[:n]]
	}
	at, _ := slices.BinarySearchFunc(found, pos, func(i int32, pos int) int { return int(i) - pos })
	return found[at:]
}

func (x *beginnings) divide(begin string, found []int32, records []*record) {
	var by [256][]int32
	for _, i := range found {
		name := strings.ToLower(records[i].person.UserPrincipalName)
		if len(name) > len(begin) && strings.HasPrefix(name, begin) {
			c := name[len(begin)]
			by[c] = append(by[c], i)
		}
	}
	for c, found := range by {
		if found != nil {
			x.of[begin+string([]byte{byte(c)})] = found
		}
	}
	x.divided[begin] = true
}

// note adds a name, in lower case, that a record has now.
func (x *beginnings) note(name string, i int32) {
	if x.of == nil {
		return // nobody has asked yet
	}
	for n := 0; ; n++ {
		found := x.of[name[:n]]
		if at, there := slices.BinarySearch(found, i); !there {
			x.of[name[:n]] = slices.Insert(found, at, i)
		}
		if n == len(name) || !x.divided[name[:n]] {
			return
		}
	}
}
