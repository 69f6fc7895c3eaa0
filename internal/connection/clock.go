package connection

import (
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // where it runs there need not be a database of time zones

	"rollcall/internal/fault"
)

// How often a connection may be synced.
const (
	Daily  = "daily"
	Twice  = "twice"
	Hourly = "hourly"
	Off    = "off"
)

// maxZone bounds the name of a time zone; the longest of IANA has 32 bytes.
const maxZone = 64

// Check returns [fault.Invalid], with what is allowed, unless the schedule can
// be kept. Nil is the vendor's interval and fine.
func (s *Schedule) Check() error {
	if s == nil {
		return nil
	}
	switch s.Every {
	case Daily, Twice, Hourly, Off:
	default:
		return fault.New(fault.Invalid, "schedule: every %.20q", s.Every).WithCode("schedule").
			WithRemedy(`Give "every" as one of "daily", "twice", "hourly" and "off".`)
	}
	if _, ok := minuteOfDay(s.At); !ok && (s.At != "" || s.Every == Daily || s.Every == Twice) {
		return fault.New(fault.Invalid, "schedule: at %.20q", s.At).WithCode("schedule").
			WithRemedy(`Give "at" as a local time of 24 hours, "HH:MM", such as "06:30"; of an hourly schedule its minute counts.`)
	}
	if _, ok := zone(s.Zone); !ok {
		return fault.New(fault.Invalid, "schedule: zone %.80q", s.Zone).WithCode("schedule").
			WithRemedy(`Give "zone" as the name of an IANA time zone, such as "Europe/Amsterdam", or leave it out for UTC.`)
	}
	return nil
}

// Next is the first slot of the schedule after that time; zero if it is off.
//
// A local time that the clocks skip runs at the next valid minute, one that
// they repeat runs the first time only, and a day that the zone left out has
// none. Hourly is once in every hour of UTC, at the zone's minute: also in an
// hour that the clocks repeat, since that is another real hour. A zone that is
// not known any more counts as UTC.
func (s *Schedule) Next(after time.Time) time.Time {
	if s == nil {
		return time.Time{}
	}
	z, ok := zone(s.Zone)
	if !ok {
		z = time.UTC
	}
	const half = 12 * 60
	switch at, _ := minuteOfDay(s.At); s.Every {
	case Daily:
		return nextOfDay(z, after, at)
	case Twice:
		return nextOfDay(z, after, at%half, at%half+half)
	case Hourly:
		return nextOfHour(z, after, at%60)
	default:
		return time.Time{}
	}
}

// every is the usual time between two slots, 0 if there are none.
func (s *Schedule) every() time.Duration {
	switch s.Every {
	case Daily:
		return day
	case Twice:
		return day / 2
	case Hourly:
		return time.Hour
	default:
		return 0
	}
}

// minuteOfDay reads HH:MM.
func minuteOfDay(s string) (minute int, ok bool) {
	if len(s) != len("15:04") { // the layout alone takes 6:30 too
		return 0, false
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil
}

// zone finds a time zone by its IANA name; empty is UTC. The machine's own zone
// is none, nor are those that some systems keep beside IANA's.
func zone(name string) (*time.Location, bool) {
	switch {
	case len(name) > maxZone, name == "Local", name == "localtime", name == "posixrules",
		strings.HasPrefix(name, "right/"), strings.HasPrefix(name, "posix/"): // right: with leap seconds
		return nil, false
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), true
	}
	z, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, z)
	}
	return z, err == nil
}

// zones are those that were asked for before, by name: each is a file, and
// there are some six hundred.
var zones sync.Map

// nextOfDay is the first moment after the given one at which the zone's clocks
// have come to one of the minutes of a day, which are in order.
func nextOfDay(z *time.Location, after time.Time, minutes ...int) time.Time {
	y, m, d := after.In(z).Date()
	for ; ; d++ { // ends: no zone has left out more than a day
		date := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		if begin := reach(z, date); begin.YearDay() != date.YearDay() {
			continue // Samoa had no 30 December 2011
		}
		for _, minute := range minutes {
			if t := reach(z, date.Add(time.Duration(minute)*time.Minute)); t.After(after) {
				return t.UTC()
			}
		}
	}
}

// reach is the first moment at which the zone's clocks show the given time,
// written as if it were UTC, or a later one.
func reach(z *time.Location, shown time.Time) time.Time {
	t := shown.Add(-2 * day).In(z) // before it, whatever the offset
	for {
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		at := shown.Add(-time.Duration(offset) * time.Second).In(z)
		if at.Before(t) {
			at = t // skipped when this offset began
		}
		if end.IsZero() || at.Before(end) {
			return at
		}
		t = end
	}
}

// nextOfHour is the first moment after the given one that is the slot of its
// hour of UTC: at which the zone's clocks first show the minute in it, or, if
// they skip it, at which they have skipped it.
func nextOfHour(z *time.Location, after time.Time, minute int) time.Time {
	for hour := after.UTC().Truncate(time.Hour); ; hour = hour.Add(time.Hour) {
		if t := inHour(z, hour, minute); t.After(after) {
			return t
		}
	}
}

func inHour(z *time.Location, hour time.Time, minute int) time.Time {
	over := hour.Add(time.Hour)
	t := hour.In(z)
	for {
		wait := time.Duration(minute-t.Minute())*time.Minute - time.Duration(t.Second())*time.Second
		if wait < 0 {
			wait += time.Hour
		}
		_, end := t.ZoneBounds()
		at := t.Add(wait)
		if at.Before(over) && (end.IsZero() || at.Before(end)) {
			return at.UTC()
		}
		if end.IsZero() || !end.Before(over) {
			return t.UTC()
		}
		t = end
	}
}
