package job

import "time"

// DeadLetter is a message that the queue has given up delivering.
type DeadLetter struct {
	// Sequence is the number that the queue gave the message: unique, and
	// ascending.
	Sequence int64
	// MessageID is the message's identity, as it was sent.
	MessageID string
	// Job is what the message asks for; zero, but for its version, unless
	// Readable.
	Job Job
	// Readable is false for what is none of our messages, or one of a newer
	// version.
	Readable bool
	// Reason and Description are the queue's own words.
	Reason, Description string
	Enqueued            time.Time
	// Deliveries counts those that failed.
	Deliveries int
}

// Fate is what becomes of a dead letter.
type Fate int

// The fates of a dead letter.
const (
	// Left stays where it is.
	Left Fate = iota
	// Resent goes back to the queue, under an identity of its own.
	Resent
	// Done is deleted: its run has ended, so that it would do nothing.
	Done
)
