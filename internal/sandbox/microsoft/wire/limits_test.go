package wire_test

import (
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/wire"
)

// The documented limits, a unit before and beyond each.
func TestLimits(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct{ people, limit int }{{1, 3500}, {49, 3500}, {50, 5000}, {500, 5000}, {501, 8000}} {
		var l wire.Limits
		if u := l.Take(now, "app", "tenant", test.people, test.limit*8/10); u != (wire.Use{}) {
			t.Errorf("%d people: at 0.8: %+v", test.people, u)
		}
		at := now.Add(7500 * time.Millisecond)
		if u := l.Take(at, "app", "tenant", test.people, test.limit*2/10); u.Part != 1 || u.Refused || u.Header()["Retry-After"] != "" {
			t.Errorf("%d people: at the limit: %+v", test.people, u)
		}
		u := l.Take(at, "app", "tenant", test.people, 1)
		h := u.Header()
		if !u.Refused || h["Retry-After"] != "2.500" || h["x-ms-throttle-scope"] != "Tenant_Application/ReadWrite/app/tenant" || h["x-ms-throttle-limit-percentage"] != "1.00" {
			t.Errorf("%d people: beyond it: %+v, %v", test.people, u, h)
		}
		if u := l.Take(at, "app", "other", test.people, 1); u != (wire.Use{}) {
			t.Errorf("another tenant: %+v", u)
		}
		if u := l.Take(now.Add(10*time.Second), "app", "tenant", test.people, 1); u != (wire.Use{}) {
			t.Errorf("the next window: %+v", u)
		}
	}
}

// Many tenants, each far from its limit, come to the app's.
func TestAppLimit(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var l wire.Limits
	for n := range 150 {
		u := l.Take(now, "app", string(rune('a'+n)), 10, 1000)
		if want := n >= 120; u.Refused || (u.Part > 0) != want {
			t.Fatalf("tenant %d: %+v", n, u)
		}
	}
	u := l.Take(now.Add(19*time.Second), "app", "one more", 10, 1)
	if !u.Refused || u.After != time.Second || u.Scope != "Application/ReadWrite/app" {
		t.Errorf("%+v", u)
	}
	if u := l.Take(now.Add(19*time.Second), "second", "one more", 10, 1); u != (wire.Use{}) {
		t.Errorf("another app: %+v", u)
	}
	if u := l.Take(now.Add(20*time.Second), "app", "one more", 10, 1); u != (wire.Use{}) {
		t.Errorf("the next window: %+v", u)
	}
	for range 3 {
		u = l.Take(now.Add(20*time.Second), "app", "x", 10, 150_000)
	}
	if u.Part != 1.8 {
		t.Errorf("at most 1.8 is told, not %g", u.Part)
	}
}
