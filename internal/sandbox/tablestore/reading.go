package tablestore

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/sandbox/tablestore/memory"
)

// Pages are the limits of one answer to a query; 0 is the default. The service
// stops after 1,000 entities, at a size, after five seconds, and where it
// pleases. Azure Tables, "Query timeout and pagination" (documented).
type Pages struct {
	Rows    int // 1,000
	Bytes   int // of keys and properties: 4 MiB
	Scanned int // entities looked at, which stand for the five seconds: 100,000
}

func (p Pages) withDefaults() Pages {
	for _, d := range []struct {
		field *int
		value int
	}{{&p.Rows, maxTop}, {&p.Bytes, 4 << 20}, {&p.Scanned, 100_000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return p
}

// format is how much metadata an answer has.
type format string

const (
	none    format = "nometadata"
	minimal format = "minimalmetadata"
	full    format = "fullmetadata"
)

// formatOf reads what a client accepts. Of the formats only JSON is left
// ("Payload format for Table service operations" (documented)).
func formatOf(r *http.Request) (format, *storageError) {
	accept := r.Header.Get("Accept")
	if strings.Contains(r.URL.RawQuery, "format=") {
		if f := r.URL.Query().Get("$format"); f != "" {
			accept = f
		}
	}
	kind, rest, _ := strings.Cut(strings.ReplaceAll(accept, " ", ""), ";odata=")
	rest, _, _ = strings.Cut(rest, ";")
	switch f := format(rest); {
	case kind != "application/json":
	case f == none, f == minimal, f == full:
		return f, nil
	case f == "":
		return minimal, nil
	}
	return "", &storageError{http.StatusUnsupportedMediaType, "AtomFormatNotSupported", "Atom format is not supported.", false}
}

func (f format) answer(status int, h http.Header, body []byte) *answer {
	h.Set("Content-Type", "application/json;odata="+string(f)+";streaming=true;charset=utf-8")
	return &answer{status, h, body}
}

// linkTo is the account's address as the client knows it.
func linkTo(r *http.Request) string {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	return "https://" + host + "/" + account + "/"
}

// comma separates members.
func comma(b []byte) []byte {
	if last := b[len(b)-1]; last != '{' && last != '[' {
		b = append(b, ',')
	}
	return b
}

func member(b []byte, name, value string) []byte {
	b = append(append(append(comma(b), '"'), name...), `":`...)
	for i := range len(value) {
		if c := value[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(value) // a string
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), value...), '"')
}

func (f format) metadata(b []byte, link, of string) []byte {
	if f == none {
		return b
	}
	return member(b, "odata.metadata", link+"$metadata#"+of)
}

// table writes the members of a table.
func (f format) table(b []byte, c call, name string) []byte {
	if f == full {
		b = member(b, "odata.type", account+".Tables")
		b = member(b, "odata.id", linkTo(c.Request)+"Tables('"+name+"')")
		b = member(b, "odata.editLink", "Tables('"+name+"')")
	}
	return member(b, "TableName", name)
}

// entity writes the members of an entity: all, or those named.
func (f format) entity(b []byte, link, table string, e *memory.Found, names []string) []byte {
	if f == full {
		of := table + "(PartitionKey='" + url.PathEscape(strings.ReplaceAll(e.Partition, "'", "''")) +
			"',RowKey='" + url.PathEscape(strings.ReplaceAll(e.Place.Row, "'", "''")) + "')"
		b = member(b, "odata.type", account+"."+table)
		b = member(b, "odata.id", link+of)
		b = member(b, "odata.editLink", of)
	}
	var at [32]byte
	stamp := appendTime(at[:0], e.Tick)
	if f != none {
		b = append(comma(b), `"odata.etag":"W/\"datetime'`...)
		b = append(append(b, stamp[:13]...), "%3A"...) // the hour
		b = append(append(b, stamp[14:16]...), "%3A"...)
		b = append(append(b, stamp[17:]...), `'\""`...)
	}
	if names == nil || slices.Contains(names, "PartitionKey") {
		b = member(b, "PartitionKey", e.Partition)
	}
	if names == nil || slices.Contains(names, "RowKey") {
		b = member(b, "RowKey", e.Place.Row)
	}
	if names == nil || slices.Contains(names, "Timestamp") {
		if f == full {
			b = member(b, "Timestamp@odata.type", "Edm.DateTime")
		}
		b = append(append(append(comma(b), `"Timestamp":"`...), stamp...), '"')
	}
	if properties := e.Select(names, f != none); properties != "" {
		b = append(comma(b), properties...)
	}
	return b
}

// inserted is the answer's body to an insert.
func (f format) inserted(c call, op *operation, properties string, tick memory.Tick) []byte {
	e := &memory.Found{Place: memory.Place{Partition: op.partition, Row: op.row}, Row: memory.Row{Properties: properties, Tick: tick}}
	return f.one(c, op.table, e, nil)
}

func (f format) one(c call, table string, e *memory.Found, names []string) []byte {
	link := linkTo(c.Request)
	b := f.metadata(append(make([]byte, 0, len(e.Properties)+512), '{'), link, table+"/@Element")
	return append(f.entity(b, link, table, e, names), '}')
}

func (m *inMemory) entity(c call) (*answer, *storageError) {
	f, refused := formatOf(c.Request)
	if refused != nil {
		return nil, refused
	}
	res := c.q.res
	row, err := m.tables.Get(res.table, res.partition, res.row)
	if err != nil {
		return nil, storeError(err)
	}
	h := headers()
	h["Etag"] = []string{etag(row.Tick)}
	e := &memory.Found{Place: memory.Place{Partition: res.partition, Row: res.row}, Row: row}
	return f.answer(http.StatusOK, h, f.one(c, res.table, e, selected(c.URL.Query()))), nil
}

// batchRead answers a batch that is one read of an entity.
func (m *inMemory) batchRead(c call) (*answer, *storageError) {
	if !c.q.res.keyed {
		return nil, bad("InvalidInput", "An error occurred while processing this request.").at(0)
	}
	row, err := m.tables.Get(c.q.res.table, c.q.res.partition, c.q.res.row)
	if err != nil {
		return nil, storeError(err).at(0)
	}
	e := &memory.Found{Place: memory.Place{Partition: c.q.res.partition, Row: c.q.res.row}, Row: row}
	part := "HTTP/1.1 200 OK\r\n" + partCommon + "Content-Type: " + jsonType + "\r\nETag: " + etag(row.Tick) + "\r\n\r\n"
	return changeSet(headers(), [][]byte{append([]byte(part), minimal.one(c, c.q.res.table, e, nil)...)}), nil
}

// selected are the names of $select; nil is all.
func selected(v url.Values) (names []string) {
	for _, n := range strings.Split(v.Get("$select"), ",") {
		if n = strings.TrimSpace(n); n != "" && n != "*" {
			names = append(names, n)
		}
	}
	return names
}

// query answers one page.
func (m *inMemory) query(c call) (*answer, *storageError) {
	f, refused := formatOf(c.Request)
	if refused != nil {
		return nil, refused
	}
	_, raw, _ := strings.Cut(c.target, "?")
	v, err := url.ParseQuery(raw)
	filter, bad1 := memory.ParseFilter(v.Get("$filter"))
	top, bad2 := topOf(v)
	from, bad3 := place(v)
	if err != nil || bad1 != nil || bad2 != nil || bad3 != nil {
		return nil, bad("InvalidInput", "One of the request inputs is not valid.")
	}
	names := selected(v)
	var rows []memory.Found
	var next *memory.Place
	if top > 0 {
		if rows, next, err = m.tables.Find(c.q.table, memory.Query{
			Filter: filter, Select: names, From: from, Rows: min(top, m.pages.Rows), Bytes: m.pages.Bytes, Scanned: m.pages.Scanned,
		}); err != nil {
			return nil, storeError(err)
		}
	}
	size := 256
	for i := range rows {
		size += len(rows[i].Partition) + len(rows[i].Place.Row) + len(rows[i].Properties) + 256
	}
	h, link := headers(), linkTo(c.Request)
	b := f.metadata(append(make([]byte, 0, size), '{'), link, c.q.table)
	b = append(comma(b), `"value":[`...)
	for i := range rows {
		b = append(f.entity(append(comma(b), '{'), link, c.q.table, &rows[i], names), '}')
	}
	if next != nil {
		h["X-Ms-Continuation-Nextpartitionkey"] = []string{tokenOf(next.Partition)}
		h["X-Ms-Continuation-Nextrowkey"] = []string{tokenOf(next.Row)}
	}
	return f.answer(http.StatusOK, h, append(b, "]}"...)), nil
}

func topOf(v url.Values) (int, error) {
	if s := v.Get("$top"); s != "" {
		return strconv.Atoi(s)
	}
	return maxTop, nil
}

// tokenOf hides a key in a continuation token, since headers hold ASCII only.
func tokenOf(key string) string { return "1!" + base64.RawURLEncoding.EncodeToString([]byte(key)) }

func place(v url.Values) (*memory.Place, error) {
	if !v.Has("NextPartitionKey") {
		return nil, nil
	}
	p, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(v.Get("NextPartitionKey"), "1!"))
	if err != nil {
		return nil, err
	}
	r, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(v.Get("NextRowKey"), "1!"))
	return &memory.Place{Partition: string(p), Row: string(r)}, err
}

// list answers a page of tables, or one table.
func (m *inMemory) list(c call) (*answer, *storageError) {
	f, refused := formatOf(c.Request)
	if refused != nil {
		return nil, refused
	}
	h, link, v := headers(), linkTo(c.Request), c.URL.Query()
	if c.q.kind == readTable {
		names, _ := m.tables.Tables(c.q.table, 1, nil)
		if len(names) == 0 || !strings.EqualFold(names[0], c.q.table) {
			return nil, notFound
		}
		b := f.metadata([]byte("{"), link, "Tables/@Element")
		return f.answer(http.StatusOK, h, append(f.table(b, c, names[0]), '}')), nil
	}
	filter, err := memory.ParseFilter(v.Get("$filter"))
	top, wrong := topOf(v)
	if err != nil || wrong != nil {
		return nil, bad("InvalidInput", "One of the request inputs is not valid.")
	}
	names, next := m.tables.Tables(v.Get("NextTableName"), min(top, m.pages.Rows), filter)
	b := append(comma(f.metadata([]byte("{"), link, "Tables")), `"value":[`...)
	for _, name := range names {
		b = append(f.table(append(comma(b), '{'), c, name), '}')
	}
	if next != "" {
		h["X-Ms-Continuation-Nexttablename"] = []string{next}
	}
	return f.answer(http.StatusOK, h, append(b, "]}"...)), nil
}
