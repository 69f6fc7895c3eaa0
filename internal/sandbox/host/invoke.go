package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// hostVersion is what the stand-in calls itself; the contract's headers have it.
const hostVersion = "4.1052.0"

// EmptyBody says what a 2xx answer without a result does to an invocation.
type EmptyBody int

const (
	// EmptyBodyHang leaves it unfinished until functionTimeout: the null result
	// is never set (inferred from the source).
	EmptyBodyHang EmptyBody = iota
	// EmptyBodySucceed counts it as success, in case the inference is wrong.
	EmptyBodySucceed
)

// deathNotice is how long after a broken connection a worker's death may be noticed.
const deathNotice = time.Second

// errTimeout is why an invocation ended that outlived functionTimeout.
var errTimeout = errors.New("timeout value was exceeded by function")

// result is what a function answers (documented).
type result struct {
	Outputs     map[string]any
	Logs        []string
	ReturnValue any
}

// run does one invocation of a function by the POST contract and records it.
func (h *Host) run(ctx context.Context, f *function, inv invocation, traceparent string) error {
	done := h.begin(f)
	err := h.bounded(ctx, func(ctx context.Context, w *worker) error {
		return h.post(ctx, w, f, inv, traceparent)
	})
	done(err)
	if err != nil {
		h.log.write("Error", "Function."+f.name, fmt.Sprintf("Executed (Failed): %v", err))
		return fmt.Errorf("host: function %s: %w", f.name, err)
	}
	return nil
}

// bounded runs an invocation until it ends, its worker ends, or
// functionTimeout has passed. In the last case the whole process is killed and
// restarted, and every other invocation in it dies (source:
// HttpFunctionInvocationDispatcher.RestartWorkerWithInvocationIdAsync).
func (h *Host) bounded(ctx context.Context, invoke func(context.Context, *worker) error) error {
	w, err := h.current(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-w.dead:
			cancel(fmt.Errorf("the worker ended with exit code %d", w.code))
		case <-ctx.Done():
		}
	}()
	if h.app.timeout > 0 {
		timer := time.AfterFunc(h.app.timeout, func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	err = invoke(ctx, w)
	var broken *url.Error
	if (errors.As(err, &broken) || errors.Is(err, errBroken)) && ctx.Err() == nil {
		// A connection breaks when its process dies, a moment before the death is
		// known. Waiting for it tells the reason, and the next invocation to wait for the restart.
		select {
		case <-w.dead:
			err = fmt.Errorf("the worker ended with exit code %d: %w", w.code, err)
		case <-time.After(deathNotice):
		}
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if errors.Is(err, errTimeout) {
		h.log.system("Error", "%v (%v): restarting worker process %d", errTimeout, h.app.timeout, w.proc.Pid())
		w.kill()
	}
	return err
}

// post sends one invocation and judges the answer (source: HttpWorkerService.ProcessDefaultInvocationRequest).
func (h *Host) post(ctx context.Context, w *worker, f *function, inv invocation, traceparent string) error {
	body, err := marshal(inv)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/"+f.name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	contractHeaders(req.Header, uuid.NewString(), traceparent)
	req.Header.Set("User-Agent", "Azure-Functions-Host/"+hostVersion)
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 { // body and logs are dropped (source)
		return fmt.Errorf("response status code does not indicate success: %d", resp.StatusCode)
	}
	res, err := decodeResult(resp.Header.Get("Content-Type"), answer)
	if err != nil {
		return err
	}
	if res == nil {
		if h.opts.EmptyBody == EmptyBodySucceed {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	for _, line := range res.Logs { // Information only, at completion (source)
		h.log.write("Information", "Function."+f.name+".User", line)
	}
	return nil
}

// decodeResult reads a 2xx answer; nil means that it holds no result. An
// empty body is none whatever its type; anything else must be JSON and say so (source).
func decodeResult(contentType string, body []byte) (*result, error) {
	if len(body) == 0 {
		return nil, nil
	}
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
		return nil, fmt.Errorf("no MediaTypeFormatter is available to read content of media type %q; a result must be application/json", contentType)
	}
	var res *result
	if err := json.Unmarshal(body, &res); err != nil {
		return nil, fmt.Errorf("invalid HttpResponseMessage: %.200q: %w", body, err)
	}
	return res, nil
}

// contractHeaders are on every request to the handler (source).
func contractHeaders(h http.Header, id, traceparent string) {
	h.Set("X-Azure-Functions-InvocationId", id)
	h.Set("X-Azure-Functions-HostVersion", hostVersion)
	h.Set("traceparent", childSpan(traceparent))
}

// childSpan makes a W3C trace context of a new span, below the parent's if there
// is a valid one. The host's HTTP client adds it while telemetry is on (source).
func childSpan(parent string) string {
	id := make([]byte, 24)
	_, _ = rand.Read(id) // never fails
	trace, flags := hex.EncodeToString(id[:16]), "01"
	if len(parent) == 55 && parent[:3] == "00-" && parent[35] == '-' && parent[52] == '-' && isHex(parent[3:35]) && isHex(parent[36:52]) && isHex(parent[53:]) {
		trace, flags = parent[3:35], parent[53:]
	}
	return "00-" + trace + "-" + hex.EncodeToString(id[16:]) + "-" + flags
}

func isHex(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
