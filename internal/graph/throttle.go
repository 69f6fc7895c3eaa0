package graph

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// MaxPause is the longest that a request waits within a worker; what has to
	// wait longer is [fault.Throttled], and its run goes on by a message.
	MaxPause = 2 * time.Second
	// halfLife is how soon a pause is half as long if Microsoft says nothing
	// more: the limits are of windows of 10 and 20 s.
	halfLife = 5 * time.Second
	// leastPause is not worth waiting for.
	leastPause = 10 * time.Millisecond

	// window is that of the limits of an app in one tenant. Source: Microsoft
	// Graph documentation, "Throttling limits", identity and access.
	window = 10 * time.Second
	// burst is the part of a window's limit that may be spent at once, rate the
	// part that comes back in a window. Together they are the most that is spent
	// in any window: 0.8 of the limit, below which Microsoft does not warn.
	burst, rate = 0.2, 0.6
	// reserve is the part that only urgent requests may take: as much as others,
	// who wait for it, are promised at most. So nobody urgent waits for others.
	reserve = rate * float64(MaxPause) / float64(window)
)

// unitsOf is the limit in a window of a tenant of at least so many people.
func unitsOf(people int) float64 {
	switch {
	case people < 50:
		return 3_500
	case people <= 500:
		return 5_000
	default:
		return 8_000
	}
}

// Pacer spaces the requests of a process, so that each tenant's stay below
// Microsoft's limit, and that fewer are made before it is reached. The zero
// value is ready. It never waits itself, and is safe for concurrent use.
type Pacer struct {
	mu      sync.Mutex
	tenants map[connection.Access]*flow
	apps    map[connection.Access]*slowdown // by [appOf]
	room    int                             // of tenants, before the idle are dropped
}

// flow is what a tenant's requests are held to.
type flow struct {
	slowdown
	limit float64
	// left may be spent at once, as of at; what is below the reserve is
	// promised to those who wait.
	left float64
	at   time.Time
}

// slowdown is the pause before each request since Microsoft's last warning.
type slowdown struct {
	pause time.Duration
	told  time.Time
}

// appOf is the app without the tenant.
func appOf(a connection.Access) connection.Access { a.Tenant = ""; return a }

// Reserve takes the units of a request and tells how long it has to wait, at
// most [MaxPause]. Where that is too little it takes nothing and returns
// [fault.Throttled].
func (p *Pacer) Reserve(now time.Time, who connection.Access, t job.Terms, units int) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flow(now, who)
	f.grow(unitsOf(t.People))
	f.refill(now)
	free := f.left
	if t.Priority != job.High {
		free -= reserve * f.limit
	}
	var wait time.Duration
	if short := float64(units) - free; short > 0 {
		wait = time.Duration(short / (rate * f.limit) * float64(window))
	}
	if wait > MaxPause {
		e := fault.New(fault.Throttled, "budget of the tenant's requests is spent for %s", wait.Round(time.Millisecond)).WithCode(job.Standing)
		e.After = wait
		return 0, e
	}
	f.left -= float64(units)
	wait = max(wait, f.wait(now, t.Priority))
	if app := p.apps[appOf(who)]; app != nil {
		wait = max(wait, app.wait(now, t.Priority))
	}
	return wait, nil
}

// Tell takes what Microsoft says in a response: how near the limit is, and what
// the request has cost, of which so many units were reserved; 0 leaves that out.
func (p *Pacer) Tell(now time.Time, who connection.Access, h http.Header, reserved int) {
	cost, part := units(h), percentage(h)
	if part == 0 && (reserved == 0 || cost == 0 || cost == reserved) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flow(now, who)
	if reserved > 0 && cost > 0 {
		f.left -= float64(cost - reserved)
	}
	if part == 0 {
		return
	}
	s := &f.slowdown
	if wideScope(h) != "" {
		if p.apps == nil {
			p.apps = map[connection.Access]*slowdown{}
		}
		if s = p.apps[appOf(who)]; s == nil {
			s = new(slowdown)
			p.apps[appOf(who)] = s
		}
	}
	s.pause, s.told = pauseAt(part), now
}

// Learn notes that the tenant has at least so many people.
func (p *Pacer) Learn(now time.Time, who connection.Access, people int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flow(now, who).grow(unitsOf(people))
}

// pauseAt is the pause at a part of the limit: from a tenth of a second at 0.8,
// where Microsoft begins to tell, to [MaxPause] at 1.8, where it ends.
func pauseAt(part float64) time.Duration {
	const least = 100 * time.Millisecond
	grown := least + time.Duration((part-0.8)*float64(MaxPause-least))
	return min(max(grown, least), MaxPause)
}

// wait is what is left of the pause; a quarter of it for the urgent.
func (s *slowdown) wait(now time.Time, p job.Priority) time.Duration {
	if s.pause == 0 {
		return 0
	}
	d := float64(s.pause) * math.Exp2(-float64(max(now.Sub(s.told), 0))/float64(halfLife))
	if p == job.High {
		d /= 4
	}
	if d < float64(leastPause) {
		return 0
	}
	return time.Duration(d)
}

// grow raises the limit, and what is left with it.
func (f *flow) grow(limit float64) {
	if limit > f.limit {
		f.left += burst * (limit - f.limit)
		f.limit = limit
	}
}

func (f *flow) refill(now time.Time) {
	if d := now.Sub(f.at); d > 0 {
		f.left = min(f.left+rate*f.limit*float64(d)/float64(window), burst*f.limit)
		f.at = now
	}
}

// minRoom is how many tenants are kept in any case: some 200 bytes each.
const minRoom = 1024

// flow finds the tenant's. Before there are too many, those are dropped that
// stand as if they had never asked.
func (p *Pacer) flow(now time.Time, who connection.Access) *flow {
	if f := p.tenants[who]; f != nil {
		return f
	}
	if p.tenants == nil {
		p.tenants, p.room = map[connection.Access]*flow{}, minRoom
	}
	if len(p.tenants) >= p.room {
		for a, f := range p.tenants {
			if f.refill(now); f.left >= burst*f.limit && f.wait(now, job.Low) == 0 {
				delete(p.tenants, a)
			}
		}
		p.room = max(minRoom, 2*len(p.tenants))
	}
	f := &flow{at: now}
	p.tenants[who] = f
	return f
}

// percentage is the part of a limit that Microsoft says is used, 0 if it does
// not. Source: Microsoft Graph documentation, "Throttling limits":
// x-ms-throttle-limit-percentage, of 0.8 to 1.8.
func percentage(h http.Header) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(h.Get("x-ms-throttle-limit-percentage")), 64)
	if err != nil || !(v >= 0.8 && v <= 10) { // NaN too
		return 0
	}
	return v
}

// wideScope is the scope of a throttle that is not of one tenant, empty if it
// is or nobody says. Source: Microsoft Graph documentation, "Throttling
// limits": x-ms-throttle-scope is scope/limit/application/tenant, such as
// Tenant_Application/ReadWrite/<app>/<tenant>. One that names no tenant counts
// as of the app (inferred).
func wideScope(h http.Header) string {
	parts := strings.Split(strings.TrimSpace(h.Get("x-ms-throttle-scope")), "/")
	kind := parts[0]
	switch {
	case kind == "", has(kind, "Tenant"):
		return ""
	case !has(kind, "Application") && len(parts) > 3 && parts[3] != "":
		return ""
	}
	if len(parts) > 1 {
		kind += "/" + parts[1]
	}
	return kind[:min(len(kind), 64)]
}

func has(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// pace holds a request back until it may be made, and returns what was taken of
// the budget for it, where the response tells the true cost.
func (c *Client) pace(ctx context.Context, tenant connection.Access, q *call) (taken int, err error) {
	units := q.units
	if units == 0 {
		units = cost(strings.TrimPrefix(q.link, c.base))
		taken = units
	}
	d, err := c.pacer.Reserve(c.Now(), tenant, job.TermsOf(ctx), units)
	if err == nil && d > 0 {
		err = c.Sleep(ctx, d)
	}
	return taken, err
}

// sleep waits in real time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cost is the documented cost of a request whose URL goes on so behind the
// version. Source: Microsoft Graph documentation, "Throttling limits", identity
// and access: what is not named there costs 1.
func cost(rest string) int {
	path, query, _ := strings.Cut(rest, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	selects := strings.Contains(query, "$select=") || strings.Contains(query, "%24select=")
	n := 1
	switch {
	case strings.HasPrefix(last, "delta"), last == "$count":
	case path == "/users":
		n = 2
	case path == "/subscribedSkus":
		n = 3
	case strings.Contains(path, "/transitiveMembers"):
		n = 5
	case strings.HasPrefix(path, "/groups/") && strings.Contains(path, "/members"):
		n = 3
	case last == "checkMemberGroups":
		n = 4
	case last == "getByIds":
		if n = 5; selects {
			n = 3 // and one less below
		}
	}
	if selects {
		n--
	}
	if strings.Contains(query, "$expand=") || strings.Contains(query, "%24expand=") {
		n++
	}
	return max(n, 1)
}

// priorityHeader is that by which Microsoft chooses whom to throttle first.
// Source: Microsoft Graph documentation, "Throttling limits".
const priorityHeader = "x-ms-throttle-priority"

// priority is its value; empty for the usual.
func priority(ctx context.Context) string {
	switch job.TermsOf(ctx).Priority {
	case job.Low:
		return "low"
	case job.High:
		return "high"
	default:
		return ""
	}
}
