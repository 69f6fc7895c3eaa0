package tables

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"rollcall/internal/fault"
)

// innerError finds the reason of a failed transaction. aztables reports it as
// a ResponseError with status 202 and no code, made of the outer response;
// the reason is in the multipart body.
func innerError(resp *http.Response, err error) (error, bool) {
	if err == nil || resp == nil || resp.StatusCode != http.StatusAccepted {
		return nil, false
	}
	status, code := innerFailure(resp)
	if status == 0 {
		return nil, false
	}
	return classifyStatus(status, code, nil, fault.New(fault.Unknown, "transaction refused: %d %s", status, code).Err), true
}

func innerCode(resp *http.Response) string {
	_, code := innerFailure(resp)
	return code
}

func innerFailure(resp *http.Response) (status int, code string) {
	for _, r := range innerResponses(resp) {
		if r.StatusCode < 400 {
			continue
		}
		var body struct {
			Error struct {
				Code string `json:"code"`
			} `json:"odata.error"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body) // without a readable body the status must do
		return r.StatusCode, body.Error.Code
	}
	return 0, ""
}

// fenceETag is the new version of the first row of a successful transaction.
func fenceETag(resp *http.Response) string {
	if inner := innerResponses(resp); len(inner) > 0 && inner[0].StatusCode < 300 {
		return inner[0].Header.Get("ETag")
	}
	return ""
}

// innerResponses reads the answers in a transaction's multipart body, as far
// as it can be read.
func innerResponses(resp *http.Response) []*http.Response {
	if resp == nil {
		return nil
	}
	body, err := runtime.Payload(resp) // the SDK has buffered it
	if err != nil {
		return nil
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return nil
	}
	return parseInner(body, params["boundary"])
}

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
