package servicebus

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/sandbox/pki"
	"rollcall/internal/sandbox/servicebus/amqp"
)

// credential gives one token for the scope of Service Bus.
type credential string

func (c credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != "https://servicebus.azure.net//.default" {
		return azcore.AccessToken{}, errors.New("wrong scope " + strings.Join(o.Scopes, " "))
	}
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// The handler's path: a name in servicebus.windows.net, a custom endpoint, TLS
// with the sandbox's certificate, a token for each audience.
func TestTokenOverTLS(t *testing.T) {
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.ServerTLS("sandbox.servicebus.windows.net")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	audiences := map[string]int{}
	s := mustStart(t, Options{
		Queues: []Queue{{Name: "jobs"}, {Name: "other"}},
		TLS:    config,
		Authorize: func(audience, token string) error {
			mu.Lock()
			defer mu.Unlock()
			audiences[audience]++
			if token != "good token" {
				return errors.New("the token is not good")
			}
			return nil
		},
	})
	client := func(token string) *azservicebus.Client {
		c, err := azservicebus.NewClient("sandbox.servicebus.windows.net", credential(token), &azservicebus.ClientOptions{
			CustomEndpoint: s.Addr(),
			TLSConfig:      &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
			RetryOptions:   azservicebus.RetryOptions{RetryDelay: time.Millisecond, MaxRetryDelay: 5 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(context.Background()) })
		return c
	}
	b := &bench{Server: s, t: t, ctx: deadline(t)}
	b.c = client("good token")
	b.tx, b.rx = b.sender(b.c), b.receiver(b.c, nil)
	b.send("a")
	b.ok(b.rx.CompleteMessage(b.ctx, b.one(), nil))
	b.send("b")
	b.ok(b.rx.DeadLetterMessage(b.ctx, b.one(), nil))
	rx := b.dead()
	b.ok(rx.CompleteMessage(b.ctx, b.receive(rx, 1)[0], nil))
	b.want(Counts{Sent: 2, Completed: 1})
	for _, want := range []string{"jobs", "jobs/$management", "jobs/$DeadLetterQueue"} {
		if want = "amqps://sandbox.servicebus.windows.net/" + want; audiences[want] == 0 {
			t.Errorf("no token was put for %s, only for %v", want, audiences)
		}
	}

	wantCode(t, b.sender(client("bad token")).SendMessage(b.ctx, text("c"), nil), azservicebus.CodeUnauthorizedAccess)
	_, err = b.receiver(client("bad token"), nil).ReceiveMessages(b.ctx, 1, nil)
	wantCode(t, err, azservicebus.CodeUnauthorizedAccess)
	tx, err := b.c.NewSender("absent", nil)
	b.ok(err)
	wantCode(t, tx.SendMessage(b.ctx, text("c"), nil), azservicebus.CodeNotFound)
	b.want(Counts{Sent: 2, Completed: 1})
}

// Without a token for a queue there is no link to it, whatever the client.
func TestAttachWithoutToken(t *testing.T) {
	s := mustStart(t, Options{
		Queues:    []Queue{{Name: "jobs"}},
		Authorize: func(string, string) error { return nil },
	})
	r := rawSession(t, s)
	r.attach("jobs", true)
	if cond := r.refusal(); cond != amqp.UnauthorizedAccess {
		t.Errorf("attach was answered with %q", cond)
	}
}

// A token opens the queue that it was put for, or the whole namespace; a
// refused one, or one for another queue, opens nothing.
func TestTokens(t *testing.T) {
	s := mustStart(t, Options{
		Queues: []Queue{{Name: "jobs"}, {Name: "other"}},
		Authorize: func(_, token string) error {
			if token != "good" {
				return errors.New("bad")
			}
			return nil
		},
	})
	for name, c := range map[string]struct {
		audience, token string
		open            bool
	}{
		"good":      {"amqps://host/jobs", "good", true},
		"namespace": {"sb://host/", "good", true},
		"refused":   {"amqps://host/jobs", "bad", false},
		"other":     {"amqps://host/other", "good", false},
		"unknown":   {"amqps://host/absent", "good", false},
		"itself":    {"$cbs", "good", false},
	} {
		r := rawSession(t, s)
		r.attach("$cbs", true)
		id := uint32(0)
		r.transfer(amqp.Transfer{DeliveryID: &id}, amqp.Message{
			Application: amqp.Map{{Key: "operation", Value: "put-token"}, {Key: "name", Value: c.audience}},
			Body:        amqp.Section(nil, amqp.ValueSection, c.token),
		}.Append(nil))
		r.send(amqp.Detach{Closed: true})
		r.attach("jobs", true)
		r.send(amqp.Detach{Closed: true})
		detaches, fault := 0, (*amqp.Error)(nil)
		for detaches < 2 {
			if d, ok := r.next().(amqp.Detach); ok {
				detaches, fault = detaches+1, d.Err
			}
		}
		if open := fault == nil; open != c.open {
			t.Errorf("%s: the queue is open: %v", name, open)
		}
	}
}
