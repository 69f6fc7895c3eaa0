// Package floor is the least that a sync can do: read, inflate, hash, and post
// as many bytes. It understands nothing, so no side can be cheaper.
package floor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/gzip"

	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Read is what to read: the chain that begins at Link.
type Read struct {
	Servers wires.Servers
	Link    string
	Units   int
	// Posts and Bytes are what to post on the way, in equal parts after the pages.
	Posts int
	Bytes int64
	Pages int
}

// Tasks are the floor's.
var Tasks = map[string]side.Prepare{"floor": side.Arg(read)}

func read(a Read) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	t.DisableCompression = true // it would inflate with the slower library
	client := &http.Client{Transport: t}
	var payload []byte
	if a.Posts > 0 {
		payload = bytes.Repeat([]byte("x"), int(a.Bytes/int64(a.Posts)))
	}
	return func() (side.Outcome, error) {
		defer t.CloseIdleConnections()
		r := reader{client: client, body: make([]byte, 0, 4<<20)}
		posted := 0
		for link, n := a.Link, 1; link != ""; n++ {
			next, err := r.page(link)
			if err != nil {
				return side.Outcome{}, err
			}
			for a.Posts > 0 && posted < a.Posts*n/max(a.Pages, 1) && posted < a.Posts {
				if err := r.post(a.Servers.Sink, payload); err != nil {
					return side.Outcome{}, err
				}
				posted++
			}
			link = next
		}
		return side.Outcome{Units: a.Units, Values: map[string]float64{"hash": float64(r.hash.Sum64() >> 11), "posts": float64(posted)}}, nil
	}, nil
}

type reader struct {
	client *http.Client
	zip    gzip.Reader
	body   []byte
	hash   xxhash.Digest
}

// page reads one page and returns where its nextLink leads, which is among its
// last bytes.
func (r *reader) page(link string) (next string, err error) {
	req, err := http.NewRequest(http.MethodGet, link, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := r.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", link, resp.Status)
	}
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if err := r.zip.Reset(resp.Body); err != nil {
			return "", err
		}
		body = &r.zip
	}
	b := r.body[:0]
	for {
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
	r.body = b
	_, _ = r.hash.Write(b) // cannot fail
	tail := b[max(0, len(b)-2048):]
	const mark = `"@odata.nextLink":"`
	if i := bytes.LastIndex(tail, []byte(mark)); i >= 0 {
		tail = tail[i+len(mark):]
		return string(tail[:bytes.IndexByte(tail, '"')]), nil
	}
	return "", nil
}

func (r *reader) post(link string, payload []byte) error {
	resp, err := r.client.Post(link, "application/octet-stream", bytes.NewReader(payload))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
