package tablestore

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// maxOperations is the most operations in a transaction. "Performing entity
// group transactions" (documented).
const maxOperations = 100

// subrequest is one operation's request inside a transaction.
type subrequest struct {
	method string
	path   string // decoded
	body   []byte
}

// parseTransaction understands a batch request and holds it against the rules
// of entity group transactions.
func parseTransaction(contentType string, body []byte) (*request, *storageError) {
	subs, err := subrequests(contentType, body)
	if err != nil || len(subs) == 0 {
		return nil, bad("InvalidInput", "An error occurred while processing this request.")
	}
	if len(subs) == 1 && subs[0].method == http.MethodGet {
		res, err := parseResource(subs[0].path) // the one query that a batch may hold
		return &request{table: res.table}, err
	}
	if len(subs) > maxOperations {
		return nil, bad("InvalidInput", "The batch request operation exceeds the maximum 100 changes per change set.").at(maxOperations - 1)
	}
	q := &request{kind: transaction}
	rows := make(map[string]bool, len(subs))
	for i, sub := range subs {
		res, err := parseResource(sub.path)
		if err != nil {
			return nil, err.at(i)
		}
		op, err := checkOperation(sub.method, res, sub.body)
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

// subrequests takes the requests out of a multipart batch: inside a change
// set, or a lone query beside none.
func subrequests(contentType string, body []byte) ([]subrequest, error) {
	var subs []subrequest
	err := parts(contentType, body, func(contentType string, part []byte) error {
		if strings.HasPrefix(contentType, "multipart/") {
			return parts(contentType, part, func(_ string, p []byte) error {
				sub, err := parseSubrequest(p)
				subs = append(subs, sub)
				return err
			})
		}
		sub, err := parseSubrequest(part)
		subs = append(subs, sub)
		return err
	})
	return subs, err
}

func parts(contentType string, body []byte, each func(contentType string, part []byte) error) error {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return err
		}
		if err := each(p.Header.Get("Content-Type"), b); err != nil {
			return err
		}
	}
}

func parseSubrequest(part []byte) (subrequest, error) {
	r := bufio.NewReader(bytes.NewReader(part))
	req, err := http.ReadRequest(r)
	if err != nil {
		return subrequest{}, err
	}
	// What follows the headers is the body; a Content-Length is optional here.
	_, body, ok := bytes.Cut(part, []byte("\r\n\r\n"))
	if !ok {
		_, body, _ = bytes.Cut(part, []byte("\n\n"))
	}
	return subrequest{req.Method, req.URL.Path, bytes.TrimSpace(body)}, nil
}
