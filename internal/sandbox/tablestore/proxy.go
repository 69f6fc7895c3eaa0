package tablestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// maxBody is the most bytes of a request. Azure Tables, "Performing entity
// group transactions" (documented): a payload of at most 4 MiB.
const maxBody = 4 << 20

// pieces are what bodies are read by.
var pieces = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// readBody reads a body of up to maxBody+1 bytes.
func readBody(r *http.Request) (string, error) {
	if r.ContentLength == 0 {
		return "", nil
	}
	piece := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(piece)
	var b strings.Builder
	b.Grow(int(min(max(r.ContentLength, 0), maxBody+1)))
	_, err := io.CopyBuffer(&b, io.LimitReader(r.Body, maxBody+1), piece[:])
	return b.String(), err
}

// call is a request that the store is to do.
type call struct {
	*http.Request
	q      *request
	target string // the request URI
	body   string
	token  string
}

// backend keeps what was let through: Azurite or the process's memory.
type backend interface {
	// do answers a call. An error is no answer.
	do(ctx context.Context, c call) (*answer, error)
	// client goes to the store itself.
	client() (*aztables.ServiceClient, error)
	// stop ends the store and drops what it holds.
	stop()
}

// serve judges one request, has the store do it, and counts it once it is answered.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		cut(w) // the client broke off: there is nobody to answer
		return
	}
	token, refused := s.authenticate(r)
	if refused == nil {
		if f, ok := s.nextFailure(); ok {
			refused = &storageError{f.status, f.code, "This error was injected by the sandbox.", false}
		}
	}
	if refused == nil && len(body) > maxBody {
		refused = &storageError{http.StatusRequestEntityTooLarge, "RequestBodyTooLarge",
			"The request body is too large and exceeds the maximum permissible limit.", false}
	}
	var q *request
	if refused == nil {
		if q, refused = parseRequest(r, body); refused == nil && q.kind == createTable && s.beingDeleted(q.table) {
			refused = &storageError{http.StatusConflict, "TableBeingDeleted", "The specified table is being deleted.", false}
		}
	}
	if refused != nil {
		s.refuse(w, r, refused)
		return
	}
	if !q.write() {
		s.read(w, r, q, body, token)
		return
	}
	s.write(w, r, q, body, token)
}

// authenticate returns the token to forward. Where Authorize has judged the
// client's token the store sees the proxy's own, since Azurite knows no
// issuer but Microsoft's.
func (s *Server) authenticate(r *http.Request) (string, *storageError) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		// "Authorize with Microsoft Entra ID", bearer challenge (documented).
		return "", &storageError{http.StatusUnauthorized, "NoAuthenticationInformation",
			"Server failed to authenticate the request. Please refer to the information in the www-authenticate header.", false}
	}
	if s.opts.Authorize == nil {
		return token, nil // the store judges it
	}
	if err := s.opts.Authorize(token); err != nil {
		// The status is the documented one of InvalidAuthenticationInfo; that a
		// well-formed but unacceptable token gets it is (inferred).
		return "", &storageError{http.StatusUnauthorized, "InvalidAuthenticationInfo",
			"Server failed to authenticate the request: " + err.Error(), false}
	}
	return s.token, nil
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, q *request, body, token string) {
	s.mu.Lock()
	empty := s.empty
	s.mu.Unlock()
	target := r.URL.RequestURI()
	if q.kind == queryEntities {
		page, rest := continuation(r.URL, empty)
		if page != nil {
			s.counted(q)
			page.write(w)
			return
		}
		target = rest
	}
	a, err := s.store.do(r.Context(), call{r, q, target, body, token})
	if err != nil {
		cut(w)
		return
	}
	if a.status < 400 {
		s.counted(q)
	}
	a.write(w)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, q *request, body, token string) {
	before, after := s.hooks()
	if before != nil || after != nil {
		s.gate.Lock()
		defer s.gate.Unlock()
		if r.Context().Err() != nil {
			return // its client ended while it waited: it never reached the service
		}
		before, after = s.hooks()
	}
	if before != nil {
		if err := before(s.Writes()+1, q.table); err != nil {
			cut(w)
			return
		}
	}
	// Once forwarded it is committed or not, whether or not its client still listens.
	a, err := s.store.do(context.WithoutCancel(r.Context()), call{r, q, r.URL.RequestURI(), body, token})
	if err != nil {
		cut(w)
		return
	}
	if a.committed(q) {
		if n := s.counted(q); after != nil && after(n, q.table) == Cut {
			cut(w)
			return
		}
	}
	a.write(w)
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// committed says whether a write's answer is a success. A failed transaction
// is answered 202 with the failure inside.
func (a *answer) committed(q *request) bool {
	if a.status >= 300 {
		return false
	}
	if q.kind != transaction {
		return true
	}
	return !bytes.Contains(a.body, []byte("\nHTTP/1.1 4")) && !bytes.Contains(a.body, []byte("\nHTTP/1.1 5"))
}

func (a *answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that has gone needs no answer
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *storageError) {
	fmt.Fprintf(s.log, "tablestore: refused %s %s: %d %s: %s\n", r.Method, r.URL.Path, e.status, e.code, e.message)
	a := e.answer()
	if e.status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize resource_id=https://storage.azure.com")
	}
	a.write(w)
}

// cut closes the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}
