// Package memory is a store of tables that keeps entities as the JSON in which
// they are sent.
//
// A transaction is applied as a whole or not at all, and a write that was
// answered is seen by every later read.
package memory

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a store answers where it does not do what it is asked.
var (
	ErrTableExists = errors.New("the table exists")
	ErrNoTable     = errors.New("there is no such table")
	ErrExists      = errors.New("the entity exists")
	ErrNoEntity    = errors.New("there is no such entity")
	ErrStale       = errors.New("the entity has another version")
)

// Tick is a time in units of 100 ns since 1970, which is also a version: no two
// writes of a store have the same.
type Tick int64

// Time is the time of a tick.
func (t Tick) Time() time.Time { return time.Unix(0, int64(t)*100).UTC() }

// Row is one stored entity.
type Row struct {
	// Properties are the JSON members of the entity, without braces and system
	// properties. A type precedes its property:
	// "B@odata.type":"Edm.Binary","B":"AAEC". Every value is in the form of its type.
	Properties string
	Tick       Tick // of its last write
}

// Verb is what an operation does.
type Verb byte

// The verbs. Merge keeps the properties that the operation does not name.
const (
	Insert Verb = iota + 1
	Replace
	Merge
	Delete
)

// Op is one operation on one row. Its strings are kept.
type Op struct {
	Verb       Verb
	Row        string
	Properties string // as in [Row]
	// Match is a condition of Replace, Merge and Delete: the row must exist, and
	// unless Match is Any have this version. 0 is none: Replace and Merge then
	// insert what is missing.
	Match Tick
}

// Any is the match that every version fulfills.
const Any Tick = -1

// Store is a set of tables. Its methods may be called from any goroutine.
type Store struct {
	now   func() time.Time
	judge func(partition, row, properties string) error

	mu     sync.RWMutex // guards the list of tables, not what is in them
	tables list[*table] // by name in lower case

	clock sync.Mutex
	last  Tick
}

// New makes an empty store. What a merge has put together is stored only if
// judge returns nil.
func New(now func() time.Time, judge func(partition, row, properties string) error) *Store {
	return &Store{now: now, judge: judge}
}

// table holds its rows by partition. One lock guards all of them: what is done
// under it takes microseconds, since rows are parsed before and written out after.
type table struct {
	name       string
	mu         sync.RWMutex
	partitions list[*list[Row]]
}

// Create makes a table, or returns ErrTableExists. Names differ in more than case.
func (s *Store) Create(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(name)
	if s.tables.get(key) != nil {
		return ErrTableExists
	}
	s.tables.put(key, &table{name: strings.Clone(name)})
	return nil
}

// Drop deletes a table, or returns ErrNoTable.
func (s *Store) Drop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(name)
	if s.tables.get(key) == nil {
		return ErrNoTable
	}
	s.tables.remove(key)
	return nil
}

// Tables returns the names, in order, of at most limit tables from a name on
// that the filter lets pass as TableName, and the name to go on with, empty at the end.
func (s *Store) Tables(from string, limit int, f *Filter) (names []string, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, t := range s.tables.from(strings.ToLower(from)) {
		if !f.match(found{tableName: (*t).name}) {
			continue
		}
		if len(names) == limit {
			return names, key
		}
		names = append(names, (*t).name)
	}
	return names, ""
}

func (s *Store) table(name string) (*table, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tables.get(strings.ToLower(name))
	if t == nil {
		return nil, ErrNoTable
	}
	return *t, nil
}

// Get returns one row, ErrNoTable or ErrNoEntity.
func (s *Store) Get(name, partition, row string) (Row, error) {
	t, err := s.table(name)
	if err != nil {
		return Row{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if p := t.partitions.get(partition); p != nil {
		if r := (*p).get(row); r != nil {
			return *r, nil
		}
	}
	return Row{}, ErrNoEntity
}

// Write applies operations on different rows of one partition, all or none, and
// returns their tick. An error names the first operation that cannot be done.
func (s *Store) Write(name, partition string, ops []Op) (tick Tick, failed int, err error) {
	t, err := s.table(name)
	if err != nil {
		return 0, 0, err
	}
	undo := make([]undoing, 0, len(ops))
	t.mu.Lock()
	defer t.mu.Unlock()
	var p *list[Row]
	if found := t.partitions.get(partition); found != nil {
		p = *found
	} else {
		p = &list[Row]{}
	}
	tick = s.tick() // under the lock: later writes of a row have later ticks
	for i := range ops {
		u, err := s.apply(p, partition, &ops[i], tick)
		if err != nil {
			for _, u := range slices.Backward(undo) {
				u.in(p)
			}
			return 0, i, err
		}
		undo = append(undo, u)
	}
	if len(p.chunks) == 0 {
		t.partitions.remove(partition)
	} else if t.partitions.get(partition) == nil {
		t.partitions.put(strings.Clone(partition), p)
	}
	return tick, 0, nil
}

// undoing is what a row was before an operation.
type undoing struct {
	row    string
	was    Row
	stored bool
}

func (u *undoing) in(p *list[Row]) {
	if u.stored {
		p.put(u.row, u.was)
	} else {
		p.remove(u.row)
	}
}

// apply does one operation.
func (s *Store) apply(p *list[Row], partition string, op *Op, tick Tick) (u undoing, err error) {
	at := p.place(op.Row)
	u = undoing{row: op.Row, stored: at.found}
	var old *Row
	if at.found {
		old = p.at(at)
		u.was = *old
	}
	if err := op.allowed(old); err != nil {
		return u, err
	}
	properties := op.Properties
	if op.Verb == Merge && old != nil {
		properties = merge(old.Properties, op.Properties)
		if err := s.judge(partition, op.Row, properties); err != nil {
			return u, err
		}
	}
	if op.Verb == Delete {
		p.removeAt(at) // what is not there is not allowed to be deleted
	} else {
		p.putAt(at, op.Row, Row{properties, tick})
	}
	return u, nil
}

// allowed holds an operation against the row that is there, if any.
func (op *Op) allowed(old *Row) error {
	switch {
	case op.Verb == Insert && old != nil:
		return ErrExists
	case op.Verb == Insert:
		return nil
	case old == nil && (op.Match != 0 || op.Verb == Delete):
		return ErrNoEntity
	case old != nil && op.Match != 0 && op.Match != Any && op.Match != old.Tick:
		return ErrStale
	}
	return nil
}

// tick is the time, or the next tick after the last.
func (s *Store) tick() Tick {
	s.clock.Lock()
	defer s.clock.Unlock()
	s.last = max(s.last+1, Tick(s.now().UnixNano()/100))
	return s.last
}

// merge puts properties over others.
func merge(old, properties string) string {
	kept, add := members(old), members(properties)
	out := make([]string, 0, len(kept)+len(add))
	for _, m := range kept {
		if !slices.ContainsFunc(add, func(a property) bool { return a.name == m.name }) {
			out = append(out, m.raw)
		}
	}
	for _, m := range add {
		out = append(out, m.raw)
	}
	return strings.Join(out, ",")
}
