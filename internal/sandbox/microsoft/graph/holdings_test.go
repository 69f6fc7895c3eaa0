package graph

import (
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// as reads a path with the given roles.
func (w *world) as(tb testingT, uri string, roles ...string) *httptest.ResponseRecorder {
	tb.Helper()
	res, _ := w.do(httptest.NewRequest(http.MethodGet, uri, nil), w.bearer(tb, roles...))
	return res
}

func TestRolesOpenTheirPathsOnly(t *testing.T) {
	w, boss, _, _ := three(t)
	w.must(t, w.t.SetMailbox(boss, tenant.Mailbox{}))
	for path, role := range map[string]string{
		"/subscribedSkus": "LicenseAssignment.Read.All",
		"/reports/getMailboxUsageDetail(period='D7')":     "Reports.Read.All",
		"/users/" + boss + "/mailboxSettings":             "MailboxSettings.Read",
		"/directory/deletedItems/microsoft.graph.user":    "User.Read.All",
		"/users/" + boss + "/mailboxSettings/userPurpose": "MailboxSettings.Read",
	} {
		if got := w.as(t, base+"/v1.0"+path, role).Code; got >= 400 {
			t.Errorf("%s with %s: %d", path, role, got)
		}
		if got := w.as(t, base+"/v1.0"+path, "GroupMember.Read.All").Code; got != 403 {
			t.Errorf("%s without: %d", path, got)
		}
	}
}

func TestSubscribedSKUs(t *testing.T) {
	w, boss, oneil, _ := three(t)
	const e3, other = "05e9a617-0261-4cee-bb44-138d3ef5d965", "11111111-2222-3333-4444-555555555555"
	given := 4
	w.must(t, w.t.SetSKUs([]tenant.SKU{{ID: e3, PartNumber: "SPE_E3", Enabled: 25, Warning: 1},
		{ID: other, PartNumber: "X", CapabilityStatus: "Suspended", Suspended: 9, Consumed: &given}}))
	assign := func(id string, skus ...string) {
		t.Helper()
		l := []tenant.License{}
		for _, s := range skus {
			l = append(l, tenant.License{SkuID: s})
		}
		w.must(t, w.t.Update(id, tenant.Fields{"assignedLicenses": l}))
	}
	consumed := func() (out []any) {
		t.Helper()
		_, d, _ := w.get(t, base+"/v1.0/subscribedSkus?$select=consumedUnits")
		for _, x := range items(t, d) {
			out = append(out, x["consumedUnits"])
		}
		return out
	}
	assign(boss, e3)
	assign(oneil, e3, other)
	expect(t, "two hold it", consumed(), []any{2.0, 4.0})
	w.must(t, w.t.Remove(oneil))
	expect(t, "one has left", consumed(), []any{1.0, 4.0})
	assign(boss)
	expect(t, "nobody", consumed(), []any{0.0, 4.0})
	w.must(t, w.t.Restore(oneil))

	_, d, _ := w.get(t, base+"/v1.0/subscribedSkus/"+w.t.ID+"_"+e3)
	for k, want := range map[string]any{
		"id": w.t.ID + "_" + e3, "skuId": e3, "skuPartNumber": "SPE_E3", "capabilityStatus": "Enabled", "appliesTo": "User", "consumedUnits": 1.0,
		"prepaidUnits": doc{"enabled": 25.0, "suspended": 0.0, "warning": 1.0, "lockedOut": 0.0},
	} {
		expect(t, k, d[k], want)
	}
	for path, status := range map[string]int{
		"?$filter=skuId%20eq%20'x'": 400, "?$top=1": 400, "?$select=nonsense": 400, "/" + w.t.ID + "_x": 404, "/" + e3: 404,
	} {
		if got, d, _ := w.get(t, base+"/v1.0/subscribedSkus"+path); got != status {
			t.Errorf("%s: %d, want %d: %v", path, got, status, d)
		}
	}
	if err := w.t.SetSKUs([]tenant.SKU{{ID: e3}, {ID: strings.ToUpper(e3)}}); err == nil {
		t.Error("one SKU twice was accepted")
	}
}

const report = base + "/v1.0/reports/getMailboxUsageDetail(period='D7')"

// rows fetches the report as a careful client does: the link without a token.
func (w *world) rows(tb testingT, uri string) (header []string, rows [][]string) {
	tb.Helper()
	res := w.as(tb, uri, "Reports.Read.All")
	if res.Code != 302 || res.Body.Len() != 0 {
		tb.Fatalf("%s: %d %s", uri, res.Code, res.Body)
	}
	got := w.fetch(res.Header().Get("Location"), "")
	if got.Code != 200 || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/csv") {
		tb.Fatalf("download: %d %s", got.Code, got.Body)
	}
	text, ok := strings.CutPrefix(got.Body.String(), "\ufeff")
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || !ok || len(all) == 0 {
		tb.Fatalf("report: BOM %v, %v: %.200s", ok, err, text)
	}
	return all[0], all[1:]
}

func (w *world) fetch(uri, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, uri, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	res := httptest.NewRecorder()
	w.handler.ServeHTTP(res, r)
	return res
}

func TestMailboxReport(t *testing.T) {
	w := newWorld(t, 0, 200)
	w.person(t, tenant.Fields{"userPrincipalName": "ann@x.example", "mail": "ann@x.example", "displayName": `Ann "A", Jr`})
	bob := w.person(t, tenant.Fields{"userPrincipalName": "bob@x.example"})
	cat := w.person(t, tenant.Fields{"userPrincipalName": "cat@x.example", "mail": "cat@x.example"})
	w.person(t, tenant.Fields{"userPrincipalName": "g_y#EXT#@x.example", "mail": "g@y.example", "userType": "Guest"})
	gone := w.person(t, tenant.Fields{"userPrincipalName": "gone@x.example", "mail": "gone@x.example"})
	w.must(t, w.t.Remove(gone))
	w.must(t, w.t.SetMailbox(bob, tenant.Mailbox{Purpose: "shared", Items: 3, Used: 5_000_000_000, Warning: 1, NoSend: 2, NoReceive: 4, Deleted: 6,
		DeletedUsed: 7, DeletedQuota: 8, Archive: true, Created: time.Date(2020, 2, 29, 1, 0, 0, 0, time.UTC)}))
	w.must(t, w.t.RemoveMailbox(cat))

	header, rows := w.rows(t, report)
	expect(t, "header", strings.Join(header, ","), "Report Refresh Date,User Principal Name,Display Name,Is Deleted,Deleted Date,Created Date,Last Activity Date,"+
		"Item Count,Storage Used (Byte),Issue Warning Quota (Byte),Prohibit Send Quota (Byte),Prohibit Send/Receive Quota (Byte),"+
		"Deleted Item Count,Deleted Item Size (Byte),Deleted Item Quota (Byte),Has Archive,Report Period")
	if len(rows) != 2 || rows[0][1] != "ann@x.example" || rows[0][2] != `Ann "A", Jr` || rows[0][0] != "2026-04-29" {
		t.Fatalf("rows %q", rows)
	}
	expect(t, "as set", strings.Join(rows[1], ","), "2026-04-29,bob@x.example,,False,,2020-02-29,,3,5000000000,1,2,4,6,7,8,True,7")

	_, again := w.rows(t, strings.NewReplacer("(", "%28", "'", "%27", ")", "%29", "D7", "D180").Replace(report))
	expect(t, "period", again[0][16], "180")
	if !slices.Equal(again[0][:16], rows[0][:16]) {
		t.Errorf("the figures are others: %q, %q", again[0], rows[0])
	}
	w.now = w.now.Add(11*time.Hour + 59*time.Minute)
	_, again = w.rows(t, report)
	expect(t, "late that day", again[0][0], "2026-04-29")
	w.now = w.now.Add(2 * time.Minute)
	_, again = w.rows(t, report)
	expect(t, "the next day", again[0][0], "2026-04-30")

	w.t.Conceal(true)
	_, hidden := w.rows(t, report)
	_, twice := w.rows(t, report)
	for _, s := range []string{hidden[0][1], hidden[0][2]} {
		if len(s) != 32 || strings.Trim(s, "0123456789ABCDEF") != "" {
			t.Errorf("concealed name %q", s)
		}
	}
	if hidden[0][1] != twice[0][1] || hidden[0][1] == hidden[1][1] || hidden[0][7] != again[0][7] {
		t.Errorf("concealed rows %q, %q", hidden, twice)
	}
	for path, status := range map[string]int{"(period='D8')": 400, "": 400, "(period='D7')?$top=1": 400, "(date=2026-01-01)": 400} {
		if got := w.as(t, base+"/v1.0/reports/getMailboxUsageDetail"+path, "Reports.Read.All").Code; got != status {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestReportLinksAreShortLivedAndTakeNoToken(t *testing.T) {
	w := newWorld(t, 5, 200)
	location := func() string { return w.as(t, report, "Reports.Read.All").Header().Get("Location") }
	link := location()
	if !strings.HasPrefix(link, base+"/") || strings.HasPrefix(link, base+"/v1.0") || link == location() {
		t.Errorf("link %s", link)
	}
	expect(t, "without a token", w.fetch(link, "").Code, 200)
	expect(t, "with a token", w.fetch(link, w.bearer(t, "Reports.Read.All")).Code, 400)
	expect(t, "counted", []int{w.t.Calls()[fault.LeakedToken], w.t.Calls()[fault.ReportDownload], w.t.Calls()[fault.MailboxReport]}, []int{1, 2, 2})
	expect(t, "a made-up link", w.fetch(base+downloads+"xyz", "").Code, 404)
	skip := w.server.close(listOf(w.t.ID))
	expect(t, "another kind of token", w.fetch(base+downloads+skip, "").Code, 404)
	w.now = w.now.Add(4*time.Minute + 59*time.Second)
	expect(t, "nearly five minutes later", w.fetch(link, "").Code, 200)
	w.now = w.now.Add(time.Second)
	expect(t, "five minutes later", w.fetch(link, "").Code, 404)
}

func listOf(tenantID string) link { return link{Kind: listLink, Tenant: tenantID} }

func TestReportFaults(t *testing.T) {
	w := newWorld(t, 40, 200)
	plain := httptest.NewRequest(http.MethodGet, report, nil)
	for _, path := range []string{fault.MailboxReport, fault.ReportDownload} {
		for kind, want := range map[fault.Kind]int{fault.Throttle: 429, fault.Error: 504, fault.Forbidden: 403, fault.Expired: 404, fault.Empty: 200, fault.Slow: 200, fault.Cut: -1, fault.CutChunked: -1} {
			id := w.arm(t, fault.Fault{Kind: kind, Path: path, Status: 504, Delay: time.Second, Count: 1})
			slept := w.slept
			status, rows := -1, 0
			res, cut := w.do(plain.Clone(t.Context()), w.bearer(t, "Reports.Read.All"))
			if status = res.Code; !cut && res.Code == 302 {
				r := httptest.NewRequest(http.MethodGet, res.Header().Get("Location"), nil)
				res, cut = w.do(r, "")
				status, rows = res.Code, strings.Count(res.Body.String(), "\n")
			}
			if cut {
				status = -1
			}
			if status != want || w.faults.Fired(id) != 1 || kind == fault.Empty && rows != 1 || kind == fault.Slow && (rows < 20 || w.slept-slept != time.Second) {
				t.Errorf("%s on %s: status %d, want %d; fired %d, rows %d", kind, path, status, want, w.faults.Fired(id), rows)
			}
		}
	}
}
