package tables

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"rollcall/internal/fault"
)

// refusal is why a transaction was refused, with nothing of its rows. aztables
// would tell of a ResponseError with status 202 and no code, made of the outer
// response; the reason is in the multipart body.
type refusal struct {
	status int
	code   string
}

func (r *refusal) Error() string { return fmt.Sprintf("transaction refused: %d %s", r.status, r.code) }

// outcome reads the answer to a transaction of n operations: the new version
// of the first row, or a *refusal. An answer that tells neither is an error of
// another kind.
func outcome(answer []byte, contentType string, n int) (etag string, err error) {
	etag, answered, done := accepted(answer)
	if done && answered == n {
		return etag, nil
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err == nil {
		for _, r := range parseInner(answer, params["boundary"]) {
			if r.StatusCode >= 400 {
				return "", refused(r)
			}
		}
	}
	return "", fault.New(fault.Unknown, "the answer to a transaction of %d operations, %d bytes, tells no outcome", n, len(answer))
}

// refused reads the reason from the answer to one operation.
func refused(r *http.Response) *refusal {
	var body struct {
		Error struct {
			Code string `json:"code"`
		} `json:"odata.error"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body) // without a readable body the status must do
	return &refusal{r.StatusCode, body.Error.Code}
}

// accepted counts the operations that an answer says were done, and takes the
// version of the first; done is false if any was not. Of the lines it needs to
// know only these two: no value of a header holds a line, and neither does the
// body of an operation that was done, which has none.
func accepted(answer []byte) (etag string, n int, done bool) {
	for rest := answer; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case bytes.HasPrefix(line, []byte("HTTP/1.1 ")):
			if n++; len(line) < len("HTTP/1.1 200") || line[len("HTTP/1.1 ")] != '2' {
				return "", n, false
			}
		case n == 1 && len(line) > len("etag:") && strings.EqualFold(string(line[:len("etag:")]), "etag:"):
			etag = string(bytes.TrimSpace(line[len("etag:"):]))
		}
	}
	return etag, n, true
}

// parseInner reads the answers in a transaction's multipart body, as far as it
// can be read.
func parseInner(body []byte, boundary string) []*http.Response {
	if boundary == "" {
		return nil
	}
	outer, err := multipart.NewReader(bytes.NewReader(body), boundary).NextPart()
	if err != nil {
		return nil
	}
	_, params, err := mime.ParseMediaType(outer.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil
	}
	var inner []*http.Response
	for mr := multipart.NewReader(outer, params["boundary"]); ; {
		part, err := mr.NextPart()
		if err != nil {
			return inner
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return inner
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			return inner
		}
		inner = append(inner, r)
	}
}
