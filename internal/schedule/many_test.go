package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/job"
)

// many is what one deployment is made for.
const many = 10_000

// All that are due are started, so many at a time and no more, each one's
// message before its slot, within seconds; who fails or hangs is told of, keeps
// nobody else from theirs, and is started by the next tick.
func TestTickOfMany(t *testing.T) { synctest.Test(t, tickOfMany) }

func tickOfMany(t *testing.T) {
	f := newFleet(many)
	begin := time.Now()
	broken := errors.New("broken")
	hurt := []string{f.ids[0], f.ids[1], f.ids[many/2], f.ids[many-1]}
	for i, id := range hurt {
		f.trouble[id] = func() error {
			if i%2 == 0 {
				return broken
			}
			return nil
		}
	}
	if err := f.scheduler().Tick(t.Context()); !errors.Is(err, broken) {
		t.Errorf("the first failure is %v", err)
	}
	// 10,000 times two calls of 5 ms, 16 at a time, and 21 pages.
	if took := f.last.Sub(begin); f.most != 16 || took > 8*time.Second {
		t.Errorf("%d at a time, the last slot after %s", f.most, took)
	}
	if took := time.Since(begin); took < time.Minute || took > 2*time.Minute {
		t.Errorf("the tick took %s, of which one that hangs may take a minute", took)
	}
	ordered := func(of []string) {
		t.Helper()
		for _, id := range of {
			if !slices.Equal(f.events[id], []string{"message", "slot"}) || !f.rows[id].NextDue.Equal(begin.Add(12*time.Hour)) {
				t.Fatalf("%s: %v, next %s", id, f.events[id], f.rows[id].NextDue)
			}
		}
	}
	ordered(slices.DeleteFunc(slices.Clone(f.ids), func(id string) bool { return slices.Contains(hurt, id) }))
	for _, id := range hurt {
		if len(f.events[id]) > 0 || !f.rows[id].NextDue.Equal(begin) {
			t.Errorf("%s: %v", id, f.events[id])
		}
	}

	// Over the window, not at once: a thousand a minute, 17 a second on average.
	minutes, seconds := map[time.Duration]int{}, map[time.Duration]int{}
	for _, at := range f.sent {
		d := max(at.Sub(begin), 0)
		minutes[d/time.Minute]++
		seconds[d/time.Second]++
	}
	for d, n := range minutes {
		if d > 10 || n > 1_200 { // what is sent later in the tick is later at the end
			t.Errorf("%d messages in minute %d", n, d)
		}
	}
	for d, n := range seconds {
		if n > 50 {
			t.Errorf("%d messages in second %d", n, d)
		}
	}
	if len(f.sent) != many-len(hurt) || len(minutes) < 10 {
		t.Errorf("%d messages in %d minutes", len(f.sent), len(minutes))
	}

	clear(f.trouble)
	f.restart()
	if err := f.scheduler().Tick(t.Context()); err != nil {
		t.Error(err)
	}
	ordered(hurt)
	if len(f.sent) != many || len(f.events) != len(hurt) {
		t.Errorf("%d messages, %d connections started", len(f.sent), len(f.events))
	}
}

// By the vendor's interval connections are due twelve hours after they were
// connected: no tick has more of them than came within five minutes.
func TestTicksByInterval(t *testing.T) { synctest.Test(t, ticksByInterval) }

func ticksByInterval(t *testing.T) {
	f := newFleet(many)
	random := rand.New(rand.NewPCG(1, 2))
	for _, id := range f.ids {
		c := f.rows[id]
		c.NextDue = c.NextDue.Add(time.Duration(random.Int64N(int64(12 * time.Hour))))
		f.rows[id] = c
	}
	s, begin, most, before := f.scheduler(), time.Now(), 0, 0
	for n := range 36 { // a quarter of the interval
		time.Sleep(time.Until(begin.Add(time.Duration(n) * 5 * time.Minute)))
		if err := s.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		most, before = max(most, len(f.sent)-before), len(f.sent)
	}
	if len(f.sent) < many/5 || most < many/144 || most > 110 { // 69 a tick on average
		t.Errorf("%d messages, at most %d a tick", len(f.sent), most)
	}
}

// A tick that is killed after any number of writes, and those that follow it,
// start exactly what an undisturbed one starts.
func TestTickKilled(t *testing.T) { synctest.Test(t, tickKilled) }

func tickKilled(t *testing.T) {
	const n = 40
	for kill := 1; kill <= 2*n; kill++ {
		f := newFleet(n)
		slot := time.Now()
		f.killAt = kill
		if err := f.scheduler().Tick(t.Context()); !errors.Is(err, errKilled) {
			t.Fatalf("killed at write %d: %v", kill, err)
		}
		for id, events := range f.events {
			if events[0] != "message" {
				t.Errorf("killed at write %d: %s has %v", kill, id, events)
			}
		}
		f.killAt = 0
		f.restart()
		time.Sleep(5 * time.Minute)
		if err := f.scheduler().Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range f.ids {
			if _, ok := f.sent[id+"/"+job.RunID(slot, id, "slot")+"/0"]; !ok || !f.rows[id].NextDue.Equal(slot.Add(12*time.Hour)) {
				t.Errorf("killed at write %d: %s, message %t, next %s", kill, id, ok, f.rows[id].NextDue)
			}
		}
		if len(f.sent) != n {
			t.Errorf("killed at write %d: %d messages", kill, len(f.sent))
		}
	}
}

// A tick without time for all begins nobody whom its end would cut off, says how
// far it came, and the next ones go on; more of those who hang each time than a
// tick has time for keep nobody waiting for good.
func TestTickOutOfTime(t *testing.T) { synctest.Test(t, tickOutOfTime) }

func tickOutOfTime(t *testing.T) {
	f := newFleet(2_000)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	if err := f.scheduler().Tick(short); !errors.Is(err, context.DeadlineExceeded) || short.Err() != nil || len(f.sent) < 100 || len(f.sent) == 2_000 {
		t.Errorf("%d started: %v", len(f.sent), err)
	}
	cancel()

	f = newFleet(2_000)
	for i := range 200 { // 64 hang in four minutes; in the fifth nobody is begun
		f.trouble[f.ids[i*10]] = func() error { return nil }
	}
	var log bytes.Buffer
	s := f.scheduler()
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	ticks := 0
	for ; len(f.sent) < 1_800 && ticks < 60; ticks++ {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		if err := s.Tick(ctx); err == nil {
			t.Error("nobody was told of those who hang")
		}
		if ctx.Err() != nil {
			t.Error("the tick ended by being cut off")
		}
		cancel()
	}
	if len(f.sent) != 1_800 || !strings.Contains(log.String(), `msg="not all slots started; the next tick goes on" objects=`) {
		t.Errorf("%d started in %d ticks", len(f.sent), ticks)
	}
}
