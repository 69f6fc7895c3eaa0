package tablestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/uuid"

	"rollcall/internal/sandbox/tablestore/memory"
)

// inMemory is the store of this process, in the service's words.
type inMemory struct {
	tables *memory.Store
	pages  Pages
	token  string
}

func newInMemory(p Pages, token string) *inMemory {
	return &inMemory{memory.New(time.Now, judgeMerged), p.withDefaults(), token}
}

// judgeMerged holds what a merge has put together against the limits.
func judgeMerged(partition, row, properties string) error {
	props, err := parseEntity("{" + properties + "}")
	if err == nil {
		err = checkProperties(partition, row, props)
	}
	if err != nil {
		return err
	}
	return nil
}

// stop leaves everything to the garbage collector.
func (m *inMemory) stop() {}

func (m *inMemory) client() (*aztables.ServiceClient, error) {
	return aztables.NewServiceClient("https://127.0.0.1/"+account, staticToken(m.token),
		&aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: direct{m}, Retry: policy.RetryOptions{MaxRetries: -1},
		}})
}

// direct is a transport into the store.
type direct struct{ m *inMemory }

// Do implements policy.Transporter.
func (d direct) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	var a *answer
	q, refused := parseRequest(r, string(body))
	if refused != nil {
		a = refused.answer()
	} else {
		var err error
		if a, err = d.m.do(r.Context(), call{r, q, r.URL.RequestURI(), string(body), d.m.token}); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

// do answers a call.
func (m *inMemory) do(_ context.Context, c call) (*answer, error) {
	if c.token != m.token && !acceptable(c.token, time.Now()) {
		return (&storageError{http.StatusForbidden, "AuthenticationFailed", "Server failed to authenticate the request.", false}).answer(), nil
	}
	a, err := m.answer(c)
	if err != nil {
		return err.answer(), nil
	}
	return a, nil
}

func (m *inMemory) answer(c call) (*answer, *storageError) {
	switch c.q.kind {
	case readEntity:
		return m.entity(c)
	case batchRead:
		return m.batchRead(c)
	case queryEntities:
		return m.query(c)
	case listTables, readTable:
		return m.list(c)
	case createTable:
		return m.create(c)
	case deleteTable:
		if m.tables.Drop(c.q.table) != nil {
			return nil, notFound
		}
		return &answer{http.StatusNoContent, headers(), nil}, nil
	case writeEntity:
		return m.write(c)
	case transaction:
		return m.transact(c)
	}
	return nil, &storageError{http.StatusNotImplemented, "NotImplemented", "The requested operation is not implemented on the specified resource.", false}
}

var notFound = &storageError{http.StatusNotFound, "ResourceNotFound", "The specified resource does not exist.", false}

// storeError puts what the store says into the service's words.
func storeError(err error) *storageError {
	var refused *storageError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, memory.ErrNoTable):
		return &storageError{http.StatusNotFound, "TableNotFound", "The table specified does not exist.", false}
	case errors.Is(err, memory.ErrTableExists):
		return &storageError{http.StatusConflict, "TableAlreadyExists", "The table specified already exists.", false}
	case errors.Is(err, memory.ErrExists):
		return &storageError{http.StatusConflict, "EntityAlreadyExists", "The specified entity already exists.", false}
	case errors.Is(err, memory.ErrStale):
		return &storageError{http.StatusPreconditionFailed, "UpdateConditionNotSatisfied", "The update condition specified in the request was not satisfied.", false}
	}
	return notFound
}

func headers() http.Header {
	return http.Header{
		"X-Ms-Request-Id": {uuid.NewString()}, "X-Ms-Version": {"2019-02-02"},
		"X-Content-Type-Options": {"nosniff"}, "Cache-Control": {"no-cache"},
	}
}

func (m *inMemory) create(c call) (*answer, *storageError) {
	f, refused := formatOf(c.Request)
	if refused != nil {
		return nil, refused
	}
	if err := m.tables.Create(c.q.table); err != nil {
		return nil, storeError(err)
	}
	h := headers()
	if prefer := c.Header.Get("Prefer"); prefer == "return-no-content" {
		h.Set("Preference-Applied", prefer)
		return &answer{http.StatusNoContent, h, nil}, nil
	}
	b := f.metadata([]byte("{"), linkTo(c.Request), "Tables/@Element")
	return f.answer(http.StatusCreated, h, append(f.table(b, c, c.q.table), '}')), nil
}

// write does one operation.
func (m *inMemory) write(c call) (*answer, *storageError) {
	op := &c.q.ops[0]
	f, refused := format(""), (*storageError)(nil)
	if op.method == http.MethodPost {
		if f, refused = formatOf(c.Request); refused != nil {
			return nil, refused
		}
	}
	todo, refused := op.todo()
	if refused != nil {
		return nil, refused
	}
	tick, _, err := m.tables.Write(op.table, op.partition, []memory.Op{todo})
	if err != nil {
		return nil, storeError(err)
	}
	h := headers()
	if todo.Verb != memory.Delete {
		h["Etag"] = []string{etag(tick)}
	}
	switch {
	case todo.Verb != memory.Insert:
		return &answer{http.StatusNoContent, h, nil}, nil
	case op.quiet:
		h.Set("Preference-Applied", "return-no-content")
		return &answer{http.StatusNoContent, h, nil}, nil
	}
	return f.answer(http.StatusCreated, h, f.inserted(c, op, todo.Properties, tick)), nil
}

// todo is the operation as the store does it.
func (op *operation) todo() (memory.Op, *storageError) {
	match, refused := op.matching()
	if refused != nil {
		return memory.Op{}, refused
	}
	todo := memory.Op{Row: op.row, Match: match}
	switch op.method {
	case http.MethodPost:
		todo.Verb, todo.Match = memory.Insert, 0
	case http.MethodPut:
		todo.Verb = memory.Replace
	case http.MethodDelete:
		todo.Verb = memory.Delete
		return todo, nil
	default:
		todo.Verb = memory.Merge
	}
	todo.Row, todo.Properties = stored(op.row, op.props)
	return todo, nil
}

// Parts of a transaction's answer, as the service words them.
const (
	partNoContent = "HTTP/1.1 204 No Content\r\n" + partCommon
	partCreated   = "HTTP/1.1 201 Created\r\n" + partCommon + "Content-Type: " + jsonType + "\r\n"
	partCommon    = "X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nDataServiceVersion: 3.0;\r\n"
)

func (m *inMemory) transact(c call) (*answer, *storageError) {
	ops := make([]memory.Op, len(c.q.ops))
	for i := range ops {
		var refused *storageError
		if ops[i], refused = c.q.ops[i].todo(); refused != nil {
			return nil, refused.at(i)
		}
	}
	tick, failed, err := m.tables.Write(c.q.table, c.q.ops[0].partition, ops)
	if err != nil {
		return nil, storeError(err).at(failed)
	}
	written := []byte(partNoContent + "ETag: " + etag(tick) + "\r\n\r\n")
	deleted := []byte(partNoContent + "\r\n")
	parts := make([][]byte, len(ops))
	for i, op := range ops {
		switch {
		case op.Verb == memory.Delete:
			parts[i] = deleted
		case op.Verb == memory.Insert && !c.q.ops[i].quiet:
			head := []byte(partCreated + "ETag: " + etag(tick) + "\r\n\r\n")
			parts[i] = append(head, minimal.inserted(c, &c.q.ops[i], op.Properties, tick)...)
		default:
			parts[i] = written
		}
	}
	return changeSet(headers(), parts), nil
}

// acceptable judges a token as Azurite does.
func acceptable(token string, now time.Time) bool {
	c, err := claims(token)
	aud, _ := url.Parse(c.Audience)
	return err == nil && aud != nil && aud.Host == "storage.azure.com" &&
		c.NotBefore <= now.Unix() && now.Unix() < c.Expires
}
