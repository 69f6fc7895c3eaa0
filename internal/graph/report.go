package graph

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

const (
	// maxRow and maxReport bound the report in bytes. A row has about 250; the
	// largest tenants have a million mailboxes.
	maxRow    = 64 << 10
	maxReport = 512 << 20
	// mailboxPage is how many mailboxes are handed on at once.
	mailboxPage = 500
)

// The columns that are read, by the names that Microsoft gives them. Source:
// Microsoft Graph documentation, "reportRoot: getMailboxUsageDetail".
const (
	colRefreshed = "Report Refresh Date"
	colName      = "User Principal Name"
	colDeleted   = "Is Deleted"
	colCreated   = "Created Date"
	colActivity  = "Last Activity Date"
	colItems     = "Item Count"
	colSize      = "Storage Used (Byte)"
	colQuota     = "Prohibit Send/Receive Quota (Byte)"
	colArchive   = "Has Archive"   // not in reports before 2023
	colPeriod    = "Report Period" // the last one: what it holds shows whether a row is cut
)

var needed = []string{colRefreshed, colName, colDeleted, colCreated, colActivity, colItems, colSize, colQuota}

// readReport reads the report row by row; see [Client.Mailboxes].
func readReport(r io.Reader, each func(refreshed string, page []directory.Mailbox) (bool, error)) error {
	m := &gauge{r: r}
	rows := csv.NewReader(withoutBOM(m))
	rows.ReuseRecord = true
	columns, err := header(rows)
	if err != nil {
		return err
	}
	var (
		refreshed string
		page      []directory.Mailbox
		names     concealment
	)
	flush := func() (more bool, err error) {
		if err := names.judge(); err != nil || len(page) == 0 {
			return err == nil, err
		}
		more, err = each(refreshed, page)
		page = nil
		return more, err
	}
	for {
		m.start = rows.InputOffset()
		cells, err := rows.Read()
		if err == io.EOF {
			_, err := flush()
			return err
		}
		if err != nil {
			return unreadable(err)
		}
		if rows.InputOffset()-m.start > maxRow {
			return fault.New(fault.Unknown, "report with a row above %d bytes", maxRow)
		}
		row := row{cells: cells, columns: columns}
		mailbox, date, deleted := row.mailbox()
		if row.err != nil {
			return row.err
		}
		if refreshed == "" {
			refreshed = date
		}
		names.see(mailbox.UserPrincipalName)
		if deleted {
			continue
		}
		if page = append(page, mailbox); len(page) == mailboxPage {
			if more, err := flush(); err != nil || !more {
				return err
			}
		}
	}
}

// header maps the names of the columns to their places.
func header(rows *csv.Reader) (map[string]int, error) {
	cells, err := rows.Read()
	if err == io.EOF {
		return nil, fault.New(fault.Unknown, "report without a header")
	}
	if err != nil {
		return nil, unreadable(err)
	}
	columns := make(map[string]int, len(cells))
	for i, name := range cells {
		name = strings.TrimSpace(name)
		if _, twice := columns[name]; twice {
			return nil, strange("column %.60q comes twice", name)
		}
		columns[strings.Clone(name)] = i
	}
	for _, name := range needed {
		if _, ok := columns[name]; !ok {
			return nil, strange("there is no column %q", name)
		}
	}
	return columns, nil
}

// strange is a report of a form that is not Microsoft's today.
func strange(format string, args ...any) error {
	return fault.New(fault.Invalid, "report: "+format, args...).
		WithRemedy("Microsoft's mailbox usage report has changed its form. Please report this with the run's ID.")
}

// unreadable is Unknown: the next download may be whole. What it holds is not
// told.
func unreadable(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		return fault.New(fault.Unknown, "report: line %d: %w", pe.StartLine, pe.Err)
	}
	return fault.New(fault.Unknown, "report: %w", err)
}

// row is one row of the report; the first cell that cannot be read is its
// error.
type row struct {
	cells   []string
	columns map[string]int
	err     error
}

func (r *row) fail(column, want string) {
	if r.err == nil { // the cell's text may be a name
		r.err = fault.New(fault.Unknown, "report: %q: want %s", column, want)
	}
}

func (r *row) text(column string) string {
	if i, ok := r.columns[column]; ok {
		return strings.Clone(strings.TrimSpace(r.cells[i])) // else the whole row stays in memory
	}
	return ""
}

// date is a day such as 2026-11-20, or empty.
func (r *row) date(column string) string {
	s := r.text(column)
	if s == "" {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		r.fail(column, "a date")
	}
	return s
}

func (r *row) number(column string) int64 {
	n, err := strconv.ParseInt(r.text(column), 10, 64)
	if err != nil || n < 0 {
		r.fail(column, "a number")
	}
	return n
}

func (r *row) truth(column string) bool {
	s := r.text(column)
	if !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false") {
		r.fail(column, "True or False")
	}
	return strings.EqualFold(s, "true")
}

// mailbox is what the row tells. Of a deleted one it reads no more than that.
func (r *row) mailbox() (m directory.Mailbox, refreshed string, deleted bool) {
	if refreshed = r.date(colRefreshed); refreshed == "" {
		r.fail(colRefreshed, "a date")
	}
	if _, ok := r.columns[colPeriod]; ok && r.text(colPeriod) != "7" {
		r.fail(colPeriod, "7")
	}
	m.UserPrincipalName = r.text(colName)
	if deleted = r.truth(colDeleted); deleted {
		return m, refreshed, true
	}
	if m.UserPrincipalName == "" {
		r.fail(colName, "a name")
	}
	m.ID = directory.MailboxID(m.UserPrincipalName)
	m.CreatedDate = r.date(colCreated)
	m.LastActivity = r.date(colActivity)
	m.Items = r.number(colItems)
	m.Size = r.number(colSize)
	if r.text(colQuota) != "" { // empty: none
		m.Quota = r.number(colQuota)
	}
	if r.text(colArchive) != "" {
		m.HasArchive = r.truth(colArchive)
	}
	return m, refreshed, false
}

// concealment finds out whether the names are concealed. It is a setting of
// the whole tenant, so the names of the first page tell, and one true name
// clears the report.
type concealment struct{ hashes, others int }

func (c *concealment) see(name string) {
	if len(name) == 32 && strings.Trim(strings.ToLower(name), "0123456789abcdef") == "" {
		c.hashes++
	} else if name != "" {
		c.others++
	}
}

func (c *concealment) judge() error {
	if c.hashes == 0 || c.others > 0 {
		return nil
	}
	return fault.New(fault.Denied, "the report conceals names").WithCode("concealed_names").
		WithRemedy("The customer's reports conceal the names of people, so mailboxes cannot be told apart. In the Microsoft 365 admin center, under Settings, Org settings, Reports, an administrator can switch off \"Display concealed user, group, and site names in all reports\".")
}

// gauge bounds what a row and the whole report may take. The row's bound is
// loose by what the readers above it keep, and exact once the row is read.
type gauge struct {
	r           io.Reader
	read, start int64 // bytes so far, and where the row begins
}

func (m *gauge) Read(p []byte) (int, error) {
	const kept = 16 << 10
	if m.read-m.start > maxRow+kept {
		return 0, fault.New(fault.Unknown, "report with a row above %d bytes", maxRow)
	}
	n, err := m.r.Read(p)
	if m.read += int64(n); m.read > maxReport {
		return 0, fault.New(fault.Unknown, "report above %d bytes", maxReport)
	}
	return n, err
}

// withoutBOM skips the byte order mark that Microsoft's reports begin with.
func withoutBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = b.Discard(3)
	}
	return b
}
