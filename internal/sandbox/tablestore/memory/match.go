package memory

import (
	"cmp"
	"strings"

	"rollcall/internal/sandbox/tablestore/flat"
)

// found is what a filter is held against.
type found struct {
	partition, row string
	value          *Row
	tableName      string // of a table, which has nothing else
}

// match says whether the filter lets x pass. A comparison with a property that
// is missing is false, whatever the operator (Azurite (source)).
func (f *Filter) match(x found) bool {
	if f == nil {
		return true
	}
	switch f.op {
	case "and":
		return f.left.match(x) && f.right.match(x)
	case "or":
		return f.left.match(x) || f.right.match(x)
	case "not":
		return !f.left.match(x)
	}
	v, ok := x.property(f.name)
	if !ok {
		return false
	}
	if f.op == "is" {
		return v.kind == booleans && v.n == 1
	}
	n, comparable := v.compare(f.value)
	if !comparable { // values of different types differ, and none is the greater
		return f.op == "ne"
	}
	switch f.op {
	case "eq":
		return n == 0
	case "ne":
		return n != 0
	case "lt":
		return n < 0
	case "le":
		return n <= 0
	case "gt":
		return n > 0
	default: // ge
		return n >= 0
	}
}

func (x found) property(name string) (literal, bool) {
	switch {
	case x.value == nil:
		return literal{kind: texts, text: x.tableName}, name == "TableName"
	case name == "PartitionKey":
		return literal{kind: texts, text: x.partition}, true
	case name == "RowKey":
		return literal{kind: texts, text: x.row}, true
	case name == "Timestamp":
		return literal{kind: dates, n: int64(x.value.Tick)}, true
	}
	edm, m, ok := value(x.value.Properties, name)
	if !ok {
		return literal{}, false
	}
	return typedValue(edm, m.Text, m.Kind == flat.Number, m.Kind == flat.Bool)
}

func (v literal) compare(w literal) (n int, comparable bool) {
	switch {
	case v.kind == integers && w.kind == doubles:
		return cmp.Compare(float64(v.n), w.f), true
	case v.kind == doubles && w.kind == integers:
		return cmp.Compare(v.f, float64(w.n)), true
	case v.kind != w.kind:
		return 0, false
	case v.kind == doubles:
		return cmp.Compare(v.f, w.f), v.f == v.f && w.f == w.f
	case v.kind == booleans || v.kind == dates || v.kind == integers:
		return cmp.Compare(v.n, w.n), true
	}
	return strings.Compare(v.text, w.text), true
}

// bounds are the keys that a filter leaves: from the first, and until the last
// if there is one. Keys within them need not fulfill the filter.
type bounds struct {
	from, until string
	bounded     bool // until is one
}

// bounds of a key property, as far as comparisons that are joined by "and" tell.
func (f *Filter) bounds(name string) (b bounds) {
	switch {
	case f == nil:
	case f.op == "and":
		b = f.left.bounds(name)
		r := f.right.bounds(name)
		b.from = max(b.from, r.from)
		if r.bounded && (!b.bounded || r.until < b.until) {
			b.until, b.bounded = r.until, true
		}
	case f.name == name && f.value.kind == texts:
		if f.op == "eq" || f.op == "ge" || f.op == "gt" {
			b.from = f.value.text
		}
		if f.op == "eq" || f.op == "le" || f.op == "lt" {
			b.until, b.bounded = f.value.text, true
		}
	}
	return b
}
