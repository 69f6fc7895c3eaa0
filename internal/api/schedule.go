package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// ScheduleRequest sets all of a schedule.
type ScheduleRequest struct {
	Every string `json:"every" enum:"daily,twice,hourly,off" doc:"daily: once a day. twice: twice a day, twelve hours of the clock apart. hourly: every hour. off: only when somebody asks." example:"daily"`
	At    string `json:"at,omitempty" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" patternDescription:"a time of day as HH:MM" doc:"The local time of the daily sync, and of the first of two; of hourly ones its minute counts." example:"06:30"`
	Zone  string `json:"zone,omitempty" maxLength:"64" doc:"The IANA time zone of at." example:"Europe/Amsterdam"`
}

// scheduleInWords ends the descriptions of what takes a schedule.
const scheduleInWords = " A schedule is set as a whole. A local time that a change of the clocks skips runs at the next valid minute, one that it repeats runs once, and after an outage one sync makes up for all that were missed."

// scheduleChange is a [ScheduleRequest] that tells null, which goes back to
// the service's interval, from absence.
type scheduleChange struct {
	given   bool
	wanted  *ScheduleRequest // nil to clear
	members map[string]json.RawMessage
}

func (s *scheduleChange) UnmarshalJSON(b []byte) error {
	s.given = true
	if err := json.Unmarshal(b, &s.members); err != nil {
		return err
	}
	return json.Unmarshal(b, &s.wanted)
}

// Schema is that of [ScheduleRequest] with null beside it.
func (*scheduleChange) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[ScheduleRequest]())
	s.Nullable = true
	return s
}

// nulls lists where there is null in place of a value, which huma lets pass.
func (s *scheduleChange) nulls(at *huma.PathBuffer) (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		if string(s.members[name]) == "null" {
			errs = append(errs, &huma.ErrorDetail{Location: at.With("schedule") + "." + name, Message: "expected string"})
		}
	}
	return errs
}

// detail is what the request names, for the audit log. A zone that is none could
// be any text, and is left out.
func (s *scheduleChange) detail() map[string]string {
	switch {
	case !s.given:
		return nil
	case s.wanted == nil:
		return map[string]string{"schedule": "null"}
	}
	d := map[string]string{"every": s.wanted.Every}
	if s.wanted.At != "" {
		d["at"] = s.wanted.At
	}
	if z := s.wanted.Zone; z != "" && (&connection.Schedule{Every: connection.Off, Zone: z}).Check() == nil {
		d["zone"] = s.wanted.Zone
	}
	return d
}

// apply sets the connection's schedule, and its next slot by it.
func (s *scheduleChange) apply(c *connection.Connection, now time.Time) error {
	if !s.given {
		return nil
	}
	var wanted *connection.Schedule
	if r := s.wanted; r != nil {
		wanted = &connection.Schedule{Every: r.Every, At: r.At, Zone: r.Zone}
		if err := wanted.Check(); err != nil {
			field := "body.schedule.at"
			if (&connection.Schedule{Every: r.Every, At: r.At}).Check() == nil {
				field = "body.schedule.zone"
			}
			return problem(codeValidation, "The schedule cannot be kept.").
				at(field, strings.Replace(fault.Of(err).Remedy, "Give ", "expected ", 1))
		}
	}
	c.Schedule = wanted
	c.Reschedule(now)
	return nil
}
