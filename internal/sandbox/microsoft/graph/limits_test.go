package graph

import (
	"net/http/httptest"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
)

// Where limits hold, answers warn before they are refusals, and the window ends
// by itself.
func TestLimitHolds(t *testing.T) {
	w := newWorld(t, 10, 10)
	id, err := w.faults.Add(fault.Fault{Kind: fault.Limit, Divide: 350}) // 10 units in 10 s
	if err != nil {
		t.Fatal(err)
	}
	bearer := w.bearer(t, "User.Read.All")
	get := func() *httptest.ResponseRecorder {
		res, _ := w.do(httptest.NewRequest("GET", "/v1.0/users/delta", nil), bearer)
		return res
	}
	for n := 1; n <= 11; n++ {
		res := get()
		h := res.Header()
		status, part := 200, map[int]string{9: "0.90", 10: "1.00", 11: "1.10"}[n]
		if n == 11 {
			status = 429
		}
		if res.Code != status || h.Get("x-ms-throttle-limit-percentage") != part || (h.Get("Retry-After") == "10.000") != (n == 11) {
			t.Errorf("request %d: %d %v", n, res.Code, h)
		}
	}
	if n := w.faults.Fired(id); n != 3 {
		t.Errorf("took effect %d times", n)
	}
	w.now = w.now.Add(10 * time.Second)
	if res := get(); res.Code != 200 || res.Header().Get("x-ms-throttle-scope") != "" {
		t.Errorf("the next window: %d %v", res.Code, res.Header())
	}
	w.faults.ClearAll()
	if _, err := w.faults.Add(fault.Fault{Kind: fault.Near, Part: 1.25, Count: 1}); err != nil {
		t.Fatal(err)
	}
	h := get().Header()
	if h.Get("x-ms-throttle-limit-percentage") != "1.25" || h.Get("x-ms-throttle-scope") != "Tenant_Application/ReadWrite/app/"+w.t.ID {
		t.Errorf("near: %v", h)
	}
	for _, bad := range []fault.Fault{{Kind: fault.Near}, {Kind: fault.Near, Part: 1.81}, {Kind: fault.Cut, Part: 1}, {Kind: fault.Cut, Divide: 2}, {Kind: fault.Limit, Divide: -1}} {
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}
