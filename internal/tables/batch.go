package tables

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/fault"
)

const (
	// maxOperations is the most operations in one transaction. Source: Azure
	// Table Storage, "Performing entity group transactions", which also caps
	// the body at 4 MiB.
	maxOperations = 100
	// maxBody is the most bytes of a body. What the service counts beside it is
	// not documented: hence a little less.
	maxBody = 4<<20 - 64<<10
)

// The parts of a body, as aztables writes them (source: aztables v1.4.1,
// transactional_batch.go). No entity holds a line, so none holds a boundary.
const (
	batchType = "multipart/mixed; boundary=batch_rollcall"
	opening   = "--batch_rollcall\r\nContent-Type: multipart/mixed; boundary=changeset_rollcall\r\n\r\n"
	closing   = "\r\n--changeset_rollcall--\r\n\r\n--batch_rollcall--\r\n"
	boundary  = "--changeset_rollcall\r\nContent-Transfer-Encoding: binary\r\nContent-Type: application/http\r\n\r\n"

	minimal     = "?%24format=application%2Fjson%3Bodata%3Dminimalmetadata HTTP/1.1\r\nAccept: application/json;odata=minimalmetadata\r\n"
	replaced    = " HTTP/1.1\r\nAccept: application/json\r\n"
	dataVersion = "DataServiceVersion: 3.0\r\n"
)

// batch is the body of an entity group transaction while it is built. The
// first error stays.
type batch struct {
	url, part string
	keyed     []byte              // the address of an entity, up to its row key
	head      []byte              // an entity, up to its row key
	rows      map[string]struct{} // already in it
	body      []byte
	hole      int    // where in body a version is missing; 0 if none is
	raw       []byte // the value that is being written
	block     []byte // and compressed
	n         int    // operations
	err       error
}

var batches = sync.Pool{New: func() any { return &batch{rows: make(map[string]struct{}, maxOperations)} }}

// newBatch begins a transaction in one partition of the table at url.
func newBatch(url, part string) *batch {
	b := batches.Get().(*batch)
	clear(b.rows)
	b.url, b.part, b.raw, b.n, b.hole, b.err = url, part, b.raw[:0], 0, 0, nil
	b.keyed = append(appendKey(append(append(b.keyed[:0], url...), "(PartitionKey='"...), part), "',RowKey='"...)
	b.head = append(appendQuoted(append(b.head[:0], `{"PartitionKey":`...), part), `,"RowKey":`...)
	b.body = append(b.body[:0], opening...)
	return b
}

func (b *batch) free() { batches.Put(b) }

func (b *batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// operation begins an operation on a row, which must be the only one on it,
// and reports whether to go on.
func (b *batch) operation(rk string) bool {
	if b.err != nil {
		return false
	}
	if _, twice := b.rows[rk]; twice {
		b.fail(fault.New(fault.Invalid, "two writes of one row of kind %s in one transaction", kindOf(rk)).WithCode("duplicate_row"))
		return false
	}
	b.rows[rk] = struct{}{}
	if b.n++; b.n > maxOperations {
		return false // and is only counted
	}
	if b.n > 1 {
		b.body = append(b.body, "\r\n"...)
	}
	b.body = append(b.body, boundary...)
	return true
}

// add writes a row that must not be there.
func (b *batch) add(r row) {
	if !b.operation(r.rk) {
		return
	}
	b.body = append(append(append(b.body, "POST "...), b.url...), minimal...)
	b.entity(r, "Prefer: return-no-content\r\n")
}

// replace writes a row under its version; an empty etag means whatever is
// there, or nothing.
func (b *batch) replace(r row) {
	if !b.operation(r.rk) {
		return
	}
	match := ""
	if r.etag != "" {
		match = ifMatch + r.etag + "\r\n"
	}
	b.put(r, match)
}

// swap writes the one row whose version is known only when the batch is sent.
func (b *batch) swap(r row) {
	if !b.operation(r.rk) {
		return
	}
	from := len(b.body)
	b.put(r, ifMatch+"\r\n")
	if at := bytes.Index(b.body[from:], []byte(ifMatch)); at >= 0 { // else the row was refused
		b.hole = from + at + len(ifMatch)
	}
}

const ifMatch = "If-Match: "

func (b *batch) put(r row, match string) {
	b.body = append(appendKey(append(append(b.body, "PUT "...), b.keyed...), r.rk), "')"...)
	b.body = append(b.body, replaced...)
	b.entity(r, match)
}

// remove deletes a row, which must be there.
func (b *batch) remove(rk string) {
	if !b.operation(rk) {
		return
	}
	b.body = append(appendKey(append(append(b.body, "DELETE "...), b.keyed...), rk), "')"...)
	b.body = append(append(append(b.body, minimal...), dataVersion...), "If-Match: *\r\n\r\n"...)
}

// entity ends an operation with the row and the last of its headers.
func (b *batch) entity(r row, header string) {
	if len(r.data) > maxPacked {
		b.fail(r.tooLarge(b.part))
		return
	}
	from := len(b.head)
	b.head = appendQuoted(b.head, r.rk)
	b.body = append(b.body, "Content-Length: "...)
	b.body = strconv.AppendInt(b.body, int64(len(b.head)+r.tailSize()), 10)
	b.body = append(append(b.body, "\r\nContent-Type: application/json\r\n"+dataVersion...), header...)
	b.body = append(append(b.body, "\r\n"...), b.head...)
	b.body = r.appendTail(b.body)
	b.head = b.head[:from]
	if len(b.body)+len(closing) > maxBody {
		b.fail(fault.New(fault.Invalid, "transaction of more than %d bytes", maxBody))
	}
}

// end completes the body and says whether it can be sent.
func (b *batch) end() error {
	if b.err == nil && b.n > maxOperations {
		b.fail(fault.New(fault.Invalid, "transaction of %d operations, at most %d", b.n, maxOperations))
	}
	b.body = append(b.body, closing...)
	return b.err
}

// placeholder stands for the operations, until the policy puts them in: a
// deletion of what is not there.
var placeholder = []aztables.TransactionAction{{
	ActionType: aztables.TransactionTypeDelete, Entity: []byte(`{"PartitionKey":"~","RowKey":"~"}`),
}}

// submit sends a batch that has ended, with the version that is missing in it,
// if one is, and returns the new version of its first row, if it wrote it. A
// refusal is a *refusal.
func (t *table) submit(ctx context.Context, b *batch, version string) (etag string, err error) {
	x := newExchange(noFailure)
	defer x.free()
	x.send = &outgoing{parts: [][]byte{b.body}}
	if b.hole > 0 {
		x.send.parts = [][]byte{b.body[:b.hole], []byte(version), b.body[b.hole:]}
	}
	defer x.send.Close()
	if _, err := t.SubmitTransaction(x.in(ctx), placeholder, nil); err != nil {
		return "", err
	}
	return outcome(x.answer, x.contentType, b.n)
}

// keyByte tells the bytes that stand for themselves in a key of an address, as
// in [net/url.PathEscape].
var keyByte = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~$&+:=@", byte(c)) >= 0
	}
	return t
}()

// appendKey appends a key as it stands in an address: a quote is doubled.
func appendKey(b []byte, key string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(key) {
		switch c := key[i]; {
		case keyByte[c]:
			b = append(b, c)
		case c == '\'':
			b = append(b, "%27%27"...)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// appendQuoted appends a string of JSON.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, _ := json.Marshal(s) // a string: cannot fail
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// chunkNames begin the properties that hold a row's value.
var chunkNames = func() (names [maxPacked/maxChunk + 1]string) {
	for i := range names {
		n := strconv.Itoa(i)
		names[i] = `,"D` + n + `@odata.type":"Edm.Binary","D` + n + `":"`
	}
	return names
}()

// versions are the property of a row's layout, by version.
var versions = [...]string{plainVersion: `,"V":1`, packedVersion: `,"V":2`}

func (r row) version() string {
	if r.packed {
		return versions[packedVersion]
	}
	return versions[plainVersion]
}

// tailSize is how long an entity is behind its keys.
func (r row) tailSize() int {
	n := len(r.version()) + len(`}`)
	if r.gone {
		n += len(`,"T":true`)
	}
	for i, rest := 0, len(r.data); rest > 0; i, rest = i+1, rest-maxChunk {
		n += len(chunkNames[i]) + base64.StdEncoding.EncodedLen(min(rest, maxChunk)) + 1
	}
	return n
}

// appendTail appends an entity from behind its keys.
func (r row) appendTail(b []byte) []byte {
	b = append(slices.Grow(b, r.tailSize()), r.version()...)
	if r.gone {
		b = append(b, `,"T":true`...)
	}
	for name, v := range r.cols {
		b = appendQuoted(append(append(append(b, `,"`...), name...), `":`...), v)
	}
	i := 0
	for rest := r.data; len(rest) > 0; i++ {
		n := min(len(rest), maxChunk)
		b = append(b, chunkNames[i]...)
		b = appendBase64(b, rest[:n])
		b = append(b, '"')
		rest = rest[n:]
	}
	return append(b, '}')
}
