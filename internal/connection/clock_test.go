package connection_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

func at(t testing.TB, s string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestScheduleCheck(t *testing.T) {
	for _, s := range []*connection.Schedule{
		nil, {Every: "off"}, {Every: "hourly"}, {Every: "hourly", At: "00:45", Zone: "Asia/Kathmandu"}, {Every: "daily", At: "00:00"},
		{Every: "daily", At: "23:59", Zone: "UTC"}, {Every: "twice", At: "06:30", Zone: "America/Argentina/ComodRivadavia"}, {Every: "off", At: "06:30", Zone: "Europe/Paris"},
	} {
		if err := s.Check(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []connection.Schedule{
		{}, {Every: "Daily", At: "06:30"}, {Every: "weekly", At: "06:30"}, {Every: "daily"}, {Every: "twice"},
		{Every: "daily", At: "24:00"}, {Every: "daily", At: "06:60"}, {Every: "daily", At: "6:30"}, {Every: "daily", At: "006:3"}, {Every: "daily", At: "-6:30"},
		{Every: "daily", At: "06:30:00"}, {Every: "daily", At: "06.30"}, {Every: "daily", At: "٠٦:٣٠"}, {Every: "hourly", At: "xx:30"}, {Every: "off", At: "later"},
		{Every: "daily", At: "06:30", Zone: "Local"}, {Every: "daily", At: "06:30", Zone: "Europe"}, {Every: "daily", At: "06:30", Zone: "Europe/Atlantis"},
		{Every: "daily", At: "06:30", Zone: "../../etc/passwd"}, {Every: "daily", At: "06:30", Zone: "/etc/localtime"}, {Every: "off", Zone: "right/UTC"},
		{Every: "hourly", Zone: "+02:00"}, {Every: "hourly", Zone: strings.Repeat("x", 65)}, {Every: "hourly", Zone: "zone.tab"}, {Every: "hourly", Zone: "localtime"},
	} {
		if e := fault.Of(s.Check()); e == nil || e.Kind != fault.Invalid || e.Remedy == "" || e.Code == "" {
			t.Errorf("%+v: %v", s, e)
		}
	}
}

// What clocks do at a change, by the calendar.
func TestScheduleAtChanges(t *testing.T) {
	for _, test := range []struct{ every, at, zone, after, want string }{
		{"daily", "06:30", "", "2026-03-01T06:29:59Z", "2026-03-01T06:30:00Z"},
		{"daily", "06:30", "", "2026-03-01T06:30:00Z", "2026-03-02T06:30:00Z"},
		{"daily", "06:30", "Europe/Amsterdam", "2026-03-28T06:00:00Z", "2026-03-29T04:30:00Z"},
		// 02:00 becomes 03:00: skipped
		{"daily", "02:30", "Europe/Amsterdam", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"daily", "02:30", "Europe/Amsterdam", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		// 03:00 becomes 02:00: once
		{"daily", "02:30", "Europe/Amsterdam", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"daily", "02:30", "Europe/Amsterdam", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"twice", "02:30", "Europe/Amsterdam", "2026-10-25T00:30:00Z", "2026-10-25T13:30:00Z"},
		{"twice", "18:15", "Europe/Amsterdam", "2026-07-01T00:00:00Z", "2026-07-01T04:15:00Z"},
		// midnight itself is skipped, or repeated
		{"daily", "00:30", "America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z"},
		{"daily", "00:30", "America/Havana", "2026-10-31T12:00:00Z", "2026-11-01T04:30:00Z"},
		{"daily", "00:30", "America/Havana", "2026-11-01T04:30:00Z", "2026-11-02T05:30:00Z"},
		{"daily", "00:00", "Asia/Beirut", "2024-03-30T12:00:00Z", "2024-03-30T22:00:00Z"},
		{"daily", "00:30", "Africa/Cairo", "2024-04-25T12:00:00Z", "2024-04-25T22:00:00Z"},
		{"daily", "23:30", "Africa/Cairo", "2024-10-31T12:00:00Z", "2024-10-31T20:30:00Z"},
		{"daily", "23:30", "Africa/Cairo", "2024-10-31T20:30:00Z", "2024-11-01T21:30:00Z"},
		{"daily", "00:00", "Africa/Cairo", "2024-10-31T12:00:00Z", "2024-10-31T22:00:00Z"},
		// by half an hour: 02:00 becomes 02:30, later 01:30
		{"daily", "02:15", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"},
		{"daily", "01:45", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-04T14:45:00Z"},
		{"daily", "01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"},
		{"hourly", "00:15", "Australia/Lord_Howe", "2026-10-03T14:45:00Z", "2026-10-03T15:30:00Z"},
		{"hourly", "00:15", "Australia/Lord_Howe", "2026-10-03T15:30:00Z", "2026-10-03T16:15:00Z"},
		// by two hours
		{"daily", "01:30", "Antarctica/Troll", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		// the gap ends in the next day
		{"daily", "23:30", "America/Nuuk", "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z"},
		{"daily", "23:30", "America/Nuuk", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"},
		// 30 December 2011 was left out
		{"daily", "06:00", "Pacific/Apia", "2011-12-29T16:00:00Z", "2011-12-30T16:00:00Z"},
		{"daily", "06:00", "Pacific/Apia", "2011-12-29T15:00:00Z", "2011-12-29T16:00:00Z"},
		// an hour of the clock is repeated, but it is another hour
		{"hourly", "00:20", "Europe/Amsterdam", "2026-10-25T00:20:00Z", "2026-10-25T01:20:00Z"},
		{"hourly", "17:20", "Asia/Kathmandu", "2026-10-25T00:20:00Z", "2026-10-25T00:35:00Z"},
		{"hourly", "", "", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		// a zone that is gone
		{"daily", "06:30", "Europe/Atlantis", "2026-03-01T00:00:00Z", "2026-03-01T06:30:00Z"},
	} {
		s := connection.Schedule{Every: test.every, At: test.at, Zone: test.zone}
		if got := s.Next(at(t, test.after)); !got.Equal(at(t, test.want)) || got.Location() != time.UTC {
			t.Errorf("%v after %s: %s, want %s", s, test.after, got, test.want)
		}
	}
	off := connection.Schedule{Every: "off", At: "06:30"}
	var none *connection.Schedule
	for _, s := range []*connection.Schedule{&off, none, {Every: "yearly"}} {
		if got := s.Next(time.Now()); !got.IsZero() {
			t.Errorf("%+v: %s", s, got)
		}
	}
}

// wall is what a zone's clocks show at each minute of about a year.
type wall struct {
	begin time.Time
	shown []int64 // minutes, as if it were UTC
	days  map[int64]bool
}

func walk(z *time.Location, year int) wall {
	w := wall{begin: time.Date(year-1, 12, 29, 0, 0, 0, 0, time.UTC), days: map[int64]bool{}}
	for t := w.begin; t.Before(time.Date(year+1, 1, 4, 0, 0, 0, 0, time.UTC)); t = t.Add(time.Minute) {
		l := t.In(z)
		y, m, d := l.Date()
		minute := time.Date(y, m, d, l.Hour(), l.Minute(), 0, 0, time.UTC).Unix() / 60
		w.shown = append(w.shown, minute)
		w.days[minute/dayMinutes] = true
	}
	return w
}

const dayMinutes = 24 * 60

// ofDay is every minute at which the clocks first show one of the minutes of a
// day, or first show a later one.
func (w wall) ofDay(minutes ...int64) (slots []time.Time) {
	highest := w.shown[0]
	for i, m := range w.shown {
		for n := highest + 1; n <= m; n++ {
			if slices.Contains(minutes, n%dayMinutes) && w.days[n/dayMinutes] {
				slots = append(slots, w.begin.Add(time.Duration(i)*time.Minute))
			}
		}
		highest = max(highest, m)
	}
	return slots
}

// ofHour is, for each hour of UTC, the first minute at which the clocks show
// that minute of theirs, or else the one before which they jumped.
func (w wall) ofHour(minute int64) (slots []time.Time) {
	for h := 0; h+60 <= len(w.shown); h += 60 {
		slot := -1
		for i := h; i < h+60 && slot < 0; i++ {
			if w.shown[i]%60 == minute {
				slot = i
			}
		}
		for i := h + 1; i < h+60 && slot < 0; i++ {
			if w.shown[i] != w.shown[i-1]+1 {
				slot = i
			}
		}
		slots = append(slots, w.begin.Add(time.Duration(slot)*time.Minute))
	}
	return slots
}

// Over a whole year the slots are those that somebody finds who watches the
// zone's clocks minute by minute: one a day, two a day, or one in every hour.
func TestScheduleOverYears(t *testing.T) {
	for _, test := range []struct {
		zone string
		year int
		days int // in the zone's calendar
	}{
		{"Europe/Amsterdam", 2026, 365}, {"America/Havana", 2026, 365}, {"Asia/Beirut", 2024, 366}, {"Australia/Lord_Howe", 2026, 365},
		{"Africa/Cairo", 2024, 366}, {"Antarctica/Troll", 2026, 365}, {"America/Nuuk", 2024, 366}, {"Pacific/Apia", 2011, 364},
		{"Africa/Casablanca", 2026, 365}, {"America/St_Johns", 2010, 365},
	} {
		t.Run(test.zone, func(t *testing.T) {
			t.Parallel()
			z, err := time.LoadLocation(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			w := walk(z, test.year)
			check := func(s connection.Schedule, slots []time.Time, want int) {
				t.Helper()
				if err := s.Check(); err != nil {
					t.Error(err)
				}
				n := 0
				for i, slot := range slots[:len(slots)-1] {
					if !slots[i+1].After(slot) {
						t.Fatalf("%v: the oracle finds %s after %s", s, slots[i+1], slot)
					}
					// from the slot itself, just before the next, and in between
					for _, after := range []time.Time{slot, slots[i+1].Add(-1), slot.Add(slots[i+1].Sub(slot) * time.Duration(i%7) / 7)} {
						if got := s.Next(after); !got.Equal(slots[i+1]) {
							t.Fatalf("%v after %s: %s, want %s", s, after.In(z), got.In(z), slots[i+1].In(z))
						}
					}
					if slot.In(z).Year() == test.year {
						n++
					}
				}
				if want > 0 && n != want {
					t.Errorf("%v: %d slots in the year, want %d", s, n, want)
				}
			}
			for _, minute := range []int64{0, 30, 105, 135, 150, 23*60 + 30} {
				clock := fmt.Sprintf("%02d:%02d", minute/60, minute%60)
				check(connection.Schedule{Every: "daily", At: clock, Zone: test.zone}, w.ofDay(minute), test.days)
				if minute%60 == 30 {
					check(connection.Schedule{Every: "twice", At: clock, Zone: test.zone}, w.ofDay(minute%720, minute%720+720), 2*test.days)
				}
			}
			for _, minute := range []int64{0, 15, 45} {
				check(connection.Schedule{Every: "hourly", At: fmt.Sprintf("07:%02d", minute), Zone: test.zone}, w.ofHour(minute), 0)
			}
		})
	}
}

// Every schedule that is accepted has a next slot, which lies ahead and near.
func FuzzSchedule(f *testing.F) {
	f.Add("daily", "06:30", "Europe/Amsterdam", int64(1774746000))
	f.Add("twice", "23:59", "Pacific/Apia", int64(1325239200))
	f.Add("hourly", "", "Australia/Lord_Howe", int64(1791041400))
	f.Add("off", "", "", int64(0))
	f.Add("daily", "00:00", "Africa/Monrovia", int64(63593070))
	f.Add("daily", "99:99", "../x", int64(-1))
	f.Fuzz(func(t *testing.T, every, clock, zone string, unix int64) {
		s := connection.Schedule{Every: every, At: clock, Zone: zone}
		after := time.Unix(unix%(1<<36), 0) // some two thousand years either way
		next := s.Next(after)
		if err := s.Check(); err != nil {
			return
		}
		longest := map[string]time.Duration{"daily": 75 * time.Hour, "twice": 63 * time.Hour, "hourly": 2 * time.Hour}[every]
		if every == "off" != next.IsZero() || every != "off" && (!next.After(after) || next.Sub(after) > longest) {
			t.Errorf("%v after %s: %s", s, after, next)
		}
	})
}
