package servicebus

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// BenchmarkSendReceive sends, receives and completes one message at a time.
func BenchmarkSendReceive(b *testing.B) {
	s, err := Start("127.0.0.1:0", Options{Queues: []Queue{{Name: "jobs"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := azservicebus.NewClientFromConnectionString(emulator(s), nil)
	if err != nil {
		b.Fatal(err)
	}
	tx, err := c.NewSender("jobs", nil)
	if err != nil {
		b.Fatal(err)
	}
	rx, err := c.NewReceiverForQueue("jobs", nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	for b.Loop() {
		if err := tx.SendMessage(ctx, &azservicebus.Message{Body: make([]byte, 512)}, nil); err != nil {
			b.Fatal(err)
		}
		ms, err := rx.ReceiveMessages(ctx, 1, nil)
		if err != nil || len(ms) != 1 {
			b.Fatal(len(ms), err)
		}
		if err := rx.CompleteMessage(ctx, ms[0], nil); err != nil {
			b.Fatal(err)
		}
	}
}
