package consent

import (
	"sync"
	"time"
)

// Bounds of what strangers can make us do: whoever holds a link can press its
// button without end.
const (
	// maxPresses is how often one link's button does something within
	// pressEvery, which is how long what a press stores is kept.
	maxPresses = 30
	pressEvery = stateTTL
	// maxUnproven is how many entries of one action people who have proved
	// nothing yet make in a connection's audit log within unprovenEvery. What a
	// proven person does is noted always.
	maxUnproven   = 30
	unprovenEvery = time.Hour
)

// quota counts what was done, by key, in periods of time. It is this
// instance's own, which is enough for a bound.
type quota struct {
	mu    sync.Mutex
	since time.Time
	used  map[string]int
}

// take uses one of the most there are of the key's within the period, and
// returns 0, or how long to wait for the next period if all are used.
func (q *quota) take(key string, most int, period time.Duration, now time.Time) (wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == nil || now.Sub(q.since) >= period {
		q.since, q.used = now, make(map[string]int)
	}
	if q.used[key] >= most {
		return q.since.Add(period).Sub(now)
	}
	q.used[key]++
	return 0
}
