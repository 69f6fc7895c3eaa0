package tablestore

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxOperations is the most operations in a transaction. "Performing entity
// group transactions" (documented).
const maxOperations = 100

// subrequest is one operation's request inside a transaction.
type subrequest struct {
	method string
	path   string // decoded
	head   string // its headers
	body   string
}

func (s *subrequest) header(name string) (string, bool) { return field(s.head, name) }

// parseTransaction understands a batch request and holds it against the rules
// of entity group transactions.
func parseTransaction(contentType string, body string) (*request, *storageError) {
	subs, err := subrequests(contentType, body)
	if err != nil || len(subs) == 0 {
		return nil, bad("InvalidInput", "An error occurred while processing this request.")
	}
	if len(subs) == 1 && subs[0].method == http.MethodGet {
		res, err := parseResource(subs[0].path) // the one query that a batch may hold
		return &request{kind: batchRead, table: res.table, res: res}, err
	}
	if len(subs) > maxOperations {
		return nil, bad("InvalidInput", "The batch request operation exceeds the maximum 100 changes per change set.").at(maxOperations - 1)
	}
	q := &request{kind: transaction, ops: make([]operation, 0, len(subs))}
	rows := make(map[string]bool, len(subs))
	for i := range subs {
		sub := &subs[i]
		res, err := parseResource(sub.path)
		if err != nil {
			return nil, err.at(i)
		}
		op, err := checkOperation(sub.method, res, sub.header, sub.body)
		if err != nil {
			return nil, err.at(i)
		}
		if i == 0 {
			q.table = op.table
		}
		// Another partition: (documented). Another table gets the same answer: (inferred).
		if i > 0 && (op.partition != q.ops[0].partition || !strings.EqualFold(op.table, q.table)) {
			return nil, bad("CommandsInBatchActOnDifferentPartitions", "All commands in a batch must operate on same entity group.").at(i)
		}
		if rows[op.row] {
			return nil, bad("InvalidDuplicateRow", "A command with RowKey '%s' is already present in the batch. An entity can appear only once in a batch.", op.row).at(i)
		}
		rows[op.row] = true
		q.ops = append(q.ops, op)
	}
	return q, nil
}

// errBatch is a batch that is not in the form of one.
var errBatch = errors.New("malformed batch")

// subrequests takes the requests out of a multipart batch: inside a change
// set, or a lone query beside none.
func subrequests(contentType string, body string) ([]subrequest, error) {
	subs := make([]subrequest, 0, maxOperations+1)
	one := func(part string) error {
		sub, err := parseSubrequest(part)
		subs = append(subs, sub)
		return err
	}
	err := parts(contentType, body, func(contentType, part string) error {
		if strings.HasPrefix(contentType, "multipart/") {
			return parts(contentType, part, func(_, part string) error { return one(part) })
		}
		return one(part)
	})
	return subs, err
}

// parts takes a multipart body apart (RFC 2046, 5.1.1). A transaction has a
// hundred parts with two headers each, and mime/multipart takes longer to read
// them than everything else here together.
func parts(contentType, body string, each func(contentType, part string) error) error {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return errBatch
	}
	dash := "--" + params["boundary"]
	_, rest, ok := delimiter(body, dash)
	for ok && !strings.HasPrefix(rest, "--") {
		var part string
		if part, rest, ok = delimiter(rest[eol(rest):], dash); !ok {
			break
		}
		head, content := message(part)
		contentType, _ := field(head, "Content-Type")
		if err := each(contentType, content); err != nil {
			return err
		}
	}
	if !ok {
		return errBatch
	}
	return nil
}

// delimiter cuts s around the next line that begins with dash and goes on with
// "--" or ends there. The line break before it belongs to it.
func delimiter(s, dash string) (before, after string, ok bool) {
	for from := 0; ; {
		n := strings.Index(s[from:], dash)
		if n < 0 {
			return "", "", false
		}
		at := from + n
		from = at + len(dash)
		after = s[from:]
		if (at == 0 || s[at-1] == '\n') && (strings.HasPrefix(after, "--") || eol(after) > 0) {
			return strings.TrimSuffix(strings.TrimSuffix(s[:at], "\n"), "\r"), after, true
		}
	}
}

// eol is the length of the line break that s begins with, 0 if it does not.
func eol(s string) int {
	switch {
	case strings.HasPrefix(s, "\r\n"):
		return 2
	case strings.HasPrefix(s, "\n"):
		return 1
	}
	return 0
}

// message cuts headers from the body, which begins after an empty line, if there is one.
func message(s string) (head, body string) {
	if n := eol(s); n > 0 {
		return "", s[n:]
	}
	head, body, ok := strings.Cut(s, "\r\n\r\n")
	if !ok {
		head, body, _ = strings.Cut(s, "\n\n")
	}
	return head, body
}

// field finds a header.
func field(head, name string) (string, bool) {
	for head != "" {
		var line string
		line, head, _ = strings.Cut(head, "\n")
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(line[:len(name)], name) {
			return strings.TrimSpace(line[len(name)+1:]), true
		}
	}
	return "", false
}

// parseSubrequest reads a request line, headers and a body; a Content-Length
// is optional here.
func parseSubrequest(part string) (sub subrequest, err error) {
	head, body := message(part)
	line, head, _ := strings.Cut(head, "\n")
	method, rest, _ := strings.Cut(line, " ")
	target, proto, _ := strings.Cut(rest, " ")
	if method == "" || !strings.HasPrefix(proto, "HTTP/1.") {
		return sub, errBatch
	}
	if _, after, ok := strings.Cut(target, "://"); ok {
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			return sub, errBatch
		}
		target = after[slash:]
	}
	target, _, _ = strings.Cut(target, "?")
	path, err := url.PathUnescape(target)
	if err != nil || !strings.HasPrefix(path, "/") {
		return sub, errBatch
	}
	return subrequest{method, path, head, strings.TrimSpace(body)}, nil
}
