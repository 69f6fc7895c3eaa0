package wire

import (
	"fmt"
	"sync"
	"time"
)

// Graph's limits in resource units. Source: Microsoft Graph documentation,
// "Throttling limits", identity and access.
const (
	TenantWindow = 10 * time.Second
	AppWindow    = 20 * time.Second
	AppLimit     = 150_000
)

// TenantLimit is that of an app in a tenant of so many people.
func TenantLimit(people int) int {
	switch {
	case people < 50:
		return 3_500
	case people <= 500:
		return 5_000
	default:
		return 8_000
	}
}

// warned and most are the parts of a limit between which Graph tells how much
// of it is used (documented).
const warned, most = 0.8, 1.8

// Limits counts what apps spend. The zero value is ready; it is safe for
// concurrent use.
//
// A window begins with the first request after the one before has ended, and
// refused requests count too (both inferred: a part above 1 can be told).
type Limits struct {
	// Tenant and App make their limits so many times smaller; 0 and 1 leave them.
	Tenant, App int

	mu      sync.Mutex
	windows map[string]*spent
}

type spent struct {
	began time.Time
	units int
}

// Use is how a request stands to the limits.
type Use struct {
	// Part is how much of a limit is used, 0 if that is not told.
	Part float64
	// Scope is whose limit that is.
	Scope string
	// Refused is true if the limit is passed, and After when its window ends.
	Refused bool
	After   time.Duration
}

// Take counts a request of so many units. Of the two limits the app's own comes
// first, if it is near.
func (l *Limits) Take(now time.Time, app, tenant string, people, units int) Use {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.take(now, "Application/ReadWrite/"+app, AppWindow, AppLimit/max(l.App, 1), units); u.Part > 0 {
		return u
	}
	return l.take(now, "Tenant_Application/ReadWrite/"+app+"/"+tenant, TenantWindow, TenantLimit(people)/max(l.Tenant, 1), units)
}

func (l *Limits) take(now time.Time, scope string, window time.Duration, limit, units int) Use {
	if l.windows == nil {
		l.windows = map[string]*spent{}
	}
	w := l.windows[scope]
	if w == nil || now.Sub(w.began) >= window || now.Before(w.began) {
		w = &spent{began: now}
		l.windows[scope] = w
	}
	w.units += units
	part := float64(w.units) / float64(max(limit, 1))
	if part <= warned {
		return Use{}
	}
	return Use{Part: min(part, most), Scope: scope, Refused: part > 1, After: w.began.Add(window).Sub(now)}
}

// Header is what Graph tells of it.
func (u Use) Header() map[string]string {
	if u.Part == 0 {
		return nil
	}
	h := map[string]string{"x-ms-throttle-limit-percentage": fmt.Sprintf("%.2f", u.Part), "x-ms-throttle-scope": u.Scope}
	if u.Refused {
		h["x-ms-throttle-information"] = "ResourceUnitLimitExceeded"
		h["Retry-After"] = fmt.Sprintf("%.3f", u.After.Seconds())
	}
	return h
}
