package tables

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const fenceKey = "c!"

// Fence reads the connection's fence. A connection that has none yet has a
// zero Fence with an empty Version.
func (s *Store) Fence(ctx context.Context, connection string) (f job.Fence, err error) {
	defer fault.Wrap(&err, "tables: fence of %s", connection)
	r, err := get(ctx, s.directory, connection, fenceKey)
	if fault.Is(err, fault.NotFound) {
		return job.Fence{}, nil
	}
	if err != nil {
		return f, err
	}
	if f, err = unpack[job.Fence](r); err != nil {
		return f, err
	}
	f.Version = r.etag
	return f, nil
}

// Commit writes the batch and the fence in one entity group transaction,
// under the fence's Version, and returns the fence with its new one. It
// returns [fault.Conflict] with code [job.FenceMoved] if another worker has
// written the fence meanwhile, and [fault.Conflict] with code "EntityAlreadyExists" if a person of
// b.Add is stored already. An
// answer that was lost on the way is found out by reading the fence again, so
// that any other error means that nothing was written, or that nobody can say.
func (s *Store) Commit(ctx context.Context, connection string, f job.Fence, b directory.Batch) (_ job.Fence, err error) {
	defer fault.Wrap(&err, "tables: commit of %s", connection)
	f.Seq++
	f.Commit = rand.Text()
	f.Run.Transactions++
	actions, err := transaction(connection, f, b)
	if err != nil {
		return f, err
	}
	var resp *http.Response
	err = ensuring(ctx, s.directory, func() error {
		_, err := s.directory.SubmitTransaction(policy.WithCaptureResponse(ctx, &resp), actions, nil)
		if _, isInner := innerError(resp, err); isInner && innerCode(resp) == "TableNotFound" {
			return &azcore.ResponseError{StatusCode: http.StatusNotFound, ErrorCode: "TableNotFound"}
		}
		return err
	})
	if err == nil {
		if etag := fenceETag(resp); etag != "" {
			f.Version = etag
			return f, nil
		}
	}
	// The answer says no, or there is none. Only the fence itself knows.
	if ctx.Err() != nil { // out of time: a moment is needed to find out
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
	}
	now, readErr := s.Fence(ctx, connection)
	switch {
	case readErr != nil:
		return f, errors.Join(err, readErr)
	case now.Commit == f.Commit:
		return now, nil
	case now.Version != f.Version:
		return f, fault.New(fault.Conflict, "fence is at epoch %d, commit %d: another worker has written it since epoch %d, commit %d", now.Epoch, now.Seq, f.Epoch, f.Seq-1).
			WithCode(job.FenceMoved)
	}
	if inner, ok := innerError(resp, err); ok {
		return f, inner
	}
	return f, classify(err)
}

// transaction builds the operations, the fence first.
func transaction(connection string, f job.Fence, b directory.Batch) ([]aztables.TransactionAction, error) {
	var actions []aztables.TransactionAction
	put := func(kind aztables.TransactionType, rk string, v any, match *azcore.ETag) error {
		data, err := pack(v)
		if err != nil {
			return err
		}
		entity, err := row{pk: connection, rk: rk, data: data}.encode()
		if err != nil {
			return err
		}
		actions = append(actions, aztables.TransactionAction{ActionType: kind, Entity: entity, IfMatch: match})
		return nil
	}
	drop := func(rk string) error {
		return put(aztables.TransactionTypeDelete, rk, nil, nil)
	}

	var err error
	if f.Version == "" {
		err = put(aztables.TransactionTypeAdd, fenceKey, f, nil)
	} else {
		match := azcore.ETag(f.Version)
		err = put(aztables.TransactionTypeUpdateReplace, fenceKey, f, &match)
	}
	for i := 0; err == nil && i < len(b.Add); i++ {
		err = put(aztables.TransactionTypeAdd, personKey(b.Add[i].ID), &b.Add[i], nil)
	}
	for i := 0; err == nil && i < len(b.Put); i++ {
		err = put(aztables.TransactionTypeInsertReplace, personKey(b.Put[i].ID), &b.Put[i], nil)
	}
	for i := 0; err == nil && i < len(b.Pend); i++ {
		err = put(aztables.TransactionTypeInsertReplace, pendingPrefix+b.Pend[i], nil, nil)
	}
	for i := 0; err == nil && i < len(b.Unpend); i++ {
		err = drop(pendingPrefix + b.Unpend[i])
	}
	for i := 0; err == nil && i < len(b.Hold); i++ {
		err = put(aztables.TransactionTypeInsertReplace, heldPrefix+b.Hold[i], nil, nil)
	}
	for i := 0; err == nil && i < len(b.Unhold); i++ {
		err = drop(heldPrefix + b.Unhold[i])
	}
	for i := 0; err == nil && i < len(b.DropSeen); i++ {
		err = drop(b.DropSeen[i])
	}
	if err == nil && len(b.Changes) > 0 {
		err = put(aztables.TransactionTypeAdd, changesKey(b.Changes[len(b.Changes)-1].Number), b.Changes, nil)
	}
	if err == nil && len(b.Seen) > 0 {
		err = put(aztables.TransactionTypeInsertReplace, seenKey(b.Enum, f.Seq), packIDs(b.Seen), nil)
	}
	return actions, err
}

// innerError finds the reason of a failed transaction. aztables reports it as
// a ResponseError with status 202 and no code, made of the outer response;
// the reason is in the multipart body.
func innerError(resp *http.Response, err error) (error, bool) {
	if err == nil || resp == nil || resp.StatusCode != http.StatusAccepted {
		return nil, false
	}
	status, code := innerFailure(resp)
	if status == 0 {
		return nil, false
	}
	return classifyStatus(status, code, nil, fault.New(fault.Unknown, "transaction refused: %d %s", status, code).Err), true
}

func innerCode(resp *http.Response) string {
	_, code := innerFailure(resp)
	return code
}

func innerFailure(resp *http.Response) (status int, code string) {
	for _, r := range innerResponses(resp) {
		if r.StatusCode < 400 {
			continue
		}
		var body struct {
			Error struct {
				Code string `json:"code"`
			} `json:"odata.error"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body) // without a readable body the status must do
		return r.StatusCode, body.Error.Code
	}
	return 0, ""
}

// fenceETag is the new version of the first row of a successful transaction.
func fenceETag(resp *http.Response) string {
	if inner := innerResponses(resp); len(inner) > 0 && inner[0].StatusCode < 300 {
		return inner[0].Header.Get("ETag")
	}
	return ""
}

// innerResponses reads the answers in a transaction's multipart body, as far
// as it can be read.
func innerResponses(resp *http.Response) []*http.Response {
	if resp == nil {
		return nil
	}
	body, err := runtime.Payload(resp) // the SDK has buffered it
	if err != nil {
		return nil
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return nil
	}
	return parseInner(body, params["boundary"])
}

func parseInner(body []byte, boundary string) []*http.Response {
	if boundary == "" {
		return nil
	}
	outer, err := multipart.NewReader(bytes.NewReader(body), boundary).NextPart()
	if err != nil {
		return nil
	}
	_, params, err := mime.ParseMediaType(outer.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil
	}
	var inner []*http.Response
	for mr := multipart.NewReader(outer, params["boundary"]); ; {
		part, err := mr.NextPart()
		if err != nil {
			return inner
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return inner
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			return inner
		}
		inner = append(inner, r)
	}
}
