package graph_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// boxes reads the whole report, by user principal name.
func boxes(ctx context.Context, list func(context.Context, connection.Access, func(string, []directory.Mailbox) (bool, error)) error, tn string) (map[string]directory.Mailbox, error) {
	all := map[string]directory.Mailbox{}
	err := list(ctx, connection.Access{Tenant: tn}, func(refreshed string, page []directory.Mailbox) (bool, error) {
		if _, err := time.Parse(time.DateOnly, refreshed); err != nil {
			return false, err
		}
		for _, m := range page {
			all[m.UserPrincipalName] = m
		}
		return true, nil
	})
	return all, err
}

// The report comes from another place, which never sees the token.
func TestMailboxes(t *testing.T) {
	tn := wires.Tenant(t, 1300)
	c := client(t, nil)
	people := tn.People()
	set := tenant.Mailbox{Purpose: "room", Created: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), Items: 12, Used: 3 << 40, NoReceive: 7 << 40, Archive: true}
	if err := errors.Join(tn.SetMailbox(people[0].ID, set), tn.RemoveMailbox(people[1].ID)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{} // purpose by name
	for _, p := range people {
		if m, ok := tn.Mailbox(p.ID, time.Now()); ok {
			want[p.UserPrincipalName] = m.Purpose
		}
	}
	ctx, count := metered(t)
	got, err := boxes(ctx, c.Mailboxes, tn.ID)
	if err != nil || len(want) < 1001 { // several pages
		t.Fatalf("%d of %d mailboxes, %v", len(got), len(want), err)
	}
	names := slices.Sorted(maps.Keys(got))
	if !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
		t.Errorf("%d mailboxes, want %d", len(got), len(want))
	}
	upn := people[0].UserPrincipalName
	if got[upn] != (directory.Mailbox{ID: directory.MailboxID(upn), UserPrincipalName: upn, CreatedDate: "2020-01-02", Items: 12, Size: 3 << 40, Quota: 7 << 40, HasArchive: true}) {
		t.Errorf("%+v", got[upn])
	}
	if n, _ := count.Take(); n != 2 || calls(tn, ms.MailboxReport) != 1 || calls(tn, ms.ReportDownload) != 1 || calls(tn, ms.LeakedToken) != 0 {
		t.Errorf("%d calls, %v", n, tn.Calls())
	}
	purposes, err := c.MailboxPurposes(t.Context(), connection.Access{Tenant: tn.ID}, append(names[:60], upn, people[1].UserPrincipalName, "nobody@x.example"))
	for _, name := range append(names[:60], upn) {
		if purposes[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, purposes[name], want[name])
		}
	}
	if _, ok := purposes[people[1].UserPrincipalName]; ok || purposes[upn] != "room" || err != nil {
		t.Errorf("purposes %v, %v", purposes, err)
	}
	tn.Conceal(true)
	if got, err := boxes(t.Context(), c.Mailboxes, tn.ID); len(got) != 0 || !fault.Is(err, fault.Denied) || fault.Of(err).Code != "concealed_names" {
		t.Errorf("concealed: %d mailboxes, %v", len(got), err)
	}
}

// A report that is refused, cut or late is not one without mailboxes.
func TestMailboxFaults(t *testing.T) {
	tn := wires.Tenant(t, 700)
	c := client(t, nil)
	for _, f := range []struct {
		fault  ms.Fault
		kind   fault.Kind
		remedy string
	}{
		{ms.Fault{Kind: ms.Forbidden, Path: ms.MailboxReport, Count: 2}, fault.Denied, "(Reports.Read.All)"},
		{ms.Fault{Kind: ms.Throttle, Path: ms.MailboxReport, Count: 1}, fault.Throttled, ""},
		{ms.Fault{Kind: ms.Throttle, Path: ms.ReportDownload, RetryAfter: "4", Count: 1}, fault.Throttled, ""},
		{ms.Fault{Kind: ms.Error, Status: 502, Path: ms.ReportDownload, Count: 1}, fault.Unknown, ""},
		{ms.Fault{Kind: ms.Expired, Path: ms.ReportDownload, Count: 1}, fault.Unknown, ""},
		{ms.Fault{Kind: ms.Expired, Path: ms.MailboxReport, Count: 1}, fault.Unknown, ""},
		{ms.Fault{Kind: ms.Cut, Path: ms.ReportDownload, Count: 1}, fault.Unknown, ""},
		{ms.Fault{Kind: ms.CutChunked, Path: ms.ReportDownload, Count: 1}, fault.Unknown, ""},
	} {
		fired := wires.Fault(t, tn, f.fault)
		_, err := boxes(t.Context(), c.Mailboxes, tn.ID)
		fired()
		if !fault.Is(err, f.kind) || !strings.Contains(fault.Of(err).Remedy, f.remedy) {
			t.Errorf("%s of %s: %v, want %s", f.fault.Kind, f.fault.Path, err, f.kind)
		}
		if err != nil && strings.Contains(err.Error(), "reports-download") {
			t.Errorf("the error tells the URL: %v", err)
		}
	}
	for name, roles := range map[string][]string{"Reports.Read.All": {"User.Read.All"}, "MailboxSettings.Read": {"Reports.Read.All"}} {
		if err := wires.Microsoft.Consent(tn.ID, roles...); err != nil {
			t.Fatal(err)
		}
		var err error
		if c := client(t, nil); name == "Reports.Read.All" {
			_, err = boxes(t.Context(), c.Mailboxes, tn.ID)
		} else {
			_, err = c.MailboxPurposes(t.Context(), connection.Access{Tenant: tn.ID}, []string{tn.People()[0].UserPrincipalName})
		}
		if !fault.Is(err, fault.Denied) || !strings.Contains(fault.Of(err).Remedy, "("+name+")") {
			t.Errorf("without %s: %v, %q", name, err, fault.Of(err).Remedy)
		}
	}
}

const secretPath = "/data/download/JDFKdf2_eJXKS034dbc7e0t__XDe"

// The download's URL is told to nobody: not in an error, and not as referrer.
// It is followed over https only, and not forever.
func TestDownload(t *testing.T) {
	row := "Report Refresh Date,User Principal Name,Is Deleted,Created Date,Last Activity Date,Item Count,Storage Used (Byte),Prohibit Send/Receive Quota (Byte)\n2026-11-19,a@x.example,False,,,1,2,3\n"
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked without TLS") }))
	defer plain.Close()
	hop := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	}
	for name, x := range map[string]struct {
		location string
		routes   map[string]http.HandlerFunc
		ok       bool
		calls    int
	}{
		"directly":         {"BASE" + secretPath, nil, true, 2},
		"three redirects":  {"BASE/1", map[string]http.HandlerFunc{"/1": hop("/2"), "/2": hop("BASE/3"), "/3": hop(secretPath)}, true, 5},
		"four redirects":   {"BASE/0", map[string]http.HandlerFunc{"/0": hop("/1"), "/1": hop("/2"), "/2": hop("/3"), "/3": hop(secretPath)}, false, 5},
		"no https":         {plain.URL + secretPath, nil, false, 1},
		"then no https":    {"BASE/1", map[string]http.HandlerFunc{"/1": hop(plain.URL + secretPath)}, false, 2},
		"no location":      {"", nil, false, 1},
		"then no location": {"BASE/1", map[string]http.HandlerFunc{"/1": hop("")}, false, 5},
		"no URL":           {"https://%zz" + secretPath, nil, false, 1},
		"then no URL":      {"BASE/1", map[string]http.HandlerFunc{"/1": hop("https://%zz" + secretPath)}, false, 2},
		"with a password":  {"https://u:p@x.example" + secretPath, nil, false, 1},
		"nobody there":     {"https://127.0.0.1:1" + secretPath, nil, false, 2},
		"gone":             {"BASE/1", map[string]http.HandlerFunc{"/1": http.NotFound}, false, 2},
		"cut": {"BASE/1", map[string]http.HandlerFunc{"/1": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(w, row)
		}}, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var base string
			c, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				out := &relocated{ResponseWriter: w, base: base}
				if strings.HasPrefix(r.RequestURI, "/v1.0/") {
					if r.RequestURI != "/v1.0/reports/getMailboxUsageDetail(period='D7')" || r.Header.Get("Authorization") != "Bearer secret" {
						t.Errorf("asked %s", r.RequestURI)
					}
					hop(x.location)(out, r)
					return
				}
				if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" {
					t.Errorf("%s is told %v", r.URL.Path, r.Header)
				}
				switch h := x.routes[r.URL.Path]; {
				case h != nil:
					h(out, r)
				case r.URL.Path == secretPath:
					_, _ = io.WriteString(w, row)
				default:
					t.Errorf("asked %s", r.URL.Path)
				}
			})
			base = url
			ctx, count := metered(t)
			got, err := boxes(ctx, c.Mailboxes, "t")
			if x.ok != (err == nil) || x.ok && len(got) != 1 || !x.ok && !fault.Is(err, fault.Unknown) {
				t.Errorf("%d mailboxes, %v", len(got), err)
			}
			if err != nil && (strings.Contains(err.Error(), "download/") || strings.Contains(err.Error(), "/1") || strings.Contains(err.Error(), "example")) {
				t.Errorf("the error tells the URL: %v", err)
			}
			if n, _ := count.Take(); n != x.calls {
				t.Errorf("%d calls counted, want %d", n, x.calls)
			}
		})
	}
}

// relocated puts the server's own address into the Location.
type relocated struct {
	http.ResponseWriter
	base string
}

func (r *relocated) WriteHeader(status int) {
	r.Header().Set("Location", strings.Replace(r.Header().Get("Location"), "BASE", r.base, 1))
	r.ResponseWriter.WriteHeader(status)
}

// Whoever stops waiting for a report gets an answer at once.
func TestDownloadCanceled(t *testing.T) {
	var base string
	ctx, cancel := context.WithCancel(t.Context())
	c, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != secretPath {
			w.Header().Set("Location", base+secretPath)
			w.WriteHeader(http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "Report")
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	})
	base = url
	if _, err := boxes(ctx, c.Mailboxes, "t"); !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unknown) || strings.Contains(err.Error(), "download/") {
		t.Errorf("canceled: %v", err)
	}
}

// What the tenant has bought and given away.
func TestLicenses(t *testing.T) {
	tn := wires.Tenant(t, 1)
	c := client(t, nil)
	used := 14
	if err := tn.SetSKUs([]tenant.SKU{
		{ID: someone, PartNumber: "ENTERPRISEPACK", Enabled: 25, Warning: 3, Suspended: 100, Consumed: &used},
		{ID: another, PartNumber: "CRMSTANDARD", CapabilityStatus: "Suspended", Suspended: 25, Consumed: &used},
	}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Licenses(t.Context(), connection.Access{Tenant: tn.ID})
	want := []directory.License{
		{ID: someone, PartNumber: "ENTERPRISEPACK", Status: "Enabled", Total: 28, Consumed: 14},
		{ID: another, PartNumber: "CRMSTANDARD", Status: "Suspended", Total: 0, Consumed: 14},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, f := range []struct {
		fault ms.Fault
		kind  fault.Kind
	}{{ms.Fault{Kind: ms.Forbidden, Count: 2}, fault.Denied}, {ms.Fault{Kind: ms.Throttle, Count: 1}, fault.Throttled}, {ms.Fault{Kind: ms.Cut, Count: 1}, fault.Unknown}} {
		f.fault.Path = ms.SubscribedSKUs
		fired := wires.Fault(t, tn, f.fault)
		got, err := c.Licenses(t.Context(), connection.Access{Tenant: tn.ID})
		fired()
		if got != nil || !fault.Is(err, f.kind) || (f.kind == fault.Denied) != strings.Contains(fault.Of(err).Remedy, "(LicenseAssignment.Read.All)") {
			t.Errorf("%s: %v, %v", f.fault.Kind, got, err)
		}
	}
}
