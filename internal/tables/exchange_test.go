package tables

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// A transaction that is sent again is sent whole, and the buffers are not used
// for another while it is under way.
func TestRetriedBody(t *testing.T) {
	var bodies [][]byte
	s, _ := plugged(t, "https://acc.table.core.windows.net", transport(func(r *http.Request, body []byte) *http.Response {
		bodies = append(bodies, body)
		if len(bodies) < 3 {
			return answer(503, "application/json", `{"odata.error":{"code":"ServerBusy"}}`)
		}
		return answer(202, innerType, answered(2))
	}))
	if _, err := s.Commit(t.Context(), "c1", job.Fence{}, directory.Batch{Put: []directory.Record{person(1)}}); err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 3 || !bytes.Equal(bodies[0], bodies[1]) || !bytes.Equal(bodies[0], bodies[2]) || !bytes.Contains(bodies[2], []byte("RowKey='u%21")) {
		t.Errorf("%d requests of %d bytes", len(bodies), len(bodies[0]))
	}
}

// An outgoing body ends for whoever still reads it when it is closed.
func TestClosedBody(t *testing.T) {
	o := &outgoing{parts: [][]byte{[]byte("b"), nil, []byte("ody")}}
	if n, err := o.Seek(0, io.SeekEnd); n != 4 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := o.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	p := make([]byte, 2)
	if n, err := o.Read(p); n != 2 || err != nil || string(p) != "bo" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	_ = o.Close()
	if n, err := o.Read(p); n != 0 || err == nil || err == io.EOF {
		t.Errorf("%d bytes of a closed body, %v", n, err)
	}
	if _, err := o.Seek(0, io.SeekStart); err == nil {
		t.Error("a closed body begins again")
	}
}

// What stands in the answer to a transaction is told, and an answer that tells
// nothing is no success.
func TestOutcomes(t *testing.T) {
	failed := func(status, body string) string {
		return "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 " +
			status + "\r\nContent-Type: application/json\r\n\r\n" + body + "\r\n--c--\r\n--batchresponse_1--\r\n"
	}
	type want struct {
		kind fault.Kind
		code string
	}
	for name, tt := range map[string]struct {
		answer *http.Response
		want   want
	}{
		"conflict":     {answer(202, innerType, failed("409 Conflict", `{"odata.error":{"code":"EntityAlreadyExists","message":{"lang":"en-US","value":"1:The specified entity already exists."}}}`)), want{fault.Conflict, "EntityAlreadyExists"}},
		"precondition": {answer(202, innerType, failed("412 Precondition Failed", `{"odata.error":{"code":"UpdateConditionNotSatisfied"}}`)), want{fault.Conflict, "UpdateConditionNotSatisfied"}},
		"missing":      {answer(202, innerType, failed("404 Not Found", `{"odata.error":{"code":"ResourceNotFound"}}`)), want{fault.NotFound, "ResourceNotFound"}},
		"no reason":    {answer(202, innerType, failed("400 Bad Request", ``)), want{fault.Invalid, ""}},
		"outer":        {answer(413, "application/json", `{"odata.error":{"code":"RequestBodyTooLarge"}}`), want{fault.Invalid, "RequestBodyTooLarge"}},
		"empty":        {answer(202, innerType, ""), want{fault.Unknown, ""}},
		"too short":    {answer(202, innerType, answered(1)), want{fault.Unknown, ""}},
		"no version":   {answer(202, innerType, strings.ReplaceAll(answered(2), "ETag", "Tag")), want{fault.Unknown, ""}},
		"something":    {answer(202, "text/html", "<html>"), want{fault.Unknown, ""}},
	} {
		s, _ := plugged(t, "https://acc.table.core.windows.net", transport(func(r *http.Request, _ []byte) *http.Response {
			if r.Method == http.MethodGet {
				return answer(404, "application/json", `{"odata.error":{"code":"ResourceNotFound"}}`)
			}
			return tt.answer
		}))
		_, err := s.Commit(t.Context(), "c1", job.Fence{}, directory.Batch{Put: []directory.Record{person(1)}})
		if e := fault.Of(err); err == nil || (want{e.Kind, e.Code}) != tt.want || strings.Contains(err.Error(), person(1).ID) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// An answer that breaks off after a transaction was sent does not send it
// again: whether it was done is found out.
func TestBrokenAnswer(t *testing.T) {
	posts := 0
	s, _ := plugged(t, "https://acc.table.core.windows.net", transport(func(r *http.Request, _ []byte) *http.Response {
		if r.Method == http.MethodGet {
			return answer(404, "application/json", `{"odata.error":{"code":"ResourceNotFound"}}`)
		}
		posts++
		resp := answer(202, innerType, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(answered(2)[:40]), brokenReader{}))
		return resp
	}))
	if _, err := s.Commit(t.Context(), "c1", job.Fence{}, directory.Batch{Put: []directory.Record{person(1)}}); err == nil || posts != 1 {
		t.Errorf("%d transactions were sent, %v", posts, err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The caller's policies stay where they were.
func TestCallersPolicies(t *testing.T) {
	var calls []string
	note := func(name string) policy.Policy {
		return policyFunc(func(r *policy.Request) (*http.Response, error) {
			calls = append(calls, name)
			return r.Next()
		})
	}
	opts := &aztables.ClientOptions{}
	opts.PerCallPolicies, opts.PerRetryPolicies = []policy.Policy{note("call")}, []policy.Policy{note("try")}
	opts.Transport = transport(func(*http.Request, []byte) *http.Response { return answer(202, innerType, answered(1)) })
	s, err := New("https://acc.table.core.windows.net", anyToken{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), "c1", job.Fence{}, directory.Batch{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(calls, []string{"call", "try"}) || len(opts.PerCallPolicies) != 1 || len(opts.PerRetryPolicies) != 1 {
		t.Errorf("calls %v", calls)
	}
}
