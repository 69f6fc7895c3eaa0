package graph

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// The header as Microsoft documents it, and two rows.
const (
	head  = "Report Refresh Date,User Principal Name,Display Name,Is Deleted,Deleted Date,Created Date,Last Activity Date,Item Count,Storage Used (Byte),Issue Warning Quota (Byte),Prohibit Send Quota (Byte),Prohibit Send/Receive Quota (Byte),Deleted Item Count,Deleted Item Size (Byte),Deleted Item Quota (Byte),Has Archive,Report Period"
	alice = `2026-11-19,Alice@x.example,"Liddell, ""Alice""",False,,2020-01-02,2026-11-18,12,3456,1,2,107374182400,0,0,0,True,7`
	bob   = `2026-11-19,bob@x.example,Bob,False,,2021-01-02,,0,0,1,2,,0,0,0,False,7`
	gone  = `2026-11-19,carol@x.example,Carol,True,2026-11-01,2021-01-02,,0,0,1,2,3,0,0,0,False,7`
)

func report(rows ...string) string {
	return head + "\r\n" + strings.Join(append(rows, ""), "\r\n")
}

// read returns all mailboxes of a report and its date.
func read(r io.Reader) (all []directory.Mailbox, refreshed string, err error) {
	err = readReport(r, func(date string, page []directory.Mailbox) (bool, error) {
		refreshed = date
		all = append(all, page...)
		return true, nil
	})
	return all, refreshed, err
}

var (
	aliceBox = directory.Mailbox{ID: directory.MailboxID("alice@x.example"), UserPrincipalName: "Alice@x.example", CreatedDate: "2020-01-02", LastActivity: "2026-11-18", Items: 12, Size: 3456, Quota: 107374182400, HasArchive: true}
	bobBox   = directory.Mailbox{ID: directory.MailboxID("bob@x.example"), UserPrincipalName: "bob@x.example", CreatedDate: "2021-01-02"}
)

func TestReport(t *testing.T) {
	for name, text := range map[string]string{
		"plain":              report(alice, bob, gone),
		"byte order mark":    "\ufeff" + report(alice, bob),
		"bare newlines":      strings.ReplaceAll(report(alice, bob), "\r", ""),
		"no end of line":     strings.TrimSpace(report(alice, bob)),
		"a column more":      "New," + strings.ReplaceAll(report(alice, bob), "\n2026", "\nx,2026"),
		"another order":      "User Principal Name,Prohibit Send/Receive Quota (Byte),Has Archive,Storage Used (Byte),Item Count,Last Activity Date,Created Date,Is Deleted,Report Refresh Date\nAlice@x.example,107374182400,true,3456,12,2026-11-18,2020-01-02,FALSE,2026-11-19\nbob@x.example,,,0,0,,2021-01-02,false,2026-11-19\n",
		"one byte at a time": "",
	} {
		r := io.Reader(strings.NewReader(text))
		if text == "" {
			r = iotest.OneByteReader(strings.NewReader("\ufeff" + report(alice, bob)))
		}
		all, refreshed, err := read(r)
		if err != nil || refreshed != "2026-11-19" || !reflect.DeepEqual(all, []directory.Mailbox{aliceBox, bobBox}) {
			t.Errorf("%s: %+v of %q, %v", name, all, refreshed, err)
		}
	}
	if all, _, err := read(strings.NewReader(report())); err != nil || all != nil {
		t.Errorf("no rows: %v, %v", all, err)
	}
}

// What is not a whole report is an error, which does not tell what is in it.
func TestReportRefused(t *testing.T) {
	long := strings.Repeat("x", maxRow)
	for name, c := range map[string]struct {
		text string
		kind fault.Kind
	}{
		"nothing":           {"", fault.Unknown},
		"a page of HTML":    {"<html>Sign in</html>", fault.Invalid},
		"a missing column":  {strings.Replace(report(alice), "Item Count", "Items", 1), fault.Invalid},
		"a column twice":    {strings.Replace(report(alice), "Display Name", "Item Count", 1), fault.Invalid},
		"cut in a row":      {report(alice, bob[:30]), fault.Unknown},
		"cut in quotes":     {report(alice) + alice[:40], fault.Unknown},
		"cut before 7":      {report(alice) + strings.TrimSuffix(bob, "7"), fault.Unknown},
		"a cell more":       {report(alice + ",x"), fault.Unknown},
		"no number":         {report(strings.Replace(alice, ",12,", ",twelve,", 1)), fault.Unknown},
		"a negative number": {report(strings.Replace(alice, ",12,", ",-12,", 1)), fault.Unknown},
		"an empty number":   {report(strings.Replace(alice, ",12,", ",,", 1)), fault.Unknown},
		"no date":           {report(strings.Replace(alice, "2020-01-02", "yesterday", 1)), fault.Unknown},
		"no 31st":           {report(strings.Replace(alice, "2020-01-02", "2020-02-31", 1)), fault.Unknown},
		"no refresh date":   {report(strings.Replace(alice, "2026-11-19", "", 1)), fault.Unknown},
		"no truth":          {report(strings.Replace(alice, ",False,", ",maybe,", 1)), fault.Unknown},
		"no name":           {report(strings.Replace(alice, "Alice@x.example", "", 1)), fault.Unknown},
		"a bare quote":      {report(strings.Replace(bob, "Bob", `Bo"b`, 1)), fault.Unknown},
		"a long cell":       {report(strings.Replace(bob, "Bob", long, 1)), fault.Unknown},
		"an endless cell":   {report(strings.Replace(bob, "Bob", `"`+strings.Repeat(long, 4), 1)), fault.Unknown},
		"an endless header": {strings.Repeat(long, 4), fault.Unknown},
	} {
		_, _, err := read(strings.NewReader(c.text))
		if !fault.Is(err, c.kind) || (c.kind == fault.Invalid) != (fault.Of(err).Remedy != "") {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
			continue
		}
		for _, secret := range []string{"example", "twelve", "maybe", "yesterday", "xxxxx"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells %q", name, secret)
			}
		}
	}
	if _, _, err := read(io.MultiReader(strings.NewReader(report(alice)), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) || !fault.Is(err, fault.Unknown) {
		t.Errorf("cut between rows: %v", err)
	}
}

// The whole report is bounded too, to the byte.
func TestReportBounded(t *testing.T) {
	for over, fits := range map[int64]bool{0: true, 1: false} {
		g := &gauge{r: strings.NewReader("0123456789"), read: maxReport - 10 + over, start: maxReport}
		b, err := io.ReadAll(g)
		if fits != (err == nil) || fits && len(b) != 10 || !fits && !fault.Is(err, fault.Unknown) {
			t.Errorf("%d bytes above: %d read, %v", over, len(b), err)
		}
	}
}

// Pages come while the report is read, and stop when no more is wanted.
func TestReportPages(t *testing.T) {
	var rows []string
	for i := range 1201 {
		rows = append(rows, strings.Replace(bob, "bob@", fmt.Sprintf("bob%d@", i), 1))
		if i%100 == 0 {
			rows = append(rows, gone)
		}
	}
	text := report(rows...)
	var sizes []int
	pages := func(limit int, fail error) error {
		sizes = nil
		return readReport(strings.NewReader(text), func(_ string, page []directory.Mailbox) (bool, error) {
			sizes = append(sizes, len(page))
			return len(sizes) < limit, fail
		})
	}
	if err := pages(9, nil); err != nil || !reflect.DeepEqual(sizes, []int{500, 500, 201}) {
		t.Errorf("pages %v, %v", sizes, err)
	}
	if err := pages(1, nil); err != nil || len(sizes) != 1 {
		t.Errorf("one page: %v, %v", sizes, err)
	}
	stop := fault.New(fault.Conflict, "stop")
	if err := pages(9, stop); !errors.Is(err, stop) || len(sizes) != 1 {
		t.Errorf("stopped: %v, %v", sizes, err)
	}
	text = strings.TrimSuffix(text, "7\r\n")
	if err := pages(9, nil); !fault.Is(err, fault.Unknown) {
		t.Errorf("cut at the end: %v", err)
	}
}

// Concealed names are a setting that somebody can change, not mailboxes.
func TestConcealed(t *testing.T) {
	hash := func(i int) string {
		return strings.Replace(bob, "bob@x.example", fmt.Sprintf("%032X", i), 1)
	}
	var many []string
	for i := range 700 {
		many = append(many, hash(i))
	}
	for name, rows := range map[string][]string{
		"one": {hash(1)}, "many": many, "with a deleted one": {strings.Replace(hash(1), "False", "True", 1), hash(2)}, "deleted only": {strings.Replace(hash(1), "False", "True", 1)},
	} {
		all, _, err := read(strings.NewReader(report(rows...)))
		if e := fault.Of(err); all != nil || e == nil || e.Kind != fault.Denied || e.Code != "concealed_names" || !strings.Contains(e.Remedy, "Microsoft 365 admin center") {
			t.Errorf("%s: %d mailboxes, %v", name, len(all), err)
		}
	}
	for name, rows := range map[string][]string{"one true name": {hash(1), alice}, "short": {strings.Replace(bob, "bob@x.example", "00ff", 1)}} {
		if all, _, err := read(strings.NewReader(report(rows...))); err != nil || len(all) != len(rows) {
			t.Errorf("%s: %d mailboxes, %v", name, len(all), err)
		}
	}
}
