package graph

import (
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph/scan"
)

// maxItems is how many items are expected of a page at most. Source: Microsoft
// Graph documentation, "Use the $top query parameter".
const maxItems = 999

// readPage reads a page of many items in one pass, without allocating for
// each: decodePage for what a tenant has thousands of. The items share pieces of
// memory, so who keeps one keeps its neighbors' strings too. read reads
// one item into a zero T, and reports whether all of it have their IDs.
func readPage[T any](b []byte, read func(*scan.Scanner, *T) bool) (p page[T], err error) {
	s, known := scan.New(b), true
	for name := range s.Members() {
		switch name {
		case "value":
			p.Value, known = readItems(s, read)
		case "@odata.nextLink":
			p.Next = strings.Clone(s.String()) // it is kept longer than the page
		case "@odata.deltaLink":
			p.Delta = strings.Clone(s.String())
		default:
			s.Skip()
		}
	}
	if err := s.End(); err != nil {
		return page[T]{}, fault.New(fault.Unknown, "page: %w", err)
	}
	if !known {
		return page[T]{}, errID()
	}
	return p, p.hasValue()
}

func readItems[T any](s *scan.Scanner, read func(*scan.Scanner, *T) bool) (_ *[]T, known bool) {
	if s.Null() {
		return nil, true
	}
	items, start := []T{}, s.Offset()
	known = true
	for range s.Elements() {
		if len(items) == cap(items) {
			items = grow(items, s.Offset()-start, s.Left())
		}
		items = items[:len(items)+1]
		if !read(s, &items[len(items)-1]) {
			known = false
		}
	}
	return &items, known
}

// grow makes room for one more item, and, when the first items tell how long
// an item is, for all that are left in so many bytes.
func grow[T any](items []T, bytes, left int) []T {
	n := len(items)
	if n == 0 {
		return make([]T, 0, 4)
	}
	more := 1 + left/(bytes/n+1)
	bigger := make([]T, n, n+max(1+n/4, min(more+more/16, maxItems-n)))
	copy(bigger, items)
	return bigger
}

// readID reads the ID of an object as we write it, empty if it is none.
func readID(s *scan.Scanner) string {
	id, _ := lowerID(s)
	return id
}

// lowerID reads an ID as we write it, empty if it is none, and a hash of it.
func lowerID(s *scan.Scanner) (id string, hash uint32) {
	id = s.String()
	hash, lower, ok := parseGUID(id)
	switch {
	case !ok:
		return "", 0
	case !lower:
		id = s.Lower(id)
	}
	return id, hash
}

// errID is an object that cannot be told from others.
func errID() error {
	return fault.New(fault.Unknown, "page: an object without a GUID for its ID")
}

// readRemoved reads the annotation of what is gone; null says nothing.
func readRemoved(s *scan.Scanner) (why directory.Reason) {
	if s.Null() {
		return ""
	}
	why = directory.Deleted
	for name := range s.Members() {
		if name != "reason" {
			s.Skip()
			continue
		}
		if why = directory.Deleted; s.String() == "changed" {
			why = directory.SoftDeleted
		}
	}
	return why
}
