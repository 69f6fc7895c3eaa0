package host

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule is a parsed NCRONTAB expression, in UTC: time zones are not
// supported on Flex (documented).
type schedule struct{ spec *cron.SpecSchedule }

// starBit marks an unrestricted field in a cron.SpecSchedule.
const starBit = 1 << 63

// parseSchedule reads six fields, seconds first, or five without seconds (documented).
func parseSchedule(s string) (schedule, error) {
	fields := strings.Fields(s)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != 6 || strings.ContainsAny(s, "?@=") {
		return schedule{}, fmt.Errorf("the schedule expression '%s' was not recognized as a valid cron expression", s)
	}
	parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	parsed, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return schedule{}, fmt.Errorf("the schedule expression '%s' was not recognized as a valid cron expression: %w", s, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return schedule{}, fmt.Errorf("the schedule expression '%s' was not recognized as a valid cron expression", s)
	}
	spec.Location = time.UTC
	// NCrontab wants the day of the month and of the week to match; the parser's
	// own rule, cron's, is that one of them does (source: NCrontab).
	spec.Dow |= starBit
	return schedule{spec}, nil
}

// next is the first occurrence after t, or zero if there is none within five years.
func (s schedule) next(t time.Time) time.Time { return s.spec.Next(t.UTC()) }
