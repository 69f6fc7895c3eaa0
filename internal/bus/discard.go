package bus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// discardTime bounds one call of Discard, well within the lock of the
	// message whose worker calls it.
	discardTime = 2 * time.Minute
	// maxPeek is the most messages that one peek returns. Source: Service Bus
	// documentation, "Message browsing".
	maxPeek = 250
	// maxLook is how many messages are looked at in one call: ten for each of
	// ten thousand connections, which takes seconds.
	maxLook = 100_000
	// maxLocked is how many dead letters of others a call holds locked, so that
	// they do not come again; letting go of each takes a round trip.
	maxLocked = 2000
	// deadWait is how long a dead letter may take to come that was seen there:
	// somebody else may hold its lock.
	deadWait = 5 * time.Second
	// closeTime bounds what is done when the work's own time is up.
	closeTime = 20 * time.Second
)

// What Discard counts.
const (
	scheduledMessages = "scheduled"
	deadLetters       = "deadLetters"
)

// Discard takes the connection's messages off the queue, but for those of its
// purge, whose worker this is: scheduled ones are canceled, dead letters are
// deleted. It returns how many of each, and whether none is left. A message
// that is being delivered is left to its worker, who drops it; until then
// Discard is not done, and is to be called again. Where so many messages are
// that it cannot look at all of them, it does what it can and returns an error
// that says what to do.
func (q *Queue) Discard(ctx context.Context, connection string) (discarded map[string]int, done bool, err error) {
	defer fault.Wrap(&err, "bus: discard messages of %s", connection)
	ctx, cancel := context.WithTimeout(ctx, discardTime)
	defer cancel()
	discarded = make(map[string]int)
	canceled, idle, err := q.cancelScheduled(ctx, connection)
	if canceled > 0 {
		discarded[scheduledMessages] = canceled
	}
	if err != nil {
		return discarded, false, err
	}
	deleted, clean, err := q.deleteDead(ctx, connection)
	if deleted > 0 {
		discarded[deadLetters] = deleted
	}
	return discarded, idle && clean, err
}

// cancelScheduled cancels the connection's scheduled messages, and reports
// whether no others are on the queue either.
func (q *Queue) cancelScheduled(ctx context.Context, connection string) (n int, idle bool, err error) {
	rx, closeRx, err := q.receiver(azservicebus.ReceiverOptions{})
	if err != nil {
		return 0, false, err
	}
	defer closeRx()
	var waiting []int64
	active := 0
	whole, err := q.peek(ctx, rx, func(m *azservicebus.ReceivedMessage) {
		switch {
		case !of(m, connection) || purges(m):
		case m.State == azservicebus.MessageStateScheduled && m.SequenceNumber != nil:
			waiting = append(waiting, *m.SequenceNumber)
		default:
			active++
		}
	})
	if err != nil {
		return 0, false, err
	}
	sender, err := q.open()
	if err != nil {
		return 0, false, classify(err, sending)
	}
	for seqs := range slices.Chunk(waiting, maxPeek) {
		err := sender.CancelScheduledMessages(ctx, seqs, nil)
		if sb, ok := errors.AsType[*azservicebus.Error](err); ok && sb.Code == azservicebus.CodeNotFound {
			return n, false, nil // one has become due meanwhile, and none of these was canceled
		}
		if err != nil {
			if ctx.Err() == nil {
				q.drop(sender)
			}
			return n, false, classify(err, sending)
		}
		n += len(seqs)
	}
	if !whole {
		return n, false, q.crowded("messages wait on the queue", "Wait until the workers have caught up, or find out what keeps them from it")
	}
	return n, active == 0, nil
}

// deleteDead deletes the connection's dead letters, and reports whether none
// is left. Those of others are locked for the while, and let go of in the end.
func (q *Queue) deleteDead(ctx context.Context, connection string) (n int, clean bool, err error) {
	rx, closeRx, err := q.receiver(azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	if err != nil {
		return 0, false, err
	}
	defer closeRx()
	seen := 0
	whole, err := q.peek(ctx, rx, func(m *azservicebus.ReceivedMessage) {
		if of(m, connection) {
			seen++
		}
	})
	if err != nil || seen == 0 && whole {
		return 0, err == nil, err
	}
	var others []*azservicebus.ReceivedMessage
	defer func() { letGo(ctx, rx, others) }()
	for n < seen {
		m, err := receive(ctx, rx)
		switch {
		case err != nil || m == nil:
			return n, false, err
		case of(m, connection):
			if err := rx.CompleteMessage(ctx, m, nil); err != nil {
				return n, false, classify(err, receiving)
			}
			n++
		case len(others) >= maxLocked:
			return n, false, fault.New(fault.Unknown, "more than %d dead letters of others come first", maxLocked).
				WithRemedy("Look into the queue's dead letters, and clear them: they hold up the purge of a connection.")
		default:
			others = append(others, m)
		}
	}
	if !whole {
		return n, false, q.crowded("dead letters are there", "Look into the queue's dead letters, and clear them")
	}
	return n, true, nil
}

// crowded says that there are too many messages to look at all of them.
func (q *Queue) crowded(what, remedy string) error {
	return fault.New(fault.Unknown, "more than %d %s", q.look, what).WithCode("queue_crowded").
		WithRemedy("%s: so many messages hold up the purge of a connection.", remedy)
}

// receiver opens the queue, or its dead letters, for reading.
func (q *Queue) receiver(o azservicebus.ReceiverOptions) (*azservicebus.Receiver, func(), error) {
	rx, err := q.client.NewReceiverForQueue(q.name, &o)
	if err != nil {
		return nil, nil, classify(err, receiving)
	}
	return rx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = rx.Close(ctx) // best effort: what it has locked comes free by itself
	}, nil
}

// peek looks at messages, whatever their state, and reports whether it has come
// to their end.
func (q *Queue) peek(ctx context.Context, rx *azservicebus.Receiver, see func(*azservicebus.ReceivedMessage)) (whole bool, err error) {
	for n := 0; n < q.look; {
		ms, err := rx.PeekMessages(ctx, maxPeek, nil) // goes on where the last one ended
		if err != nil {
			return false, classify(err, receiving)
		}
		if len(ms) == 0 {
			return true, nil
		}
		n += len(ms)
		for _, m := range ms {
			see(m)
		}
	}
	return false, nil
}

// receive locks the next message, or returns nil if none comes. It asks for one
// at a time: what is asked for and does not come would be delivered later, to
// nobody, and stay locked.
func receive(ctx context.Context, rx *azservicebus.Receiver) (*azservicebus.ReceivedMessage, error) {
	wait, cancel := context.WithTimeout(ctx, deadWait)
	defer cancel()
	ms, err := rx.ReceiveMessages(wait, 1, nil)
	switch {
	case err != nil && ctx.Err() == nil && wait.Err() != nil:
		return nil, nil
	case err != nil:
		return nil, classify(err, receiving)
	case len(ms) == 0: // the connection was lost, which is no error to the client
		return nil, nil
	}
	return ms[0], nil
}

// letGo unlocks messages. What it does not come to comes free when its lock
// runs out.
func letGo(ctx context.Context, rx *azservicebus.Receiver, ms []*azservicebus.ReceivedMessage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	for _, m := range ms {
		if rx.AbandonMessage(ctx, m, nil) != nil {
			return
		}
	}
}

// of reports whether a message is the connection's, by its identity, which
// begins with the connection's ID in every version, or by what it holds: who
// puts one back by hand may give it another identity.
func of(m *azservicebus.ReceivedMessage, connection string) bool {
	if strings.HasPrefix(m.MessageID, connection+"/") {
		return true
	}
	j, err := job.Decode(m.Body)
	return err == nil && j.Connection == connection
}

// purges reports whether a message is one of a purge.
func purges(m *azservicebus.ReceivedMessage) bool {
	j, err := job.Decode(m.Body)
	return err == nil && j.Kind == job.Offboard
}
