package graph

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// Where reports are downloaded from: outside /v1.0, without a token, by whoever
// has the link (documented, "reportRoot: getMailboxUsageDetail").
const downloads = "/reports-download/"

// reportLife is how long a download link works (documented as "a short
// duration (a few minutes)").
const reportLife = 5 * time.Minute

// reportDelay is how old a report is (documented as within 48 hours).
const reportDelay = 48 * time.Hour

// reportLink is what the token of a download link holds.
type reportLink struct {
	Kind   string `json:"k"`
	Tenant string `json:"t"`
	Period int    `json:"d"`
	Bare   bool   `json:"b"` // the report holds nothing but its header
	Until  int64  `json:"u"`
}

const downloadLink = "r"

// periods are the days that a report may cover (documented).
var periods = map[string]int{"D7": 7, "D30": 30, "D90": 90, "D180": 180}

// reportDay is the last day that reports know, which moves at midnight UTC.
func (s *Server) reportDay() time.Time {
	return s.Now().UTC().Add(-reportDelay).Truncate(24 * time.Hour)
}

// reports answers the one report that there is: with a redirect to its
// download. Expired makes the link a dead one, Empty the report one without
// rows.
func (s *Server) reports(c call) wire.Reply {
	if err := c.allow(); err != nil {
		return s.refused(c, err)
	}
	period, ok := strings.CutPrefix(c.PathValue("function"), "getMailboxUsageDetail(period='")
	period, end := strings.CutSuffix(period, "')")
	days := periods[period]
	if !ok || !end || days == 0 {
		return s.fail(c.Request, http.StatusBadRequest, "BadRequest", "Resource not found for the segment '"+c.PathValue("function")+"'.")
	}
	l := reportLink{Kind: downloadLink, Tenant: c.tenant.ID, Period: days, Until: s.Now().Add(reportLife).Unix()}
	if _, hit := s.Gate.Faults.Take(c.tenant.ID, fault.MailboxReport, fault.Expired); hit {
		l.Until = 0
	}
	_, l.Bare = s.Gate.Faults.Take(c.tenant.ID, fault.MailboxReport, fault.Empty)
	return wire.Reply{Status: http.StatusFound, Header: http.Header{
		"Location": {s.Base + downloads + s.sealed(l)}, "Content-Type": {"text/plain"},
	}}
}

// download serves a report to who has the link. A request that carries a
// token is refused: the real download is another company's host as far as
// Graph's token is concerned, and must never see it.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	var l reportLink
	dead := wire.Reply{Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte("The link is not valid or has expired.")}
	if !s.unseal(r.PathValue("token"), &l) || l.Kind != downloadLink || s.Tenants.Get(l.Tenant) == nil {
		s.Gate.Send(w, r, "", "", dead)
		return
	}
	t := s.Tenants.Get(l.Tenant)
	t.Called(fault.ReportDownload)
	send := func(rep wire.Reply) { s.Gate.Send(w, r, t.ID, fault.ReportDownload, rep) }
	if r.Header.Get("Authorization") != "" {
		t.Called(fault.LeakedToken)
		send(s.fail(r, http.StatusBadRequest, "InvalidRequest", "A pre-authenticated download takes no Authorization header."))
		return
	}
	if rep, hit := s.Gate.Before(r, t.ID, "", fault.ReportDownload); hit {
		send(rep)
		return
	}
	if _, hit := s.Gate.Faults.Take(t.ID, fault.ReportDownload, fault.Expired); hit || s.Now().Unix() >= l.Until {
		send(dead)
		return
	}
	if _, hit := s.Gate.Faults.Take(t.ID, fault.ReportDownload, fault.Empty); hit {
		l.Bare = true
	}
	send(wire.Reply{Status: http.StatusOK, Header: http.Header{
		"Content-Type":        {"text/csv"},
		"Content-Disposition": {`attachment; filename="MailboxUsageDetail.csv"`},
	}, Body: s.mailboxUsage(t, l)})
}

// usageHeader is the first row (documented, "reportRoot:
// getMailboxUsageDetail", with the columns that were added later).
var usageHeader = []string{
	"Report Refresh Date", "User Principal Name", "Display Name", "Is Deleted", "Deleted Date", "Created Date", "Last Activity Date",
	"Item Count", "Storage Used (Byte)", "Issue Warning Quota (Byte)", "Prohibit Send Quota (Byte)", "Prohibit Send/Receive Quota (Byte)",
	"Deleted Item Count", "Deleted Item Size (Byte)", "Deleted Item Quota (Byte)", "Has Archive", "Report Period",
}

// byteOrderMark is what the report begins with (third-party reports agree).
const byteOrderMark = "\ufeff"

// mailboxUsage is the report: a row for every active person with a mailbox.
func (s *Server) mailboxUsage(t *tenant.Tenant, l reportLink) []byte {
	var b bytes.Buffer
	b.WriteString(byteOrderMark)
	w := csv.NewWriter(&b)
	_ = w.Write(usageHeader) // memory does not fail, here and below
	day := s.reportDay()
	concealed := t.Concealed()
	date := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.DateOnly)
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for pos, more := 0, !l.Bare; more; {
		var people []tenant.Person
		people, pos, more = t.List(pos, 1000, tenant.Filter{})
		for i := range people {
			p := &people[i]
			m, ok := t.Mailbox(p.ID, day)
			if !ok {
				continue
			}
			upn, name := p.UserPrincipalName, p.DisplayName
			if concealed {
				upn, name = t.Hidden(upn), t.Hidden(name)
			}
			archive := "False"
			if m.Archive {
				archive = "True"
			}
			_ = w.Write([]string{
				date(day), upn, name, "False", "", date(m.Created), date(m.LastActivity),
				number(m.Items), number(m.Used), number(m.Warning), number(m.NoSend), number(m.NoReceive),
				number(m.Deleted), number(m.DeletedUsed), number(m.DeletedQuota), archive, strconv.Itoa(l.Period),
			})
		}
	}
	w.Flush()
	return b.Bytes()
}
