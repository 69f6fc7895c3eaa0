package tablestore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
)

func testCounters(t *testing.T) {
	s, c := table(t)
	tbl := lastTable()
	ctx := t.Context()
	if _, err := c.AddEntity(ctx, entity(t, "p", "a", nil), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddEntity(ctx, entity(t, "p", "a", nil), nil); err == nil {
		t.Fatal("the same row was added twice")
	}
	if _, err := c.SubmitTransaction(ctx, []aztables.TransactionAction{
		{ActionType: aztables.TransactionTypeAdd, Entity: entity(t, "p", "b", nil)},
		{ActionType: aztables.TransactionTypeAdd, Entity: entity(t, "p", "c", nil)},
		{ActionType: aztables.TransactionTypeDelete, Entity: entity(t, "p", "a", nil)},
	}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetEntity(ctx, "p", "b", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetEntity(ctx, "p", "a", nil); err == nil {
		t.Fatal("a deleted row was found")
	}
	// The table itself, one row, and a transaction of three; one read that was answered.
	want := Count{Reads: 1, Writes: 3, Transactions: 1, Entities: 4}
	if diff := cmp.Diff(want, s.Requests().Tables[tbl]); diff != "" {
		t.Error(diff)
	}
}

func testCutAfterCommit(t *testing.T) {
	s, c := table(t)
	tbl := lastTable()
	start := s.Writes()
	var seen []int64
	s.OnWrite(func(n int64, table string) Verdict {
		if table != tbl {
			t.Errorf("hook for table %q", table)
		}
		seen = append(seen, n-start)
		if n-start == 2 {
			return Cut
		}
		return Pass
	})
	defer s.OnWrite(nil)
	for i, cut := range []bool{false, true, false} {
		_, err := c.AddEntity(t.Context(), entity(t, "p", fmt.Sprint(i), nil), nil)
		var re *azcore.ResponseError
		if cut != (err != nil) || errors.As(err, &re) {
			t.Errorf("write %d: %v, cut %v", i, err, cut)
		}
	}
	if diff := cmp.Diff([]string{"p|0", "p|1", "p|2"}, listed(t, s, tbl)); diff != "" {
		t.Error("a write whose answer is cut is committed:", diff)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, seen); diff != "" {
		t.Error(diff)
	}
}

func testCutBeforeWrite(t *testing.T) {
	s, c := table(t)
	next := s.Writes() + 1
	s.BeforeWrite(func(n int64, _ string) error {
		if n != next {
			t.Errorf("told %d, want %d", n, next)
		}
		return errors.New("no")
	})
	defer s.BeforeWrite(nil)
	if _, err := c.AddEntity(t.Context(), entity(t, "p", "a", nil), nil); err == nil {
		t.Error("write was answered")
	}
	if rows := listed(t, s, lastTable()); len(rows) != 0 || s.Writes() != next-1 {
		t.Errorf("stored %q, %d writes", rows, s.Writes())
	}
}

// While a hook holds one write, no other is committed, and one whose client
// has gone meanwhile never is.
func testHookHoldsOtherWrites(t *testing.T) {
	s, c := table(t)
	held, release := make(chan struct{}), make(chan struct{})
	first := true
	s.OnWrite(func(int64, string) Verdict {
		if first {
			first = false
			close(held)
			<-release
		}
		return Pass
	})
	defer s.OnWrite(nil)
	a, b := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.AddEntity(context.Background(), entity(t, "p", "a", nil), nil)
		a <- err
	}()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	go func() {
		_, err := c.AddEntity(ctx, entity(t, "p", "b", nil), nil)
		b <- err
	}()
	if err := <-b; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second write: %v", err)
	}
	if rows := listed(t, s, lastTable()); len(rows) != 1 {
		t.Errorf("stored %q while held", rows)
	}
	close(release)
	if err := <-a; err != nil {
		t.Error(err)
	}
}

func testFail(t *testing.T) {
	s, c := table(t)
	s.Fail(2, http.StatusServiceUnavailable, "ServerBusy")
	s.Fail(1, http.StatusInternalServerError, "OperationTimedOut")
	for _, want := range []struct {
		status int
		code   string
	}{{503, "ServerBusy"}, {503, "ServerBusy"}, {500, "OperationTimedOut"}} {
		_, err := c.AddEntity(t.Context(), entity(t, "p", "a", nil), nil)
		var re *azcore.ResponseError
		if !errors.As(err, &re) || re.StatusCode != want.status || re.ErrorCode != want.code {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if _, err := c.AddEntity(t.Context(), entity(t, "p", "a", nil), nil); err != nil {
		t.Error("after the faults:", err)
	}
}

func testEmptyPages(t *testing.T) {
	s, c := table(t)
	for i := range 5 {
		if _, err := c.AddEntity(t.Context(), entity(t, "p", fmt.Sprint(i), nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	s.EmptyPages(true)
	defer s.EmptyPages(false)
	top := int32(2)
	var sizes []int
	for p := c.NewListEntitiesPager(&aztables.ListEntitiesOptions{Top: &top}); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.Entities))
	}
	if diff := cmp.Diff([]int{0, 2, 0, 2, 0, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

func testTableBeingDeleted(t *testing.T) {
	s, _ := table(t)
	c := sdk(t, s, ownToken(time.Now()))
	if _, err := c.DeleteTable(t.Context(), lastTable(), nil); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateTable(t.Context(), lastTable(), nil)
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.StatusCode != http.StatusConflict || re.ErrorCode != "TableBeingDeleted" {
		t.Errorf("got %v, want 409 TableBeingDeleted", err)
	}
}

func testAuthorize(t *testing.T) {
	s := server(t)
	strict := &Server{opts: Options{Authorize: func(token string) error {
		if token != "good" {
			return errors.New("unknown token")
		}
		return nil
	}}, token: "own"}
	for token, want := range map[string]string{"Bearer good": "", "Bearer bad": "InvalidAuthenticationInfo", "SharedKey x:y": "NoAuthenticationInformation", "": "NoAuthenticationInformation"} {
		got, err := strict.authenticate(&http.Request{Header: http.Header{"Authorization": {token}}})
		if want == "" && (err != nil || got != "own") || want != "" && (err == nil || err.code != want || err.status != 401) {
			t.Errorf("%q: %q, %+v", token, got, err)
		}
	}
	// Without a judge the store refuses what is no token at all.
	if status, _, _ := raw(t, s, "GET", "/Tables", "", "", "junk"); status != http.StatusForbidden {
		t.Errorf("junk token: status %d", status)
	}
}
