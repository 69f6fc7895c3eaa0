package tablestore

import (
	"maps"
	"time"
)

// Verdict says what becomes of a committed write's answer.
type Verdict int

const (
	// Pass hands the answer on.
	Pass Verdict = iota
	// Cut closes the connection without an answer: the write is committed, and
	// its client cannot know.
	Cut
)

// Count is what clients have asked of one table, or of all. Refused and failed
// requests count as nothing.
type Count struct {
	Reads        int64 // answered queries and point reads
	Writes       int64 // committed writes: tables made or deleted, single entities, transactions
	Transactions int64 // those writes that were transactions
	Entities     int64 // operations on entities inside the writes
}

// Counters is a snapshot of all counts.
type Counters struct {
	Total  Count
	Tables map[string]Count
}

// failure is an injected storage error.
type failure struct {
	status int
	code   string
}

// tableGone is how long a deleted table's name stays unusable. Azure Tables,
// "Delete Table" (documented): at least 40 seconds.
const tableGone = 40 * time.Second

// Writes is how many writes, single or transaction, the store has committed.
func (s *Server) Writes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count.Total.Writes
}

// Requests is a snapshot of what has been asked so far.
func (s *Server) Requests() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counters{Total: s.count.Total, Tables: maps.Clone(s.count.Tables)}
}

// OnWrite has f called after each write is committed and before its answer is
// passed on. n counts from 1, as Writes does. f may block or end the client;
// while a hook is set, writes are taken one by one, so nothing is committed
// meanwhile, and a write whose client has gone is dropped. Nil clears.
func (s *Server) OnWrite(f func(n int64, table string) Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = f
}

// BeforeWrite has f called before each write is forwarded; n is the number
// that it will have if it commits. An error cuts the connection and nothing is
// written. Nil clears.
func (s *Server) BeforeWrite(f func(n int64, table string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Fail answers the next n authorized requests with a storage error, such as 503
// ServerBusy or 500 OperationTimedOut, and forwards none of them.
func (s *Server) Fail(n int, status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.fails = append(s.fails, failure{status, code})
	}
}

// EmptyPages puts an empty page with a continuation token before every page of
// a query. Azure Tables, "Query timeout and pagination" (documented): a query
// may return no results but a continuation header.
func (s *Server) EmptyPages(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty = on
}

func (s *Server) hooks() (before func(int64, string) error, after func(int64, string) Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before, s.after
}

func (s *Server) nextFailure() (failure, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fails) == 0 {
		return failure{}, false
	}
	f := s.fails[0]
	s.fails = s.fails[1:]
	return f, true
}

// beingDeleted says whether a table was deleted too recently to be made again.
func (s *Server) beingDeleted(table string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.gone[table]
	return ok && time.Since(at) < tableGone
}

// counted records an answered request and returns the write's number.
func (s *Server) counted(q *request) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count.Tables[q.table]
	for _, c := range []*Count{&c, &s.count.Total} {
		if !q.write() {
			c.Reads++
			continue
		}
		c.Writes++
		c.Entities += int64(len(q.ops))
		if q.kind == transaction {
			c.Transactions++
		}
	}
	s.count.Tables[q.table] = c
	switch q.kind {
	case deleteTable:
		s.gone[q.table] = time.Now()
	case createTable:
		delete(s.gone, q.table)
	}
	return s.count.Total.Writes
}
