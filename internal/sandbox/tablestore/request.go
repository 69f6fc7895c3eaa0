package tablestore

import (
	"net/http"
	"net/url"
	"strings"
)

// kind is what a request does.
type kind int

const (
	otherRead kind = iota // service properties, access policies
	readEntity
	readTable
	listTables
	queryEntities
	batchRead // the one read of an entity that a batch may hold
	otherWrite
	createTable
	deleteTable
	writeEntity
	transaction
)

// request is one request, understood and found within the service's limits.
type request struct {
	kind  kind
	table string
	res   resource    // what it reads
	ops   []operation // what it does to entities
}

func (q *request) write() bool { return q.kind >= otherWrite }

// operation is one write of one entity, alone or within a transaction.
type operation struct {
	table       string
	partition   string
	row         string
	method      string
	conditional bool   // there is an If-Match
	match       string // and this is it
	quiet       bool   // an insert whose client does not want the entity back
	props       []property
}

// resource is the addressed thing: /account/table(PartitionKey='…',RowKey='…').
type resource struct {
	table          string
	partition, row string
	keyed          bool
}

// parseResource reads the decoded path of a request.
func parseResource(path string) (resource, *storageError) {
	path = strings.TrimPrefix(path, "/"+account)
	path = strings.TrimPrefix(path, "/")
	table, rest, ok := strings.Cut(path, "(")
	r := resource{table: table}
	if !ok || rest == ")" {
		return r, nil
	}
	r.keyed = true
	if table == "Tables" {
		r.table, rest, ok = quoted(rest)
	} else {
		if rest, ok = strings.CutPrefix(rest, "PartitionKey="); ok {
			r.partition, rest, ok = quoted(rest)
		}
		if ok {
			rest, ok = strings.CutPrefix(rest, ",RowKey=")
		}
		if ok {
			r.row, rest, ok = quoted(rest)
		}
	}
	if !ok || rest != ")" {
		return r, bad("InvalidInput", "Bad Request - Error in query syntax.")
	}
	return r, nil
}

// quoted reads an OData string literal, in which a quote is doubled, and
// returns what follows it.
func quoted(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		return "", s, false
	}
	if end := strings.IndexByte(s[1:], '\'') + 1; end > 0 && !strings.HasPrefix(s[end+1:], "'") {
		return s[1:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", s, false
}

// parseRequest understands a request, or says how the service would refuse it.
func parseRequest(r *http.Request, body string) (*request, *storageError) {
	method := r.Method
	if m := r.Header.Get("X-HTTP-Method"); m != "" && method == http.MethodPost {
		method = m
	}
	if !strings.HasPrefix(r.URL.Path, "/"+account) {
		return nil, &storageError{http.StatusNotFound, "ResourceNotFound", "The specified resource does not exist.", false}
	}
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/"+account), "/")
	if path == "$batch" && method == http.MethodPost {
		return parseTransaction(r.Header.Get("Content-Type"), body)
	}
	res, refused := parseResource(r.URL.Path)
	if refused != nil {
		return nil, refused
	}
	switch {
	case path == "Tables" && method == http.MethodPost:
		name := tableName(body)
		return &request{kind: createTable, table: name}, checkTableName(name)
	case strings.HasPrefix(path, "Tables(") && method == http.MethodDelete:
		return &request{kind: deleteTable, table: res.table}, nil
	}
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	switch method {
	case http.MethodGet, http.MethodHead:
		q := &request{table: res.table, res: res}
		switch {
		case path == "" || query.Has("comp") || query.Has("restype"):
		case path == "Tables" || path == "Tables()":
			q.kind = listTables
		case strings.HasPrefix(path, "Tables("):
			q.kind = readTable
		case res.keyed:
			q.kind = readEntity
		default:
			q.kind = queryEntities
		}
		return q, checkQuery(query)
	case http.MethodPost, http.MethodPut, http.MethodPatch, "MERGE", http.MethodDelete:
		if query.Has("comp") || query.Has("restype") { // account properties and access policies: no entity
			return &request{kind: otherWrite, table: res.table}, nil
		}
		op, err := checkOperation(method, res, func(name string) (string, bool) {
			v := r.Header.Values(name)
			return strings.Join(v, ","), len(v) > 0
		}, body)
		if err != nil {
			return nil, err
		}
		return &request{kind: writeEntity, table: op.table, ops: []operation{op}}, nil
	default:
		return &request{kind: otherWrite, table: res.table}, nil
	}
}

// checkTableName holds the name of a table to be made against the rules: 3 to
// 63 letters and digits, a letter first (documented, data model). The code is
// the common one of resource names (inferred).
func checkTableName(name string) *storageError {
	if len(name) < 3 || len(name) > 63 {
		return bad("OutOfRangeInput", "The specified resource name length is not within the permissible limits.")
	}
	for i, c := range []byte(name) {
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z'; !letter && (i == 0 || c < '0' || c > '9') {
			return bad("InvalidResourceName", "The specified resource name contains invalid characters.")
		}
	}
	if strings.EqualFold(name, "tables") { // reserved
		return bad("InvalidResourceName", "The specified resource name contains invalid characters.")
	}
	return nil
}

// emptyMark starts a continuation token that the proxy made up; what follows
// it is the store's own token, or nothing for the first page.
const emptyMark = "sandbox-empty-page!"

// continuation returns an empty page to answer with, or else the request URI
// to forward. It keeps no state: the real token travels within the made-up one.
func continuation(u *url.URL, empty bool) (page *answer, target string) {
	v := u.Query()
	pk, rk := v.Get("NextPartitionKey"), v.Get("NextRowKey")
	orig, marked := strings.CutPrefix(pk, emptyMark)
	switch {
	case marked:
		v.Del("NextPartitionKey")
		if orig != "" {
			v.Set("NextPartitionKey", orig)
		}
		if rk == emptyMark {
			v.Del("NextRowKey")
		}
		out := *u
		out.RawQuery = strings.ReplaceAll(v.Encode(), "+", "%20")
		return nil, out.RequestURI()
	case !empty:
		return nil, u.RequestURI()
	}
	if rk == "" {
		rk = emptyMark // the service sends both or neither
	}
	return &answer{http.StatusOK, http.Header{
		"Content-Type":                       {"application/json;odata=minimalmetadata;streaming=true;charset=utf-8"},
		"X-Ms-Continuation-Nextpartitionkey": {emptyMark + pk},
		"X-Ms-Continuation-Nextrowkey":       {rk},
	}, []byte(`{"odata.metadata":"$metadata#entities","value":[]}`)}, ""
}
