package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"rollcall/internal/sandbox/servicebus"
)

// queued runs a host on a real broker with the queue "jobs".
func queued(t *testing.T, o Options, binding string, env ...string) (*rig, *servicebus.Server, func(...*azservicebus.Message)) {
	t.Helper()
	broker, err := servicebus.Start("127.0.0.1:0", servicebus.Options{Queues: []servicebus.Queue{{Name: "jobs", LockDuration: 30 * time.Second, MaxDeliveryCount: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	dial := func() (*azservicebus.Client, error) {
		return azservicebus.NewClientFromConnectionString("Endpoint=sb://"+broker.Addr()+";SharedAccessKeyName=x;SharedAccessKey=x;UseDevelopmentEmulator=true", nil)
	}
	client, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	sender, err := client.NewSender("jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	o.ServiceBus = dial
	r := start(t, o, map[string]string{"work/function.json": fmt.Sprintf(workFile, binding)}, append(env, "SB__fullyQualifiedNamespace=ns.example")...)
	return r, broker, func(ms ...*azservicebus.Message) {
		t.Helper()
		for _, m := range ms {
			if err := sender.SendMessage(t.Context(), m, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// settle waits until the broker holds no message and has dead-lettered as many as expected.
func settle(t *testing.T, r *rig, b *servicebus.Server, completed int64, dead int) servicebus.Counts {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		n, err := b.Counts("jobs")
		if err != nil {
			t.Fatal(err)
		}
		if n.Completed == completed && n.DeadLetter == dead && n.Active == 0 && n.Locked == 0 {
			if err := r.Idle(t.Context()); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("the queue holds %+v, want %d completed and %d dead", n, completed, dead)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func body(t *testing.T, e echo) (data, metadata map[string]any) {
	t.Helper()
	var b struct{ Data, Metadata map[string]any }
	if err := json.Unmarshal([]byte(e.Body), &b); err != nil {
		t.Fatal(err)
	}
	return b.Data, b.Metadata
}

func TestQueueContract(t *testing.T) {
	const text = `{"tenantId":"t1","DeliveryCount":9}`
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		binding string
		quoting Quoting
		data    string
		count   string
		tenant  any
	}{
		{"", QuotingDouble, `"{\"tenantId\":\"t1\",\"DeliveryCount\":9}"`, "9", `"t1"`},
		{"", QuotingSingle, text, "9", `"t1"`},
		{`,"dataType":"binary"`, QuotingDouble, "eyJ0ZW5hbnRJZCI6InQxIiwiRGVsaXZlcnlDb3VudCI6OX0=", "1", nil},
	} {
		r, b, send := queued(t, Options{Quoting: tt.quoting}, tt.binding)
		send(&azservicebus.Message{Body: []byte(text), MessageID: to.Ptr("m-1"), ContentType: to.Ptr("application/json"),
			ApplicationProperties: map[string]any{"Diagnostic-Id": trace}})
		settle(t, r, b, 1, 0)
		got := r.seen("work")
		if len(got) != 1 || got[0].URI != "/work" {
			t.Fatalf("got %+v", got)
		}
		data, meta := body(t, got[0])
		if diff := cmp.Diff(map[string]any{"job": tt.data}, data); diff != "" {
			t.Error(diff)
		}
		for k, want := range map[string]any{
			"MessageId": `"m-1"`, "ContentType": `"application/json"`, "DeliveryCount": tt.count, "SequenceNumber": "1", "tenantId": tt.tenant,
			"Client":                map[string]any{"FullyQualifiedNamespace": "ns.example", "IsClosed": false},
			"ApplicationProperties": map[string]any{"Diagnostic-Id": trace}, "MessageReceiver": map[string]any{},
			"SessionId": nil,
		} {
			if diff := cmp.Diff(want, meta[k]); diff != "" {
				t.Errorf("%s: %s", k, diff)
			}
		}
		if s, _ := meta["EnqueuedTimeUtc"].(string); len(s) != len("2026-03-01T00:15:01") {
			t.Errorf("EnqueuedTimeUtc %q", s)
		}
		if s, _ := meta["EnqueuedTime"].(string); !strings.HasSuffix(s, "+00:00") {
			t.Errorf("EnqueuedTime %q", s)
		}
		if s, _ := meta["LockToken"].(string); len(s) != 38 {
			t.Errorf("LockToken %q", s)
		}
		if !strings.HasPrefix(got[0].Header.Get("Traceparent"), trace[:36]) {
			t.Errorf("traceparent %q", got[0].Header.Get("Traceparent"))
		}
	}
}

func TestQueueFailures(t *testing.T) {
	// The first message fails once, dies once, then succeeds.
	r, b, send := queued(t, Options{}, "", "WORK=500,exit7,ok")
	send(&azservicebus.Message{Body: []byte("x")})
	settle(t, r, b, 1, 0)
	var counts []string
	for _, e := range r.seen("work") {
		_, meta := body(t, e)
		counts = append(counts, meta["DeliveryCount"].(string))
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, counts); diff != "" {
		t.Error(diff)
	}
	if s := r.Stats(); s.Functions["work"] != (FunctionStats{3, 2}) || s.Restarts != 1 {
		t.Errorf("%+v", s)
	}
}

func TestQueueDeadLetters(t *testing.T) {
	r, b, send := queued(t, Options{}, "", "WORK=500")
	send(&azservicebus.Message{Body: []byte("x")})
	settle(t, r, b, 0, 1)
	if n := len(r.seen("work")); n != 3 { // the queue's delivery limit
		t.Errorf("delivered %d times", n)
	}
}

func TestDeliveries(t *testing.T) {
	r, b, send := queued(t, Options{Deliveries: 2}, "")
	for i := range 5 {
		send(&azservicebus.Message{Body: fmt.Append(nil, i)})
	}
	settle(t, r, b, 5, 0)
	if n := len(r.seen("work")); n != 10 {
		t.Errorf("posted %d times, want each of 5 twice", n)
	}
}

func TestQueueSurvivesLostConnections(t *testing.T) {
	r, b, send := queued(t, Options{}, "")
	send(&azservicebus.Message{Body: []byte("a")})
	settle(t, r, b, 1, 0)
	b.DropConnections()
	send(&azservicebus.Message{Body: []byte("b")})
	settle(t, r, b, 2, 0)
	r.Kill()
	send(&azservicebus.Message{Body: []byte("c")})
	settle(t, r, b, 3, 0)
}

// fakeReceiver gives one message whose lock is always about to expire.
type fakeReceiver struct {
	given   atomic.Bool
	renewed atomic.Int64
	settled chan string
	ends    time.Time
}

func (f *fakeReceiver) ReceiveMessages(ctx context.Context, _ int, _ *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error) {
	if f.given.Swap(true) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []*azservicebus.ReceivedMessage{{MessageID: "m", LockedUntil: &f.ends}}, nil
}

func (f *fakeReceiver) CompleteMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.CompleteMessageOptions) error {
	f.settled <- "completed"
	return errors.New("lock lost")
}

func (f *fakeReceiver) AbandonMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.AbandonMessageOptions) error {
	f.settled <- "abandoned"
	return nil
}

func (f *fakeReceiver) RenewMessageLock(_ context.Context, m *azservicebus.ReceivedMessage, _ *azservicebus.RenewMessageLockOptions) error {
	m.LockedUntil = to.Ptr(m.LockedUntil.Add(40 * time.Millisecond))
	f.renewed.Add(1)
	return nil
}

func TestLockIsRenewed(t *testing.T) {
	files := map[string]string{
		"work/function.json": fmt.Sprintf(workFile, ""),
		"host.json":          strings.Replace(hostFile, `"00:00:10"`, `"00:00:00.3"`, 1),
	}
	r := start(t, Options{}, files, "WORK=hang")
	f := &fakeReceiver{settled: make(chan string, 1), ends: time.Now().Add(40 * time.Millisecond)}
	r.listeners.Go(func() { r.listenQueue(r.find("work"), f) })
	if what := <-f.settled; what != "abandoned" {
		t.Errorf("a message that timed out was %s", what)
	}
	if n := f.renewed.Load(); n < 3 {
		t.Errorf("renewed %d times within 300 ms of 40 ms locks", n)
	}
}
