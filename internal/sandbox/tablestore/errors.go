package tablestore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// storageError is a refusal in the service's own form. Codes and texts are
// those of "Table Storage error codes" and "Common REST API error codes"
// (documented) unless marked where they are made.
type storageError struct {
	status  int
	code    string
	message string
	inner   bool // answered inside a transaction's multipart response
}

func bad(code, format string, args ...any) *storageError {
	return &storageError{http.StatusBadRequest, code, fmt.Sprintf(format, args...), false}
}

// at makes the error that of a transaction's operation i, which the service
// tells by a prefix of the message ("Performing entity group transactions", sample error response (documented)).
func (e *storageError) at(i int) *storageError {
	return &storageError{e.status, e.code, fmt.Sprintf("%d:%s", i, e.message), true}
}

const jsonType = "application/json;odata=minimalmetadata;streaming=true;charset=utf-8"

func (e *storageError) answer() *answer {
	id := uuid.NewString()
	body, _ := json.Marshal(map[string]any{"odata.error": map[string]any{ // strings only
		"code": e.code,
		"message": map[string]string{
			"lang":  "en-US",
			"value": fmt.Sprintf("%s\nRequestId:%s\nTime:%s", e.message, id, time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z")),
		},
	}})
	h := http.Header{"X-Ms-Request-Id": {id}, "X-Ms-Version": {"2019-02-02"}}
	if !e.inner {
		h.Set("Content-Type", jsonType)
		h.Set("X-Ms-Error-Code", e.code)
		return &answer{e.status, h, body}
	}
	// A failed transaction is 202 outside and 4xx inside (documented, as above).
	part := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nX-Content-Type-Options: nosniff\r\nDataServiceVersion: 3.0;\r\nContent-Type: %s\r\n\r\n%s\r\n",
		e.status, http.StatusText(e.status), jsonType, body)
	return changeSet(h, [][]byte{part})
}

const partHead = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"

// changeSet is a transaction's answer, of the answers of its operations.
func changeSet(h http.Header, parts [][]byte) *answer {
	batch, changes := "batchresponse_"+uuid.NewString(), "changesetresponse_"+uuid.NewString()
	size := 512
	for _, p := range parts {
		size += len(p) + len(changes) + len(partHead) + 8
	}
	b := make([]byte, 0, size)
	b = append(append(append(b, "--"...), batch...), "\r\nContent-Type: multipart/mixed; boundary="...)
	b = append(append(b, changes...), "\r\n\r\n"...)
	for _, p := range parts {
		b = append(append(append(b, "--"...), changes...), "\r\n"+partHead...)
		b = append(append(b, p...), "\r\n"...)
	}
	b = append(append(append(b, "--"...), changes...), "--\r\n--"...)
	b = append(append(b, batch...), "--\r\n"...)
	h.Set("Content-Type", "multipart/mixed; boundary="+batch)
	return &answer{http.StatusAccepted, h, b}
}

// Error is what a log shows.
func (e *storageError) Error() string { return e.code + ": " + e.message }
