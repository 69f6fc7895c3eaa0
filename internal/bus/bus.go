// Package bus puts jobs on the Service Bus queue, and takes off what nobody
// needs any more. It is the only user of azservicebus.
//
// A job's message ID is its identity: sending the same job twice within the
// queue's duplicate window leaves one message, so a sender that does not know
// the outcome sends again.
package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// sendTimeout is longer than the client's own recovery of a lost connection,
// which begins after its first back-off of 4 s.
const sendTimeout = 45 * time.Second

// Queue sends to one queue. Its link is opened by the first message and kept.
// It is safe for concurrent use.
type Queue struct {
	client *azservicebus.Client
	name   string
	trace  func(context.Context) string
	look   int // the most messages that one call of Discard looks at

	mu     sync.Mutex
	sender *azservicebus.Sender
}

// Options say where the queue is.
type Options struct {
	// Namespace is fully qualified, such as "ns.servicebus.windows.net".
	Namespace string
	// Endpoint is where to connect if that is not the namespace itself, such
	// as a private endpoint, as host:port. Usually empty.
	Endpoint string
	TLS      *tls.Config
	Queue    string
	// Trace returns the traceparent to send along, or "". It may be nil.
	Trace func(context.Context) string
}

// New returns a queue. It connects when it is first used.
func New(cred azcore.TokenCredential, o Options) (*Queue, error) {
	c, err := azservicebus.NewClient(o.Namespace, cred, &azservicebus.ClientOptions{
		CustomEndpoint: o.Endpoint,
		TLSConfig:      o.TLS,
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "bus: client of %s: %w", o.Namespace, err)
	}
	return &Queue{client: c, name: o.Queue, trace: o.Trace, look: maxLook}, nil
}

// Send puts the job on the queue, to be delivered not before at; a zero time
// means now. After an error it is not known whether the job was accepted.
func (q *Queue) Send(ctx context.Context, j job.Job, at time.Time) (err error) {
	id := j.MessageID()
	defer fault.Wrap(&err, "bus: send %s", id)
	return q.send(ctx, j, id, at)
}

func (q *Queue) send(ctx context.Context, j job.Job, id string, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	sender, err := q.open()
	if err != nil {
		return classify(err, sending)
	}
	contentType := "application/json"
	msg := &azservicebus.Message{Body: j.Encode(), MessageID: &id, ContentType: &contentType}
	if !at.IsZero() {
		msg.ScheduledEnqueueTime = &at
	}
	if q.trace != nil {
		if tp := q.trace(ctx); tp != "" {
			msg.ApplicationProperties = map[string]any{"traceparent": tp}
		}
	}
	if err := sender.SendMessage(ctx, msg, nil); err != nil {
		if ctx.Err() == nil { // else the caller gave up, and others still use it
			q.drop(sender)
		}
		return classify(err, sending)
	}
	return nil
}

func (q *Queue) open() (*azservicebus.Sender, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sender != nil {
		return q.sender, nil
	}
	s, err := q.client.NewSender(q.name, nil)
	if err != nil {
		return nil, err
	}
	q.sender = s
	return s, nil
}

// drop closes a sender that failed; the next message opens a new link.
func (q *Queue) drop(s *azservicebus.Sender) {
	q.mu.Lock()
	if q.sender == s {
		q.sender = nil
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // best effort: the link is broken already
}

// The roles that Rollcall's identity needs on the queue. Source: Azure
// built-in roles, "Integration".
const (
	sending   = "Azure Service Bus Data Sender"
	receiving = "Azure Service Bus Data Receiver"
)

// classify adds the remedy where the vendor's own set-up is wrong: role is what
// the call needs. The kind stays Unknown: such a message must not be given up.
func classify(err error, role string) error {
	var sb *azservicebus.Error
	if !errors.As(err, &sb) {
		return err
	}
	e := fault.New(fault.Unknown, "%w", err).WithCode(string(sb.Code))
	switch sb.Code {
	case azservicebus.CodeUnauthorizedAccess:
		return e.WithRemedy("Give Rollcall's managed identity the role %s on the queue.", role)
	case azservicebus.CodeNotFound:
		return e.WithRemedy("Create the queue, or correct the namespace's name in the settings.")
	default:
		return e
	}
}
