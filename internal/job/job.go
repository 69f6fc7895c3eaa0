// Package job is what travels on the queue and what a run leaves behind.
//
// A message carries IDs only, never personal data, and may be delivered any
// number of times, late and out of order.
package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"rollcall/internal/fault"
)

// Version is the message version that this build writes. It reads this one
// and the one before, so that old and new instances share a queue during an
// upgrade.
const Version = 1

// Kind is what a message asks for.
type Kind string

// The kinds of work.
const (
	// Sync opens a run, or continues it at a slice.
	Sync Kind = "sync"
	// Verify checks that a consent has taken effect.
	Verify Kind = "verify"
	// Offboard purges what is stored of a connection that has ended.
	Offboard Kind = "offboard"
)

// Trigger is who started a run.
type Trigger string

// The triggers of a run.
const (
	First    Trigger = "first"
	Schedule Trigger = "schedule"
	Manual   Trigger = "manual"
	Again    Trigger = "again"
	Approve  Trigger = "approve" // archive the people of a held plan
	Reject   Trigger = "reject"  // keep them
	// Preview writes beside the directory, not into it.
	Preview Trigger = "preview"
	// Person brings one person up to date, Erase erases one.
	Person Trigger = "person"
	Erase  Trigger = "erase"
)

// Decides reports whether the run does what a human has decided of a plan.
func (t Trigger) Decides() bool { return t == Approve || t == Reject }

// Targets reports whether the run is about one person.
func (t Trigger) Targets() bool { return t == Person || t == Erase }

// Asked reports whether the run does one thing that somebody asked for, and
// so cannot be done by another run: it waits until none is open.
func (t Trigger) Asked() bool { return t.Decides() || t.Targets() }

// Job is one message of the queue sync-jobs.
type Job struct {
	Version    int    `json:"v"`
	Kind       Kind   `json:"kind"`
	Connection string `json:"connection"`
	// Run is the run's ID for Sync, the consent's for Verify and the
	// offboarding's for Offboard.
	Run string `json:"run"`
	// Slice counts continuations from 0. For Verify it is the attempt.
	Slice   int     `json:"slice"`
	Trigger Trigger `json:"trigger,omitempty"`
	// Plan is the hash of the held plan that Approve and Reject decide.
	Plan string `json:"plan,omitempty"`
	// Person is the ID of the person whom Person and Erase are about.
	Person string `json:"person,omitempty"`
	// Try counts how often the job was put back without having been begun. It
	// is part of the message's identity, which the queue would drop otherwise.
	Try int `json:"try,omitempty"`
}

// maxSize bounds a message far above any that this or the previous version
// writes; what is larger is not ours.
const maxSize = 4 << 10

// MessageID is the identity by which the queue drops repeats within a day.
func (j Job) MessageID() string {
	id := fmt.Sprintf("%s/%s/%d", j.Connection, j.Run, j.Slice)
	if j.Try > 0 {
		id += fmt.Sprintf("/%d", j.Try)
	}
	return id
}

// Encode returns the message body.
func (j Job) Encode() []byte {
	j.Version = Version
	b, _ := json.Marshal(j) // strings and integers only: cannot fail
	return b
}

// Decode reads a message body. An unreadable body is [fault.Invalid]: no
// redelivery can mend it. A body of a newer version is [fault.Conflict]: an
// upgraded instance will understand it.
func Decode(b []byte) (Job, error) {
	var j Job
	if len(b) > maxSize {
		return j, fault.New(fault.Invalid, "job: %d bytes, at most %d", len(b), maxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&j); err != nil {
		return j, fault.New(fault.Invalid, "job: decode: %w", err)
	}
	switch {
	case j.Version > Version:
		return j, fault.New(fault.Conflict, "job: version %d, this build reads up to %d", j.Version, Version)
	case j.Version < 1:
		return j, fault.New(fault.Invalid, "job: version %d", j.Version)
	case j.Kind != Sync && j.Kind != Verify && j.Kind != Offboard:
		return j, fault.New(fault.Invalid, "job: kind %q", j.Kind)
	case !validID(j.Connection) || !validID(j.Run):
		return j, fault.New(fault.Invalid, "job: connection %q, run %q: not IDs", j.Connection, j.Run)
	case (j.Plan != "") != j.Trigger.Decides() && j.Slice == 0:
		return j, fault.New(fault.Invalid, "job: trigger %q with plan %q", j.Trigger, j.Plan)
	case (j.Person != "") != j.Trigger.Targets() && j.Slice == 0:
		return j, fault.New(fault.Invalid, "job: trigger %q with person %q", j.Trigger, j.Person)
	case j.Person != "" && !validID(j.Person):
		return j, fault.New(fault.Invalid, "job: person %q: not an ID", j.Person)
	case j.Slice < 0 || j.Try < 0:
		return j, fault.New(fault.Invalid, "job: slice %d, try %d", j.Slice, j.Try)
	}
	return j, nil
}

// validID accepts what our IDs are made of, so that an ID can be used as a
// table key, in a path and in a log without a second thought.
func validID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// RunID returns a run's ID: times sort backwards, so that the newest run comes
// first in a table. It is a function of its arguments: the same slot gives the
// same run, however often it is asked.
func RunID(at time.Time, connection, salt string) string {
	const year2200 = 7258118400000 // Unix milliseconds; an ID's first part is what is left until then
	return fmt.Sprintf("%011x-%s", year2200-at.UnixMilli(), short(connection+"/"+salt))
}
