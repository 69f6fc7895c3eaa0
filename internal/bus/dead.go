package bus

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// resubmitTime bounds one call of Resubmit: half of what a request of the
	// machine API may take.
	resubmitTime = time.Minute
	// maxSifted is how many dead letters one call of DeadLetters looks at.
	maxSifted = 5000
)

// ownReasons are those for which Service Bus itself dead-letters a message of
// this queue; with another one somebody has done it by hand, and its
// description is any text. Source: Service Bus documentation, "Overview of
// Service Bus dead-letter queues".
var ownReasons = map[string]bool{"MaxDeliveryCountExceeded": true, "TTLExpiredException": true, "HeaderSizeExceeded": true}

// shown is what an identity or a reason may be to be passed on: other texts are
// not ours, and could hold anything.
var shown = regexp.MustCompile(`^[0-9A-Za-z/._ -]{1,200}$`)

// maxDescription bounds what is passed on of a description, in bytes.
const maxDescription = 256

// DeadLetters lists at most limit dead letters, of one connection unless that is
// empty, the oldest first. after is the cursor that an earlier call returned, or
// empty; next is empty at the end. One call looks at 5,000 at most: it may
// return none, and still go on. Nothing is locked.
func (q *Queue) DeadLetters(ctx context.Context, connection, after string, limit int) (ds []job.DeadLetter, next string, err error) {
	defer fault.Wrap(&err, "bus: dead letters of %q", connection)
	from := int64(1)
	if after != "" {
		last, err := strconv.ParseInt(after, 10, 64)
		if err != nil || last < 1 {
			return nil, "", fault.New(fault.Invalid, "cursor %q", after)
		}
		from = last + 1
	}
	rx, closeRx, err := q.receiver(azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	if err != nil {
		return nil, "", err
	}
	defer closeRx()
	for looked := 0; looked < maxSifted; {
		ms, err := rx.PeekMessages(ctx, maxPeek, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &from})
		if err != nil {
			return nil, "", classify(err, receiving)
		}
		if len(ms) == 0 {
			return ds, "", nil
		}
		looked += len(ms)
		for _, m := range ms {
			if m.SequenceNumber == nil { // every message has one
				continue
			}
			if connection == "" || of(m, connection) {
				if len(ds) == limit {
					return ds, strconv.FormatInt(from-1, 10), nil
				}
				ds = append(ds, letter(m))
			}
			from = *m.SequenceNumber + 1
		}
	}
	return ds, strconv.FormatInt(from-1, 10), nil
}

// letter is what may be told of a dead letter.
func letter(m *azservicebus.ReceivedMessage) job.DeadLetter {
	d := job.DeadLetter{Sequence: *m.SequenceNumber, Deliveries: int(m.DeliveryCount)}
	if shown.MatchString(m.MessageID) {
		d.MessageID = m.MessageID
	}
	if m.EnqueuedTime != nil {
		d.Enqueued = m.EnqueuedTime.UTC()
	}
	if r := m.DeadLetterReason; r != nil && shown.MatchString(*r) {
		d.Reason = *r
		if t := m.DeadLetterErrorDescription; t != nil && ownReasons[*r] {
			d.Description = (*t)[:min(len(*t), maxDescription)]
		}
	}
	j, err := job.Decode(m.Body)
	if d.Readable = err == nil; d.Readable {
		d.Job = j
	} else {
		d.Job.Version = j.Version
	}
	return d
}

// Resubmit puts dead letters of a connection on the queue again, at most limit,
// or only the one with that sequence number unless it is 0. What becomes of each
// is what judge says; what cannot be read is left. It returns how many met each
// fate, and whether more of them wait for another call.
//
// What is sent again has an identity made of the old one and of the dead
// letter's number, so that the queue does not take it for the message that it
// has seen, and takes a repeat after a crash, between sending the one and
// deleting the other, for what it is.
func (q *Queue) Resubmit(ctx context.Context, connection string, sequence int64, limit int,
	judge func(context.Context, job.Job) (job.Fate, error)) (met map[job.Fate]int, more bool, err error) {
	defer fault.Wrap(&err, "bus: resubmit dead letters of %s", connection)
	ctx, cancel := context.WithTimeout(ctx, resubmitTime)
	defer cancel()
	met = map[job.Fate]int{}
	rx, closeRx, err := q.receiver(azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	if err != nil {
		return met, false, err
	}
	defer closeRx()
	fates, left, whole, err := q.fates(ctx, rx, connection, sequence, limit, judge)
	if met[job.Left] = left; err != nil || len(fates) == 0 {
		return met, !whole, err
	}
	var others []*azservicebus.ReceivedMessage
	defer func() { letGo(ctx, rx, others) }()
	for len(fates) > 0 {
		m, err := receive(ctx, rx)
		if err != nil || m == nil { // m is nil if somebody else has it, or has taken it
			return met, true, err
		}
		fate, ok := job.Left, false
		if m.SequenceNumber != nil {
			fate, ok = fates[*m.SequenceNumber]
		}
		if !ok {
			if len(others) >= maxLocked {
				return met, true, fault.New(fault.Unknown, "more than %d dead letters of others come first", maxLocked).WithCode("queue_crowded").
					WithRemedy("Resubmit or delete those of other connections first.")
			}
			others = append(others, m)
			continue
		}
		if fate == job.Resent {
			err = q.again(ctx, m)
		}
		if err == nil {
			err = classify(rx.CompleteMessage(ctx, m, nil), receiving)
		}
		if err != nil {
			others = append(others, m)
			return met, true, err
		}
		met[fate]++
		delete(fates, *m.SequenceNumber)
	}
	return met, !whole, nil
}

// fates looks for the dead letters that are meant, and asks what becomes of
// each; left is how many stay.
func (q *Queue) fates(ctx context.Context, rx *azservicebus.Receiver, connection string, sequence int64, limit int,
	judge func(context.Context, job.Job) (job.Fate, error)) (fates map[int64]job.Fate, left int, whole bool, err error) {
	fates = map[int64]job.Fate{}
	whole = true
	var failed error
	ended, err := q.peek(ctx, rx, func(m *azservicebus.ReceivedMessage) {
		if failed != nil || m.SequenceNumber == nil || !of(m, connection) || sequence != 0 && *m.SequenceNumber != sequence {
			return
		}
		if len(fates) == limit {
			whole = false
			return
		}
		j, err := job.Decode(m.Body)
		if err != nil || j.Connection != connection {
			left++
			return
		}
		fate, err := judge(ctx, j)
		switch {
		case err != nil:
			failed = err
		case fate == job.Left:
			left++
		default:
			fates[*m.SequenceNumber] = fate
		}
	})
	if err == nil {
		err = failed
	}
	return fates, left, whole && ended, err
}

// again sends what a dead letter holds, under an identity of its own.
func (q *Queue) again(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	j, err := job.Decode(m.Body)
	if err != nil {
		return err
	}
	return q.send(ctx, j, fmt.Sprintf("%s/again-%d", j.MessageID(), *m.SequenceNumber), time.Time{})
}
