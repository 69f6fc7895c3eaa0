package host

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Timings of a queue listener.
const (
	retryFirst    = 20 * time.Millisecond // before receiving again after an error or an empty answer
	retryMost     = 5 * time.Second
	renewMargin   = 10 * time.Second // a lock is renewed this long before it expires, or halfway if that is later (source: ServiceBusProcessor)
	settleTimeout = time.Minute      // the client settles again after 4, 12 and 28 s
)

// receiver is what the host needs of an azservicebus.Receiver in peek-lock mode.
type receiver interface {
	ReceiveMessages(ctx context.Context, max int, o *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
	CompleteMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.CompleteMessageOptions) error
	AbandonMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.AbandonMessageOptions) error
	RenewMessageLock(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.RenewMessageLockOptions) error
}

// listenQueue receives one queue's messages until the host stops, at most
// maxConcurrentCalls of them at a time (documented).
func (h *Host) listenQueue(f *function, r receiver) {
	slots := make(chan struct{}, h.app.maxCalls)
	wait := retryFirst
	for {
		free := 0
		select { // one slot at least, and every other that is free
		case slots <- struct{}{}:
			free = 1
		case <-h.ctx.Done():
			return
		}
		for more := true; more && free < h.app.maxCalls; {
			select {
			case slots <- struct{}{}:
				free++
			default:
				more = false
			}
		}
		ms, err := r.ReceiveMessages(h.ctx, free, nil)
		for range free - len(ms) {
			<-slots
		}
		for _, m := range ms {
			h.listeners.Add(1)
			release := h.busy() // before the next receive: a message in hand is work in hand
			go func() {
				defer h.listeners.Done()
				defer release()
				defer func() { <-slots }()
				h.message(f, r, m)
			}()
		}
		if len(ms) > 0 {
			wait = retryFirst
			continue
		}
		// Nothing, and no error, is what the client answers on a dropped connection.
		if err != nil && h.ctx.Err() == nil {
			h.log.system("Error", "queue %s: receive: %v", f.trigger.queue, err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-h.ctx.Done():
			pause.Stop()
			return
		}
		wait = min(2*wait, retryMost)
	}
}

// message invokes the function for one message and settles it: completed on
// success, abandoned on failure, which makes it available again at once; the
// broker dead-letters it at the queue's delivery limit (documented).
func (h *Host) message(f *function, r receiver, m *azservicebus.ReceivedMessage) {
	ctx, cancel := context.WithCancel(h.ctx)
	go h.renew(ctx, f, r, m)
	var err error
	for range max(1, h.opts.Deliveries) {
		if err = h.run(h.ctx, f, h.queueInvocation(f, m), parentOf(m)); err != nil {
			break
		}
	}
	cancel()
	if h.ctx.Err() != nil {
		return // a host that is killed settles nothing: the lock expires
	}
	ctx, cancel = context.WithTimeout(h.ctx, settleTimeout)
	defer cancel()
	if err == nil {
		err = r.CompleteMessage(ctx, m, nil)
	} else {
		err = r.AbandonMessage(ctx, m, nil)
	}
	if err != nil { // the message returns when its lock expires
		h.log.system("Error", "queue %s: settle message %s: %v", f.trigger.queue, m.MessageID, err)
	}
}

// renew keeps a message's lock for up to maxAutoLockRenewalDuration (documented).
func (h *Host) renew(ctx context.Context, f *function, r receiver, m *azservicebus.ReceivedMessage) {
	ctx, cancel := context.WithTimeout(ctx, h.app.renewal)
	defer cancel()
	for m.LockedUntil != nil {
		left := m.LockedUntil.Sub(h.now())
		wait := time.NewTimer(max(left-renewMargin, left/2, 0))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		if err := r.RenewMessageLock(ctx, m, nil); err != nil {
			if ctx.Err() == nil {
				h.log.system("Error", "queue %s: renew lock of message %s: %v", f.trigger.queue, m.MessageID, err)
			}
			return
		}
	}
}

// queueInvocation is a message by the POST contract. Data is base64 of the raw
// bytes for dataType binary (inferred), else the text; only text is spread into the metadata.
func (h *Host) queueInvocation(f *function, m *azservicebus.ReceivedMessage) invocation {
	meta := h.metadata(f, m)
	var data any
	if f.trigger.binary {
		data = encode(m.Body)
	} else {
		spread(string(m.Body), meta)
		data = h.opts.Quoting.text(string(m.Body))
	}
	return invocation{Data: map[string]any{f.trigger.name: data}, Metadata: wire(meta)}
}

// metadata is what the host tells of a message (source:
// ServiceBusTriggerBindingStrategy, single dispatch).
func (h *Host) metadata(f *function, m *azservicebus.ReceivedMessage) map[string]any {
	properties := m.ApplicationProperties
	if properties == nil {
		properties = map[string]any{}
	}
	namespace, _ := h.setting(f.trigger.connection + "__fullyQualifiedNamespace")
	meta := map[string]any{
		"MessageReceiver": map[string]any{}, "MessageActions": map[string]any{}, "ReceiveActions": map[string]any{},
		"Client":        map[string]any{"FullyQualifiedNamespace": namespace, "IsClosed": false},
		"DeliveryCount": m.DeliveryCount, "LockToken": lockToken(m.LockToken), "MessageId": m.MessageID,
		"ApplicationProperties": properties, "UserProperties": properties,
		"sys": h.sys(f, h.now()),
	}
	for k, s := range map[string]*string{
		"ContentType": m.ContentType, "CorrelationId": m.CorrelationID, "Subject": m.Subject, "Label": m.Subject,
		"SessionId": m.SessionID, "To": m.To, "ReplyTo": m.ReplyTo, "PartitionKey": m.PartitionKey, "DeadLetterSource": m.DeadLetterSource,
	} {
		if s != nil {
			meta[k] = *s
		}
	}
	if m.SequenceNumber != nil {
		meta["SequenceNumber"] = *m.SequenceNumber
	}
	if m.EnqueuedTime != nil {
		meta["EnqueuedTimeUtc"], meta["EnqueuedTime"] = dateTime(*m.EnqueuedTime), dateTimeOffset(*m.EnqueuedTime)
	}
	if m.ExpiresAt != nil {
		meta["ExpiresAtUtc"], meta["ExpiresAt"] = dateTime(*m.ExpiresAt), dateTimeOffset(*m.ExpiresAt)
	}
	return meta
}

func lockToken(t [16]byte) string {
	s := hex.EncodeToString(t[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// parentOf is the trace context that the message's sender left (source:
// Diagnostic-Id of the Service Bus SDK).
func parentOf(m *azservicebus.ReceivedMessage) string {
	for _, k := range []string{"Diagnostic-Id", "traceparent"} {
		if s, ok := m.ApplicationProperties[k].(string); ok {
			return s
		}
	}
	return ""
}
