package consent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// memory is the store and the queue.
type memory struct {
	mu          sync.Mutex
	connections map[string]connection.Connection
	claims      map[string]string
	nonces      map[string]nonce
	sent        []sent
	runs        []job.Run
	fence       job.Fence
	unread      error // of the fence
	entries     []connection.Entry
	own         map[string]string // client IDs by secret
	// fail, if set, is asked before every operation.
	fail func(op string) error
}

type nonce struct {
	value   []byte
	expires time.Time
}

type sent struct {
	job job.Job
	at  time.Time
}

func (m *memory) enter(op string) (func(), error) {
	m.mu.Lock()
	if m.fail != nil {
		if err := m.fail(op); err != nil {
			m.mu.Unlock()
			return nil, err
		}
	}
	return m.mu.Unlock, nil
}

func (m *memory) Connection(_ context.Context, id string) (connection.Connection, error) {
	leave, err := m.enter("read")
	if err != nil {
		return connection.Connection{}, err
	}
	defer leave()
	c, ok := m.connections[id]
	if !ok {
		return c, fault.New(fault.NotFound, "no connection")
	}
	return c, nil
}

func (m *memory) UpdateConnection(_ context.Context, c connection.Connection) (connection.Connection, error) {
	leave, err := m.enter("update")
	if err != nil {
		return c, err
	}
	defer leave()
	if m.connections[c.ID].Version != c.Version {
		return c, fault.New(fault.Conflict, "stale")
	}
	c.Version += "+"
	m.connections[c.ID] = c
	return c, nil
}

func (m *memory) Claim(_ context.Context, tenant, id string) error {
	leave, err := m.enter("claim")
	if err != nil {
		return err
	}
	defer leave()
	if owner := m.claims[tenant]; owner != "" && owner != id {
		return fault.New(fault.Conflict, "owned")
	}
	m.claims[tenant] = id
	return nil
}

func (m *memory) Owner(_ context.Context, tenant string) (string, error) {
	leave, err := m.enter("owner")
	if err != nil {
		return "", err
	}
	defer leave()
	if m.claims[tenant] == "" {
		return "", fault.New(fault.NotFound, "unclaimed")
	}
	return m.claims[tenant], nil
}

func (m *memory) PutNonce(_ context.Context, key string, value []byte, expires time.Time) error {
	leave, err := m.enter("put")
	if err != nil {
		return err
	}
	defer leave()
	m.nonces[key] = nonce{value, expires}
	return nil
}

func (m *memory) TakeNonce(_ context.Context, key string, now time.Time) ([]byte, error) {
	leave, err := m.enter("take")
	if err != nil {
		return nil, err
	}
	defer leave()
	n, ok := m.nonces[key]
	delete(m.nonces, key)
	if !ok || !now.Before(n.expires) {
		return nil, fault.New(fault.NotFound, "no such nonce")
	}
	return n.value, nil
}

func (m *memory) Send(_ context.Context, j job.Job, at time.Time) error {
	leave, err := m.enter("send")
	if err != nil {
		return err
	}
	defer leave()
	m.sent = append(m.sent, sent{j, at})
	return nil
}

func (m *memory) Fence(context.Context, string) (job.Fence, error) { return m.fence, m.unread }

func (m *memory) Runs(_ context.Context, _, after string, limit int) ([]job.Run, string, error) {
	rest := m.runs
	for len(rest) > 0 && rest[0].ID <= after {
		rest = rest[1:]
	}
	if len(rest) <= limit {
		return rest, "", nil
	}
	return rest[:limit], rest[limit-1].ID, nil
}

func (m *memory) Run(context.Context, string, string) (job.Run, error) {
	return job.Run{}, fault.New(fault.NotFound, "no open run")
}

func (m *memory) Note(_ context.Context, e connection.Entry) error {
	leave, err := m.enter("note")
	if err != nil {
		return err
	}
	defer leave()
	m.entries = append(m.entries, e)
	return nil
}

func (m *memory) KnownApp(_ context.Context, secret string) (string, error) {
	leave, err := m.enter("own")
	if err != nil {
		return "", err
	}
	defer leave()
	if m.own[secret] == "" {
		return "", fault.New(fault.NotFound, "no such secret")
	}
	return m.own[secret], nil
}

// picture is all that is kept for good but the audit log, as text.
func (m *memory) picture() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.MarshalIndent([]any{m.connections, m.claims, fmt.Sprint(m.sent)}, "", " ")
	if err != nil {
		panic(err)
	}
	return string(b)
}
