package tablestore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

func properties(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprintf("p%d", i)] = i
	}
	return m
}

// big fills k properties with n characters each.
func big(k, n int) map[string]any {
	m := map[string]any{}
	for i := range k {
		m[fmt.Sprintf("p%d", i)] = strings.Repeat("x", n)
	}
	return m
}

func binary(n int) map[string]any {
	return map[string]any{"b": base64.StdEncoding.EncodeToString(make([]byte, n)), "b@odata.type": "Edm.Binary"}
}

// refusals are entities and how the documented service answers them; "" is accepted.
var refusals = []struct {
	what, pk, rk string
	props        map[string]any
	code         string
}{
	{"plain", "p", "r", map[string]any{"A": 1}, ""},
	{"252 properties", "p", "r", properties(252), ""},
	{"253 properties", "p", "r", properties(253), "TooManyProperties"},
	{"timestamp and nulls are no properties", "p", "r", func() map[string]any {
		m := properties(252)
		m["Timestamp"], m["nil"] = "2026-01-01T00:00:00Z", nil
		return m
	}(), ""},
	{"dash in name", "p", "r", map[string]any{"a-b": 1}, "PropertyNameInvalid"},
	{"digit first", "p", "r", map[string]any{"1a": 1}, "PropertyNameInvalid"},
	{"space", "p", "r", map[string]any{"a b": 1}, "PropertyNameInvalid"},
	{"empty name", "p", "r", map[string]any{"": 1}, "PropertyNameInvalid"},
	{"unicode name", "p", "r", map[string]any{"größe_2": 1}, ""},
	{"name of 255", "p", "r", map[string]any{name(255): 1}, ""},
	{"name of 256", "p", "r", map[string]any{name(256): 1}, "PropertyNameTooLong"},
	{"string of 32K characters", "p", "r", big(1, 32<<10), ""},
	{"string of 32K+1", "p", "r", big(1, 32<<10+1), "PropertyValueTooLarge"},
	{"16K+1 pairs are over 32K units", "p", "r", map[string]any{"s": strings.Repeat("😀", 16<<10+1)}, "PropertyValueTooLarge"},
	{"binary of 64 KiB", "p", "r", binary(64 << 10), ""},
	{"binary of 64 KiB + 1", "p", "r", binary(64<<10 + 1), "PropertyValueTooLarge"},
	// 16 × (8 + 2×len(name) + 4 + 64 KiB) is just over 1 MiB, 15 is under.
	{"entity under 1 MiB", "p", "r", big(15, 32<<10), ""},
	{"entity over 1 MiB", "p", "r", big(16, 32<<10), "EntityTooLarge"},
	{"slash in row key", "p", "a/b", nil, "OutOfRangeInput"},
	{"backslash", "p", `a\b`, nil, "OutOfRangeInput"},
	{"hash in partition key", "a#b", "r", nil, "OutOfRangeInput"},
	{"question mark", "p", "a?b", nil, "OutOfRangeInput"},
	{"tab", "p", "a\tb", nil, "OutOfRangeInput"},
	{"DEL", "p", "a\u007fb", nil, "OutOfRangeInput"},
	{"C1 control", "p", "a\u0085b", nil, "OutOfRangeInput"},
	{"percent and bang are fine", "p~x", "u!a%b", nil, ""},
	{"key of 1 KiB", "p", name(512), nil, ""},
	{"key over 1 KiB", "p", name(513), nil, "KeyValueTooLarge"},
	{"date before 1601", "p", "r", map[string]any{"d": "0001-01-01T00:00:00Z", "d@odata.type": "Edm.DateTime"}, "OutOfRangeInput"},
	{"bad int64", "p", "r", map[string]any{"i": "1x", "i@odata.type": "Edm.Int64"}, "InvalidInput"},
}

func testEntityLimits(t *testing.T) {
	s, c := table(t)
	tbl := lastTable()
	for _, tt := range refusals {
		t.Run(tt.what, func(t *testing.T) {
			ctx, e := t.Context(), entity(t, tt.pk, tt.rk, tt.props)
			_, add := c.AddEntity(ctx, e, nil)
			_, put := c.UpsertEntity(ctx, e, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace})
			_, patch := c.UpsertEntity(ctx, e, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeMerge})
			for what, err := range map[string]error{"add": add, "put": put, "patch": patch} {
				checkCode(t, what, err, tt.code)
			}
			_, err := c.SubmitTransaction(ctx, []aztables.TransactionAction{
				{ActionType: aztables.TransactionTypeInsertMerge, Entity: entity(t, tt.pk, "other", nil)},
				{ActionType: aztables.TransactionTypeInsertReplace, Entity: e},
			}, nil)
			index := 1
			if tt.pk != "p" { // both operations have the refused partition key
				index = 0
			}
			checkInner(t, err, tt.code, index)
			if tt.code != "" {
				if rows := listed(t, s, tbl); len(rows) != 0 {
					t.Errorf("refused, and yet stored: %q", rows)
				}
				return
			}
			for _, rk := range []string{tt.rk, "other"} {
				if _, err := c.DeleteEntity(ctx, tt.pk, rk, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// checkCode expects a refusal with 400 and the code, or success for "".
func checkCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var re *azcore.ResponseError
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case code != "" && (!errors.As(err, &re) || re.ErrorCode != code || re.StatusCode != http.StatusBadRequest):
		t.Errorf("%s: got %.300v, want 400 %s", what, err, code)
	}
}

// checkInner expects a failed transaction, which the SDK shows as a response
// error of status 202 whose body names operation and code.
func checkInner(t *testing.T, err error, code string, index int) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("transaction: %v", err)
		}
		return
	}
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.StatusCode != http.StatusAccepted {
		t.Errorf("transaction: got %.300v, want 202 with %s inside", err, code)
		return
	}
	body, _ := io.ReadAll(re.RawResponse.Body)
	if !strings.Contains(string(body), "HTTP/1.1 400 Bad Request") ||
		!strings.Contains(string(body), `"code":"`+code+`"`) ||
		!strings.Contains(string(body), fmt.Sprintf(`"value":"%d:`, index)) {
		t.Errorf("transaction: want %d:%s in %s", index, code, body)
	}
}

func testTransactionRules(t *testing.T) {
	s, c := table(t)
	tbl := lastTable()
	many := func(n int) (as []aztables.TransactionAction) {
		for i := range n {
			as = append(as, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: entity(t, "p", fmt.Sprint("r", i), nil)})
		}
		return as
	}
	two := func(pk, rk string) []aztables.TransactionAction {
		return append(many(1), aztables.TransactionAction{ActionType: aztables.TransactionTypeInsertMerge, Entity: entity(t, pk, rk, nil)})
	}
	for _, tt := range []struct {
		what    string
		actions []aztables.TransactionAction
		code    string
		index   int
	}{
		{"two partitions", two("q", "r1"), "CommandsInBatchActOnDifferentPartitions", 1},
		{"a row twice", two("p", "r0"), "InvalidDuplicateRow", 1},
		{"101 operations", many(101), "InvalidInput", 99},
	} {
		_, err := c.SubmitTransaction(t.Context(), tt.actions, nil)
		t.Log(tt.what)
		checkInner(t, err, tt.code, tt.index)
	}
	if rows := listed(t, s, tbl); len(rows) != 0 {
		t.Fatalf("refused, and yet stored: %q", rows)
	}
	if _, err := c.SubmitTransaction(t.Context(), many(100), nil); err != nil {
		t.Fatal(err)
	}
	if rows := listed(t, s, tbl); len(rows) != 100 {
		t.Errorf("%d rows, want 100", len(rows))
	}
}

// A transaction that the store itself refuses commits nothing and counts as nothing.
func testTransactionConflict(t *testing.T) {
	s, c := table(t)
	tbl := lastTable()
	if _, err := c.AddEntity(t.Context(), entity(t, "p", "a", nil), nil); err != nil {
		t.Fatal(err)
	}
	before := s.Writes()
	_, err := c.SubmitTransaction(t.Context(), []aztables.TransactionAction{
		{ActionType: aztables.TransactionTypeAdd, Entity: entity(t, "p", "b", nil)},
		{ActionType: aztables.TransactionTypeUpdateMerge, Entity: entity(t, "p", "a", nil), IfMatch: to.Ptr(azcore.ETag("W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""))},
	}, nil)
	if err == nil {
		t.Error("a stale ETag was accepted")
	}
	if n := s.Writes(); n != before {
		t.Errorf("%d writes counted for a failed transaction", n-before)
	}
	if rows := listed(t, s, tbl); len(rows) != 1 {
		t.Errorf("stored %q, want only p|a", rows)
	}
}

func testBodyTooLarge(t *testing.T) {
	s, c := table(t)
	var as []aztables.TransactionAction
	for i := range 5 { // 5 × 0.9 MiB in ASCII-only JSON
		as = append(as, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd,
			Entity: entity(t, "p", fmt.Sprint(i), map[string]any{"a": strings.Repeat("\x01", 30<<10), "b": strings.Repeat("\x01", 30<<10), "c": strings.Repeat("\x01", 30<<10),
				"d": strings.Repeat("\x01", 30<<10), "e": strings.Repeat("\x01", 30<<10)})})
	}
	_, err := c.SubmitTransaction(t.Context(), as, nil)
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.StatusCode != http.StatusRequestEntityTooLarge || re.ErrorCode != "RequestBodyTooLarge" {
		t.Errorf("got %.300v, want 413 RequestBodyTooLarge", err)
	}
	if rows := listed(t, s, lastTable()); len(rows) != 0 {
		t.Errorf("refused, and yet stored: %q", rows)
	}
}

// A quote in a key is doubled in a URL. The SDK does so for single entities,
// and forgets it in transactions, which the service cannot then read.
func testQuoteInKey(t *testing.T) {
	s, c := table(t)
	e := entity(t, "p", "o'neil", nil)
	if _, err := c.UpsertEntity(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
	if rows := listed(t, s, lastTable()); len(rows) != 1 || rows[0] != "p|o'neil" {
		t.Errorf("stored %q", rows)
	}
	_, err := c.SubmitTransaction(t.Context(), []aztables.TransactionAction{{ActionType: aztables.TransactionTypeInsertMerge, Entity: e}}, nil)
	checkInner(t, err, "InvalidInput", 0)
}

// raw sends what the SDK cannot.
func raw(t *testing.T, s *Server, method, path, contentType, body, token string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json;odata=minimalmetadata")
	req.Header.Set("x-ms-version", "2019-02-02")
	req.Header.Set("DataServiceVersion", "3.0")
	resp, err := httpClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("x-ms-error-code"), string(b)
}

func testRawRefusals(t *testing.T) {
	s, _ := table(t)
	tbl, token := "/"+lastTable(), ownToken(time.Now())
	filter := func(n int) string {
		return "/" + lastTable() + "()?$filter=" + strings.Repeat("RowKey%20ne%20'a%20eq%20b'%20and%20", n-1) + "RowKey%20gt%20''"
	}
	for _, tt := range []struct {
		what, method, path, contentType, body, token string
		status                                       int
		code                                         string
	}{
		{"top 1000", "GET", tbl + "()?$top=1000", "", "", token, 200, ""},
		{"top 1001", "GET", tbl + "()?$top=1001", "", "", token, 400, "InvalidInput"},
		{"15 comparisons", "GET", filter(15), "", "", token, 200, ""},
		{"16 comparisons", "GET", filter(16), "", "", token, 400, "InvalidInput"},
		{"no token", "GET", tbl + "()", "", "", "", 401, "NoAuthenticationInformation"},
		{"no keys", "POST", tbl, "application/json", `{"PartitionKey":"p"}`, token, 400, "PropertiesNeedValue"},
		{"a property twice", "POST", tbl, "application/json", `{"PartitionKey":"p","RowKey":"r","A":1,"A":2}`, token, 400, "DuplicatePropertiesSpecified"},
		{"nested", "POST", tbl, "application/json", `{"PartitionKey":"p","RowKey":"r","A":{}}`, token, 400, "InvalidInput"},
		{"not JSON", "POST", tbl, "application/json", `PartitionKey`, token, 400, "InvalidInput"},
		{"slash in URL key", "PUT", tbl + "(PartitionKey='p',RowKey='a%2Fb')", "application/json", `{}`, token, 400, "OutOfRangeInput"},
		{"newline in URL key", "DELETE", tbl + "(PartitionKey='p',RowKey='a%0Ab')", "", "", token, 400, "OutOfRangeInput"},
		{"broken batch", "POST", "/$batch", "multipart/mixed; boundary=x", "--x", token, 400, "InvalidInput"},
		{"empty batch", "POST", "/$batch", "multipart/mixed; boundary=x", "--x--\r\n", token, 400, "InvalidInput"},
	} {
		status, code, body := raw(t, s, tt.method, tt.path, tt.contentType, tt.body, tt.token)
		if status != tt.status || code != tt.code {
			t.Errorf("%s: got %d %s, want %d %s: %s", tt.what, status, code, tt.status, tt.code, body)
		}
	}
	if rows := listed(t, s, lastTable()); len(rows) != 0 {
		t.Errorf("refused, and yet stored: %q", rows)
	}
}

// What the SDK's own checks would stop is refused on the wire as well.
func testRawTransaction(t *testing.T) {
	s, _ := table(t)
	op := func(i int, pk, rk string) string {
		return fmt.Sprintf("--changeset_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"+
			"POST %s/%s HTTP/1.1\r\nContent-Type: application/json\r\nAccept: application/json;odata=minimalmetadata\r\nPrefer: return-no-content\r\nDataServiceVersion: 3.0;\r\n\r\n"+
			"{\"PartitionKey\":%q,\"RowKey\":%q,\"N\":%d}\r\n", s.URL(), lastTable(), pk, rk, i)
	}
	batch := func(ops ...string) string {
		return "--batch_1\r\nContent-Type: multipart/mixed; boundary=changeset_1\r\n\r\n" + strings.Join(ops, "") + "--changeset_1--\r\n--batch_1--\r\n"
	}
	for _, tt := range []struct{ what, body, inner, code string }{
		{"fine", batch(op(0, "p", "a"), op(1, "p", "b")), "204", ""},
		{"across partitions", batch(op(0, "p", "c"), op(1, "q", "d")), "400", "CommandsInBatchActOnDifferentPartitions"},
		{"twice", batch(op(0, "p", "c"), op(1, "p", "c")), "400", "InvalidDuplicateRow"},
		{"key", batch(op(0, "p", "c"), op(1, "p", "c#")), "400", "OutOfRangeInput"},
	} {
		status, _, body := raw(t, s, "POST", "/$batch", "multipart/mixed; boundary=batch_1", tt.body, ownToken(time.Now()))
		if status != 202 || !strings.Contains(body, "HTTP/1.1 "+tt.inner) || !strings.Contains(body, tt.code) {
			t.Errorf("%s: got %d %.900s", tt.what, status, body)
		}
	}
	if rows := listed(t, s, lastTable()); len(rows) != 2 {
		t.Errorf("stored %q, want p|a and p|b", rows)
	}
}
