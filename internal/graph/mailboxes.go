package graph

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// reportTimeout bounds the download with all that the caller does with it:
	// the URL is good for minutes, and a slice is no longer.
	reportTimeout = 4 * time.Minute
	// maxRedirects bounds how often the download may lead on.
	maxRedirects = 3
)

// Mailboxes reads the mailbox usage report of the last seven days and hands it
// on in pages of at most 500, with the date that it is of, until each wants no
// more. Deleted mailboxes are left out. A report whose names the customer's
// administrator conceals is [fault.Denied], code "concealed_names". Pages that
// came before an error are no whole report: who is not on them is not missing.
func (c *Client) Mailboxes(ctx context.Context, tenant connection.Access, each func(refreshed string, page []directory.Mailbox) (more bool, err error)) (err error) {
	defer fault.Wrap(&err, "graph: mailbox usage of tenant %s", tenant)
	location, err := c.reportURL(ctx, tenant)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	body, err := c.download(ctx, location)
	if err != nil {
		return err
	}
	defer body.Close()
	err = readReport(quiet{ctx, body}, each)
	if err != nil && ctx.Err() != nil { // whatever was wrong with what came
		return fault.New(fault.Unknown, "report: %w", ctx.Err())
	}
	return err
}

// reportURL asks where the report is. The answer is a redirect to another
// host, with a URL that is itself the permission to read: it gets no token,
// and must not be told to anybody. Source: Microsoft Graph documentation,
// "reportRoot: getMailboxUsageDetail".
func (c *Client) reportURL(ctx context.Context, tenant connection.Access) (string, error) {
	var seen answer
	defer seen.count(ctx)
	q := call{link: c.base + "/reports/getMailboxUsageDetail(period='D7')", needs: "Reports.Read.All"}
	err := c.exchange(ctx, tenant, q, &seen, func([]byte) error { return nil })
	if seen.status == http.StatusFound {
		return seen.header.Get("Location"), nil
	}
	if err == nil {
		err = fault.New(fault.Unknown, "status %d instead of a redirect", seen.status)
	}
	return "", err
}

// download gets what is at the URL, without any token. It follows redirects by
// itself, since net/http would tell the URL in its errors and as the referrer.
func (c *Client) download(ctx context.Context, location string) (io.ReadCloser, error) {
	var at *url.URL
	for range 1 + maxRedirects {
		to, err := url.Parse(location)
		if err == nil && at != nil {
			to = at.ResolveReference(to)
		}
		if err != nil || to.Scheme != "https" || to.Host == "" || to.User != nil {
			return nil, fault.New(fault.Unknown, "report is not at an https URL")
		}
		at = to
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, fault.New(fault.Unknown, "report is not at a URL that can be asked")
		}
		job.Count(ctx, 0)
		resp, err := c.plain.RoundTrip(req)
		if err != nil {
			return nil, discreet(ctx, "download of the report", err)
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body, nil
		}
		_ = resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			location = resp.Header.Get("Location")
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			return nil, judge(resp.StatusCode, resp.Header, "", "")
		default: // the next try gets a new URL
			return nil, fault.New(fault.Unknown, "download of the report: status %d", resp.StatusCode)
		}
	}
	return nil, fault.New(fault.Unknown, "report is more than %d redirects away", maxRedirects)
}

// quiet is a body whose errors do not tell where it came from.
type quiet struct {
	ctx context.Context
	io.Reader
}

func (q quiet) Read(p []byte) (int, error) {
	n, err := q.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = discreet(q.ctx, "report is cut", err)
	}
	return n, err
}

// discreet is an error that keeps the cause of a transport's error, but not
// its text, which may hold the URL.
func discreet(ctx context.Context, what string, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Unknown, "%s: %w", what, ctx.Err())
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Unknown, "%s: %w", what, io.ErrUnexpectedEOF)
	case errors.As(err, &op):
		return fault.New(fault.Unknown, "%s: %s: %w", what, op.Op, op.Err)
	default:
		return fault.New(fault.Unknown, "%s: %T", what, err)
	}
}
