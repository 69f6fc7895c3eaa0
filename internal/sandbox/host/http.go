package host

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// Keys are the host's access keys. An empty key opens nothing.
type Keys struct{ Function, Master string }

// maxAdminBody bounds the body of an admin request, in bytes.
const maxAdminBody = 1 << 20

// serve is the host's front end.
func (h *Host) serve(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer h.listeners.Done()
	path := split(r.URL.EscapedPath())
	if len(path) > 0 && strings.EqualFold(path[0], "admin") {
		h.admin(w, r, path[1:])
		return
	}
	for _, f := range h.app.functions { // the most specific route first
		if f.trigger.kind != httpTrigger || f.disabled || !f.pattern.match(path) || !allows(f.trigger.methods, r.Method) {
			continue // a method that no function takes is 404, too (inferred)
		}
		if !h.authorized(r, f.trigger.level) {
			w.WriteHeader(http.StatusUnauthorized) // (documented)
			return
		}
		h.proxy(w, r, f)
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

// authorized checks the access key, by header or query (documented). The
// master key opens everything; an admin function takes no other.
func (h *Host) authorized(r *http.Request, level string) bool {
	if level == "anonymous" {
		return true
	}
	key := r.Header.Get("X-Functions-Key")
	if key == "" {
		key = r.URL.Query().Get("code")
	}
	master, function := same(key, h.opts.Keys.Master), same(key, h.opts.Keys.Function)
	return master || function && level == "function"
}

// same compares in a time that tells nothing of either.
func same(got, want string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}

// errBroken is why a proxied invocation failed whose answer was not whole.
var errBroken = errors.New("the handler's answer broke off")

// proxy streams a request to the handler as it came: method, path, query with
// any ?code=, headers and body; redirects are the client's to follow
// (source: enableProxyingHttpRequest, YARP's forwarder).
func (h *Host) proxy(w http.ResponseWriter, r *http.Request, f *function) {
	_ = http.NewResponseController(w).EnableFullDuplex() // answers may begin before the body has ended
	done := h.begin(f)
	id, begun := uuid.NewString(), false
	err := h.bounded(r.Context(), func(ctx context.Context, wk *worker) (err error) {
		target, err := url.Parse(wk.url)
		if err != nil {
			return err
		}
		var failed error
		defer func() {
			// This is how the proxy says that the answer broke off after it had begun.
			if p := recover(); p == http.ErrAbortHandler {
				begun, err = true, errBroken
			} else if p != nil {
				panic(p)
			}
		}()
		p := httputil.ReverseProxy{
			Rewrite: func(pr *httputil.ProxyRequest) {
				pr.Out.URL.Scheme, pr.Out.URL.Host = target.Scheme, target.Host
				pr.Out.URL.RawQuery = pr.In.URL.RawQuery
				pr.SetXForwarded() // the platform's front end does so (inferred)
				contractHeaders(pr.Out.Header, id, pr.In.Header.Get("traceparent"))
			},
			Transport:     h.client.Transport,
			FlushInterval: -1,
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
				failed = &url.Error{Op: r.Method, URL: r.URL.Path, Err: err}
			},
		}
		p.ServeHTTP(w, r.WithContext(ctx))
		return failed
	})
	done(err)
	if err != nil {
		h.log.write("Error", "Function."+f.name, "Executed (Failed): "+err.Error())
		if begun { // the client must see that the answer is not whole
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
			return
		}
		status := http.StatusBadGateway // forwarding failed (documented: YARP)
		if errors.Is(err, errTimeout) {
			status = http.StatusGatewayTimeout
		} else if errors.Is(err, errStopped) {
			status = http.StatusServiceUnavailable
		}
		w.WriteHeader(status)
	}
}

// admin runs a function that is not HTTP-triggered: POST
// /admin/functions/{name} with the master key and {"input": "…"} is answered
// 202 at once (documented). Disabled functions can be run, too (documented).
func (h *Host) admin(w http.ResponseWriter, r *http.Request, path []string) {
	if !h.authorized(r, "admin") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if len(path) != 2 || !strings.EqualFold(path[0], "functions") || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f := h.find(path[1])
	if f == nil || f.trigger.kind == httpTrigger {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
	var doc struct {
		Input string `json:"input"`
	}
	if err != nil || len(body) > 0 && json.Unmarshal(body, &doc) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	release := h.busy()     // from the answer on, Idle waits for the run
	h.listeners.Go(func() { // within serve's own share of the group, so never after Close
		defer release()
		if f.trigger.kind == timerTrigger {
			_ = h.fire(h.ctx, f) // logged and counted
			return
		}
		_ = h.run(h.ctx, f, h.inputInvocation(f, doc.Input), "") // logged and counted
	})
	w.WriteHeader(http.StatusAccepted)
}

// inputInvocation is a queue invocation whose message is an admin's input.
func (h *Host) inputInvocation(f *function, input string) invocation {
	meta := map[string]any{"sys": h.sys(f, h.now())}
	data := h.opts.Quoting.text(input)
	if f.trigger.binary {
		data = encode([]byte(input))
	} else {
		spread(input, meta)
	}
	return invocation{Data: map[string]any{f.trigger.name: data}, Metadata: wire(meta)}
}
