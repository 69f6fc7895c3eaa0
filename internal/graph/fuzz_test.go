package graph

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// isKey reports whether every ID is as we write it.
func isKey(ids ...string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { _, ok := directory.Key(id); return !ok })
}

func FuzzDecodeIDs(f *testing.F) {
	for _, s := range []string{
		`{"value":[{"id":"` + strings.ToUpper(guid) + `"}]}`, `{"value":[]}`, `{"value":null}`, `{}`, `{"value":[],"@odata.nextLink":"n"}`, `[]`, ``, `{"value":[{}]}`,
		`{"value":[{"@odata.type":"#microsoft.graph.group","id":"` + guid + `"},{"@odata.type":"#microsoft.graph.user","id":"` + guid2 + `"}]}`,
		`{"value":[],"@odata.deltaLink":"d"}`, `{"value":[{"id":"` + guid + `"},{"id":"x"}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeIDs(b, "user")
		if err != nil {
			if p.IDs != nil || p.Next != "" || !fault.Is(err, fault.Unknown) {
				t.Errorf("%d IDs beside the error %v", len(p.IDs), err)
			}
			return
		}
		var body struct{ Value []json.RawMessage }
		if json.Unmarshal(b, &body) != nil || body.Value == nil || len(p.IDs) > len(body.Value) {
			t.Errorf("%d of %d IDs", len(p.IDs), len(body.Value))
		}
		if !isKey(p.IDs...) || !slices.IsSorted(p.IDs) {
			t.Errorf("IDs %q", p.IDs)
		}
	})
}

func FuzzDecodeManagers(f *testing.F) {
	for _, s := range []string{
		`{"value":[{"id":"` + guid + `","manager":{"id":"` + guid2 + `"}},{"id":"` + guid2 + `"}]}`, `{"value":[]}`, `{"value":null}`,
		`{"value":[{"id":"` + guid + `","manager":null}],"@odata.nextLink":"n"}`, `{"value":[{"id":"` + guid + `","manager":{}}]}`, `x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		managers, next, err := decodeManagers(b)
		if err != nil && (managers != nil || next != "") {
			t.Errorf("managers %v beside the error %v", managers, err)
		}
		for id, m := range managers {
			if !isKey(id) || m != "" && !isKey(m) {
				t.Errorf("%q reports to %q", id, m)
			}
		}
	})
}

func FuzzDecodeGroups(f *testing.F) {
	for _, s := range []string{
		`{"value":[],"@odata.deltaLink":"d"}`, `{"value":[]}`, `{"value":null,"@odata.nextLink":"n"}`, `{"value":[{}],"@odata.nextLink":"n"}`,
		`{"value":[{"id":"` + guid + `","@removed":{"reason":"deleted"}}],"@odata.nextLink":"n"}`,
		`{"value":[{"id":"` + guid + `","displayName":null,"groupTypes":["Unified"],"resourceProvisioningOptions":["Team"],"members@delta":[{"id":"` + guid2 + `"},{"id":"` + guid2 + `","@removed":{}}]}],"@odata.nextLink":"n"}`,
		`{"value":[{"id":"` + guid + `","displayName":7}],"@odata.nextLink":"n"}`, `{"value":[{"id":"` + guid + `","members@delta":[{"id":"x"}]}],"@odata.nextLink":"n"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeGroups(b)
		if err != nil {
			if p.Items != nil || p.Next+p.Delta != "" || !fault.Is(err, fault.Unknown) {
				t.Errorf("a page beside the error %v", err)
			}
			return
		}
		if (p.Next == "") == (p.Delta == "") {
			t.Error("a page without one link")
		}
		for _, it := range p.Items {
			if !isKey(it.ID) || !isKey(it.Joined...) || !isKey(it.Left...) {
				t.Errorf("IDs of %+v", it)
			}
			if it.Removed != "" && (it.Told || it.Joined != nil || it.Left != nil) || it.Told != (it.Kind != "") {
				t.Errorf("says too much: %+v", it)
			}
			all := slices.Sorted(slices.Values(slices.Concat(it.Joined, it.Left)))
			if len(slices.Compact(all)) != len(it.Joined)+len(it.Left) {
				t.Errorf("somebody joined and left: %+v", it)
			}
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	for _, s := range []string{
		`{"responses":[{"id":"2","status":200,"headers":{"Retry-After":"5","x":7,"y":null},"body":{}},{"id":"1","status":404}]}`,
		`{"responses":[{"id":"1","status":200,"body":"eyJ2YWx1ZSI6W119"},{"id":"1","status":200}]}`, `{"responses":[]}`, `{}`, `[]`,
		`{"responses":[{"id":"1","status":200,"body":"%"},{"id":"2","status":200}]}`, `{"responses":[{"id":"01","status":200},{"id":"2","status":200}]}`,
		`{"responses":[{"id":"1","status":0},{"id":"2","status":9999}]}`, `{"responses":[{"id":1,"status":200},{"id":2,"status":200}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		replies, err := decodeBatch(b, 2)
		if err != nil {
			if replies != nil || !fault.Is(err, fault.Unknown) {
				t.Errorf("%d replies beside the error %v", len(replies), err)
			}
			return
		}
		if len(replies) != 2 || !json.Valid(b) {
			t.Errorf("%d replies in %q", len(replies), b)
		}
		for _, r := range replies {
			if r.status < 100 || r.status > 599 || r.header == nil {
				t.Errorf("reply %+v", r)
			}
		}
		fine := func(r reply) bool { return r.status == 200 || r.status == 404 }
		if err := verdict(replies, "x"); (err == nil) != (fine(replies[0]) && fine(replies[1])) {
			t.Errorf("%d and %d: %v", replies[0].status, replies[1].status, err)
		}
	})
}

func FuzzDecodeOne(f *testing.F) {
	for _, s := range []string{
		`{"id":"` + guid + `","mail":"a","manager":{"id":"` + guid2 + `"},"otherMails":["b","a"]}`, `{"id":"` + guid + `","manager":null}`, `{}`, ``, `null`, `{"value":"user"}`,
		`{"id":"` + guid + `","@removed":{"reason":"deleted"},"manager@delta":[{"id":"` + guid2 + `"}]}`, `{"value":[]}`, `{"value":["` + strings.ToUpper(guid) + `"]}`, `{"value":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if it, err := decodeWhole(b, true); err == nil && (!isKey(it.ID) || it.Removed != "" || !it.HasManager || it.Manager != "" && !isKey(it.Manager)) {
			t.Errorf("person %+v", it)
		}
		if it, err := decodeWhole(b, false); err == nil && (it.HasManager || it.Manager != "") {
			t.Errorf("a manager who was not asked for: %+v", it)
		}
		if _, err := decodePurpose(b); err != nil && !fault.Is(err, fault.Unknown) {
			t.Error(err)
		}
		if in, err := decodeAmong(b, []string{guid}); in && (err != nil || !strings.Contains(strings.ToLower(string(b)), "f")) {
			t.Errorf("in a group: %q, %v", b, err)
		}
		if err := sameID(b, guid); err == nil && !json.Valid(b) {
			t.Errorf("%q is the same", b)
		}
	})
}

func FuzzDecodeLicenses(f *testing.F) {
	for _, s := range []string{
		`{"value":[{"skuId":"` + guid + `","skuPartNumber":"E3","capabilityStatus":"Enabled","consumedUnits":3,"prepaidUnits":{"enabled":5,"warning":2,"suspended":9}}]}`,
		`{"value":[{"skuId":"` + guid + `","consumedUnits":3}]}`, `{"value":[]}`, `{"value":null}`, `{"value":[],"@odata.nextLink":"n"}`, `{"value":[{"skuId":"x","consumedUnits":3,"prepaidUnits":{}}]}`,
		`{"value":[{"skuId":"` + guid + `","consumedUnits":-3,"prepaidUnits":{}}]}`, `{"value":[{"skuId":"` + guid + `","consumedUnits":3.5,"prepaidUnits":{}}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLicenses(b)
		if err != nil && l != nil {
			t.Errorf("%d licenses beside the error %v", len(l), err)
		}
		for i := range l {
			if !isKey(l[i].ID) || i > 0 && l[i-1].ID >= l[i].ID {
				t.Errorf("license %+v", l[i])
			}
		}
	})
}

func FuzzReport(f *testing.F) {
	for _, s := range []string{
		report(alice), "\xef\xbb\xbf" + report(alice, bob), report(), "", "x", report("2026-11-19,\"a@x,\n"), report(alice) + "2026-11-19,bob@x", head + "\n" + alice,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rows := 0
		err := readReport(strings.NewReader(string(b)), func(refreshed string, page []directory.Mailbox) (bool, error) {
			if refreshed == "" || len(page) == 0 || len(page) > mailboxPage {
				t.Errorf("page of %d of %q", len(page), refreshed)
			}
			rows += len(page)
			for _, m := range page {
				if !isKey(m.ID) || m.UserPrincipalName == "" || m.Items < 0 || m.Size < 0 || m.Quota < 0 {
					t.Errorf("mailbox %+v", m)
				}
			}
			return true, nil
		})
		var e *fault.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("an error without a kind: %v", err)
		}
		if rows > strings.Count(string(b), "\n")+strings.Count(string(b), "\r") {
			t.Errorf("%d rows in %d bytes", rows, len(b))
		}
	})
}
