package wire

import (
	"fmt"
	"net/http"
	"sync"

	"rollcall/internal/sandbox/microsoft/fault"
)

// limits are the limits of the armed faults, by how many times smaller they
// are than Graph's.
type limits struct {
	mu  sync.Mutex
	all map[int]*Limits
}

func (l *limits) divided(by int) *Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[int]*Limits{}
	}
	if l.all[by] == nil {
		l.all[by] = &Limits{Tenant: by, App: by}
	}
	return l.all[by]
}

// Spend counts a request where limits are to hold. Then ok is true if it is
// refused, and rep the answer; else more are headers that go with the answer.
func (g *Gate) Spend(r *http.Request, tenant, app, path string, people, units int) (rep Reply, more http.Header, ok bool) {
	more = http.Header{}
	if f, armed := g.Faults.Armed(tenant, path, fault.Limit); armed {
		u := g.limits.divided(f.Divide).Take(g.Now(), app, tenant, people, units)
		for k, v := range u.Header() {
			more.Set(k, v)
		}
		if u.Part > 0 {
			g.Faults.Take(tenant, path, fault.Limit)
		}
		if u.Refused {
			rep = Error(r, g.Now(), http.StatusTooManyRequests, "TooManyRequests", "Too many requests")
			for k, v := range more {
				rep.Header[k] = v
			}
			return rep, nil, true
		}
	}
	if f, hit := g.Faults.Take(tenant, path, fault.Near); hit {
		more.Set("x-ms-throttle-limit-percentage", fmt.Sprintf("%g", f.Part))
		setScope(more, f.Scope, app, tenant)
	}
	return Reply{}, more, false
}

// setScope tells whose limit it is; "none" tells nothing.
func setScope(h http.Header, scope, app, tenant string) {
	switch scope {
	case "none":
		return
	case "":
		scope = "Tenant_Application/ReadWrite/" + app + "/" + tenant
	}
	h.Set("x-ms-throttle-scope", scope)
}
