package job

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/fault"
)

func TestDecode(t *testing.T) {
	tests := map[string]struct {
		body string
		kind fault.Kind
		ok   bool
	}{
		"ours":                {body: `{"v":1,"kind":"sync","connection":"abc","run":"r-1","slice":3}`, ok: true},
		"unknown member":      {body: `{"v":1,"kind":"verify","connection":"abc","run":"r","slice":0,"later":true}`, ok: true},
		"newer":               {body: `{"v":2,"kind":"sync","connection":"abc","run":"r"}`, kind: fault.Conflict},
		"a plan, no decision": {body: `{"v":1,"kind":"sync","connection":"abc","run":"r","trigger":"schedule","plan":"x"}`, kind: fault.Invalid},
		"a decision, no plan": {body: `{"v":1,"kind":"sync","connection":"abc","run":"r","trigger":"approve"}`, kind: fault.Invalid},
		"no version":          {body: `{"kind":"sync","connection":"abc","run":"r"}`, kind: fault.Invalid},
		"unknown kind":        {body: `{"v":1,"kind":"purge","connection":"abc","run":"r"}`, kind: fault.Invalid},
		"no connection":       {body: `{"v":1,"kind":"sync","run":"r"}`, kind: fault.Invalid},
		"a path for an ID":    {body: `{"v":1,"kind":"sync","connection":"../x","run":"r"}`, kind: fault.Invalid},
		"markup for an ID":    {body: `{"v":1,"kind":"sync","connection":"abc","run":"<b>"}`, kind: fault.Invalid},
		"negative slice":      {body: `{"v":1,"kind":"sync","connection":"abc","run":"r","slice":-1}`, kind: fault.Invalid},
		"cut":                 {body: `{"v":1,"kind":"sync","conn`, kind: fault.Invalid},
		"nothing":             {body: ``, kind: fault.Invalid},
		"too long":            {body: `{"v":1,"kind":"sync","connection":"abc","run":"r","pad":"` + strings.Repeat("x", maxSize) + `"}`, kind: fault.Invalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(tt.body))
			if tt.ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !fault.Is(err, tt.kind) {
				t.Fatalf("error %v, want kind %v", err, tt.kind)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"kind":"sync","connection":"abc","run":"r-1","slice":3,"trigger":"manual","try":2}`))
	f.Add([]byte(`{"v":1e9}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(j.Encode())
		if err != nil || again != j {
			t.Fatalf("%+v encodes to %+v, %v", j, again, err)
		}
	})
}

// Newer runs sort before older ones, and the same slot is the same run.
func TestRunID(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a, b := RunID(at, "c", "slot"), RunID(at.Add(time.Millisecond), "c", "slot")
	if b >= a {
		t.Errorf("later run %s sorts after %s", b, a)
	}
	if far := RunID(at.AddDate(150, 0, 0), "c", "slot"); len(far) != len(a) || far >= b {
		t.Errorf("run of 2176 is %s, that of 2026 is %s", far, b)
	}
	if RunID(at, "c", "slot") != a || RunID(at, "d", "slot") == a || RunID(at, "c", "x") == a {
		t.Error("a run's ID is not a function of time, connection and salt")
	}
	if !validID(a) {
		t.Errorf("%s is no ID", a)
	}
}

// Every try has an identity of its own, or the queue would drop it.
func TestMessageIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for slice := range 3 {
		for try := range 3 {
			id := Job{Connection: "c", Run: "r", Slice: slice, Try: try}.MessageID()
			if seen[id] {
				t.Errorf("message ID %s twice", id)
			}
			seen[id] = true
		}
	}
}

func TestFenceEnd(t *testing.T) {
	var f Fence
	for i := range maxRecent + 5 {
		f.Run = Run{ID: RunID(time.UnixMilli(int64(i)), "c", ""), State: Running}
		if !f.Open() {
			t.Fatal("a running run is not open")
		}
		f.End(Succeeded, time.UnixMilli(int64(i)))
		if f.Open() || !f.Ended(f.Run.ID) {
			t.Fatal("an ended run is open, or not known as ended")
		}
	}
	if len(f.Recent) != maxRecent {
		t.Errorf("%d recent runs, want %d", len(f.Recent), maxRecent)
	}
}
