// Package tables keeps Rollcall's state in Azure Table Storage. It is the
// only user of aztables.
//
// Nothing is added to a connection's directory except together with its fence
// row, under the version at which that row was read; and nothing is ever
// written to the directory beneath an overlay.
package tables

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/fault"
)

// The tables. One partition of directory and of runs belongs to one connection.
const (
	connectionsTable = "connections"
	claimsTable      = "claims"
	directoryTable   = "directory"
	runsTable        = "runs"
	noncesTable      = "nonces"
	auditTable       = "audit"   // one partition a connection; rows are only ever added
	serviceTable     = "service" // what concerns all connections
)

// Store is the state of all connections. It is safe for concurrent use.
type Store struct {
	// Now is the clock of the claims; Log takes what concerns no caller.
	Now func() time.Time
	Log *slog.Logger

	connections *table
	claims      *table
	directory   *table
	runs        *table
	nonces      *table
	audit       *table
	service     *table
}

// table is one table and its address.
type table struct {
	*aztables.Client
	url string
}

// New returns a store in the storage account at endpoint, such as
// https://account.table.core.windows.net. It sends nothing; tables are made
// when the first request finds them missing.
func New(endpoint string, cred azcore.TokenCredential, opts *aztables.ClientOptions) (*Store, error) {
	var o aztables.ClientOptions
	if opts != nil {
		o = *opts
	}
	o.PerCallPolicies = append(slices.Clip(o.PerCallPolicies), policyFunc(replaceBody))
	o.PerRetryPolicies = append(slices.Clip(o.PerRetryPolicies), policyFunc(takeAnswer))
	svc, err := aztables.NewServiceClient(endpoint, cred, &o)
	if err != nil {
		return nil, fmt.Errorf("tables: client for %s: %w", endpoint, err)
	}
	named := func(name string) *table {
		return &table{svc.NewClient(name), strings.TrimRight(endpoint, "/") + "/" + name}
	}
	return &Store{
		Now:         time.Now,
		Log:         slog.New(slog.DiscardHandler),
		connections: named(connectionsTable),
		claims:      named(claimsTable),
		directory:   named(directoryTable),
		runs:        named(runsTable),
		nonces:      named(noncesTable),
		audit:       named(auditTable),
		service:     named(serviceTable),
	}, nil
}

// ensuring calls f, and once more after making the table if f says that the
// table is missing.
func ensuring(ctx context.Context, t *table, f func() error) error {
	err := f()
	if code(err) != "TableNotFound" {
		return err
	}
	if _, err := t.CreateTable(ctx, nil); err != nil && code(err) != "TableAlreadyExists" {
		return err
	}
	return f()
}

// code is the storage error code of err, or empty.
func code(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.code
	}
	if re, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return re.ErrorCode
	}
	return ""
}

// classify turns a storage error into a fault. Source of the codes: Table
// Storage error codes, learn.microsoft.com/rest/api/storageservices.
func classify(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return classifyStatus(r.status, r.code, nil, err)
	}
	re, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return err
	}
	return classifyStatus(re.StatusCode, re.ErrorCode, re.RawResponse, err)
}

func classifyStatus(status int, code string, resp *http.Response, err error) error {
	e := &fault.Error{Code: code, Err: err}
	switch status {
	case http.StatusNotFound:
		e.Kind = fault.NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		e.Kind = fault.Conflict
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e.Kind = fault.Throttled
		if resp != nil {
			if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
				e.After = time.Duration(s) * time.Second
			}
		}
	case http.StatusUnauthorized, http.StatusForbidden:
		// The vendor's own set-up: whatever waits for it must not be given up.
		e.Remedy = "Give Rollcall's managed identity the role Storage Table Data Contributor on the storage account."
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		e.Kind = fault.Invalid
	}
	return e
}

// get reads one row, or a fault of kind NotFound.
func get(ctx context.Context, t *table, pk, rk string) (row, error) {
	var r row
	err := ensuring(ctx, t, func() error {
		x := newExchange(noEntity)
		defer x.free()
		if _, err := t.GetEntity(x.in(ctx), pk, rk, nil); err != nil {
			return err
		}
		var err error
		r, err = decodeRow(x.answer)
		return err
	})
	return r, classify(err)
}

// insert adds one row, or a fault of kind Conflict if it exists.
func insert(ctx context.Context, t *table, r row) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	return classify(ensuring(ctx, t, func() error {
		_, err := t.AddEntity(ctx, b, nil)
		return err
	}))
}

// replace writes one row under r.etag and returns its new version; an empty
// etag means whatever is there, or nothing.
func replace(ctx context.Context, t *table, r row) (string, error) {
	b, err := r.encode()
	if err != nil {
		return "", err
	}
	var etag string
	err = ensuring(ctx, t, func() error {
		if r.etag == "" {
			resp, err := t.UpsertEntity(ctx, b, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace})
			etag = string(resp.ETag)
			return err
		}
		match := azcore.ETag(r.etag)
		resp, err := t.UpdateEntity(ctx, b, &aztables.UpdateEntityOptions{UpdateMode: aztables.UpdateModeReplace, IfMatch: &match})
		etag = string(resp.ETag)
		return err
	})
	return etag, classify(err)
}

// remove deletes one row under its version; an empty etag means any. A row
// that is gone already is a fault of kind NotFound.
func remove(ctx context.Context, t *table, pk, rk, etag string) error {
	match := azcore.ETagAny
	if etag != "" {
		match = azcore.ETag(etag)
	}
	return classify(ensuring(ctx, t, func() error {
		_, err := t.DeleteEntity(ctx, pk, rk, &aztables.DeleteEntityOptions{IfMatch: &match})
		return err
	}))
}
