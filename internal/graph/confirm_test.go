package graph_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/sandbox"
	ms "rollcall/internal/sandbox/microsoft/fault"
)

func TestExisting(t *testing.T) {
	tn := wires.Tenant(t, 1000)
	c := client(t, nil)
	var ids, want []string
	for i, p := range tn.People() {
		ids = append(ids, p.ID)
		switch {
		case i%10 == 3:
			if err := tn.Remove(p.ID); err != nil {
				t.Fatal(err)
			}
		case i%10 == 7:
			if err := tn.Purge(p.ID); err != nil {
				t.Fatal(err)
			}
		default:
			want = append(want, p.ID)
		}
	}
	got, err := c.Existing(t.Context(), connection.Access{Tenant: tn.ID}, directory.People, ids)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) != 800 {
		t.Errorf("%d exist, want %d", len(got), len(want))
	}
	if n := calls(tn, ms.ByIDs); n != 1 {
		t.Errorf("%d calls", n)
	}
	if _, err := c.Existing(t.Context(), connection.Access{Tenant: tn.ID}, directory.People, append(ids, ids[0])); !fault.Is(err, fault.Invalid) {
		t.Errorf("1,001 IDs: %v", err)
	}
	for _, f := range []ms.Fault{{Kind: ms.Cut}, {Kind: ms.Error, Status: 502}, {Kind: ms.Forbidden}} {
		f.Path, f.Count = ms.ByIDs, 2 // a refusal is asked again with a new token
		fired := wires.Fault(t, tn, f)
		got, err := c.Existing(t.Context(), connection.Access{Tenant: tn.ID}, directory.People, ids)
		fired()
		wires.Microsoft.ClearFaults()
		if err == nil || got != nil {
			t.Errorf("%s: %d exist: absence read from a failure", f.Kind, len(got))
		}
	}
}

// A person fetched whole is as an enumeration tells of them, with the manager.
func TestWhole(t *testing.T) {
	tn := wires.Tenant(t, 60)
	c := client(t, nil)
	var ids []string
	for _, p := range tn.People() {
		ids = append(ids, p.ID)
	}
	if err := errors.Join(tn.Remove(ids[3]), tn.Purge(ids[4])); err != nil {
		t.Fatal(err)
	}
	ctx, count := metered(t)
	items, err := c.Whole(ctx, connection.Access{Tenant: tn.ID}, append(ids, someone), directory.Properties())
	if err != nil {
		t.Fatal(err)
	}
	if n, units := count.Take(); n != 4 || units < 61 { // 61 people, 20 a call
		t.Errorf("%d calls, %d units", n, units)
	}
	people := map[string]directory.Person{}
	for _, it := range items {
		if !it.HasManager || it.Removed != "" {
			t.Errorf("%s: manager known %v, removed %q", it.ID, it.HasManager, it.Removed)
		}
		people[it.ID] = it.Person
	}
	if len(items) != 58 {
		t.Errorf("%d people", len(items))
	}
	equal(t, people, tn)

	some, err := c.Whole(t.Context(), connection.Access{Tenant: tn.ID}, ids[:1], []string{"mail", "displayName"})
	if err != nil || len(some) != 1 || some[0].HasManager {
		t.Fatalf("%+v, %v", some, err)
	}
	b, err := json.Marshal(some[0].Person)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"id": ids[0]}
	for _, name := range []string{"mail", "displayName"} {
		if v, ok := sandbox.Truth(tn.People())[ids[0]][name]; ok {
			want[name] = v
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}

	deleted, err := c.DeletedPeople(t.Context(), connection.Access{Tenant: tn.ID}, []string{ids[3], ids[4], ids[5], someone})
	if want := map[string]bool{ids[3]: true, ids[4]: false, ids[5]: false, someone: false}; err != nil || !reflect.DeepEqual(deleted, want) {
		t.Errorf("restorable %v, want %v, %v", deleted, want, err)
	}

	fired := wires.Fault(t, tn, ms.Fault{Kind: ms.Throttle, RetryAfter: "5", Path: ms.User, Skip: 30, Count: 1})
	if items, err := c.Whole(t.Context(), connection.Access{Tenant: tn.ID}, ids, directory.Properties()); items != nil || !fault.Is(err, fault.Throttled) || fault.Of(err).After == 0 {
		t.Errorf("throttled inside: %d people, %v", len(items), err)
	}
	fired()
	// As a token gets it that was issued before the consent.
	fired = wires.Fault(t, tn, ms.Fault{Kind: ms.Forbidden, Path: ms.User, Count: 20})
	if items, err := c.Whole(t.Context(), connection.Access{Tenant: tn.ID}, ids[10:30], directory.Properties()); err != nil || len(items) != 20 {
		t.Errorf("refused once: %d people, %v", len(items), err)
	}
	fired()
	if items, err := c.Whole(t.Context(), connection.Access{Tenant: tn.ID}, []string{"me"}, nil); items != nil || !fault.Is(err, fault.Invalid) {
		t.Errorf("no ID: %v", err)
	}
}
