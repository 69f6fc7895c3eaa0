package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/sandbox"
)

// handlerAddress is where the handler that was started last listens itself, as
// its host tells.
func (m *memory) handlerAddress() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := regexp.MustCompile(`worker process \d+ started on port (\d+)`).FindAllStringSubmatch(m.b.String(), -1)
	if len(all) == 0 {
		return "", errors.New("the host tells no port")
	}
	return "127.0.0.1:" + all[len(all)-1][1], nil
}

// slowness are requests that do not end, sent straight to the handler. They
// begin with the shared sandbox, since the handler gives them up when it has
// waited long enough, and so must whoever judges it.
type slowness struct {
	url   string // of their host
	conns []net.Conn
	all   sync.WaitGroup
	mu    sync.Mutex
	ended map[string]time.Duration // by request, when the handler had enough
	begun time.Time
}

// slow are the requests as far as they go; a byte of what is missing follows
// each second. %[1]s stands for a link's token, %[2]s for its connection.
var slow = map[string]string{
	"the beginning of a request": "POST /connect/x/authorize HT",
	"headers":                    "GET /connect/%[1]s HTTP/1.1\r\nHost: x\r\nX-Slow: ",
	"headers of the machine API": "GET /v1/connections HTTP/1.1\r\nHost: x\r\nX-Slow: ",
	"a form":                     "POST /connect/%[1]s/authorize HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n\r\nmay=",
	"a form in chunks":           "POST /connect/%[1]s/authorize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n384\r\nmay=",
	"a body for the link":        "GET /connect/%[1]s HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nx",
	"a body for the callback":    "GET /consent/callback HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nx",
	"an invitation":              "POST /v1/connections HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
	"a change of a connection":   "PATCH /v1/connections/%[2]s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n{",
}

// enough is when the handler must have given up: it waits ten seconds for
// headers and thirty for a body.
const enough = 40 * time.Second

// begin sends them to a handler of their own: others may kill the first one.
func (s *slowness) begin(ctx context.Context, b *siege, c customer) error {
	second, err := b.AnotherHost(ctx)
	if err != nil {
		return err
	}
	s.url, s.begun, s.ended = second.URL(), time.Now(), map[string]time.Duration{}
	address, err := b.log.handlerAddress()
	if err != nil {
		return err
	}
	_, token, _ := strings.Cut(c.Link, "/connect/")
	for name, text := range slow {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
		text = strings.NewReplacer("%[1]s", token, "%[2]s", c.ID).Replace(text)
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		over := make(chan struct{})
		s.all.Go(func() {
			_, _ = io.Copy(io.Discard, conn) // ends when the handler closes
			close(over)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended[name] = time.Since(s.begun)
		})
		s.all.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if _, err := conn.Write([]byte{'x'}); err != nil {
						return
					}
				case <-over:
					return
				}
			}
		})
	}
	return nil
}

func (s *slowness) stop() error {
	var errs []error
	for _, c := range s.conns {
		errs = append(errs, c.Close())
	}
	s.all.Wait()
	return errors.Join(errs...)
}

// A request that does not arrive is given up, and others are served meanwhile.
func TestThreatSlowBody(t *testing.T) {
	t.Parallel()
	b := siegeOf(t)
	s := &b.slow
	client := b.Client()
	client.Timeout = 5 * time.Second
	err := sandbox.Await(within(t, enough+20*time.Second), "the handler to give up", func() (bool, error) {
		for _, a := range []string{b.owned.Link, s.url + strings.TrimPrefix(b.owned.Link, b.PublicURL)} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", a, nil)
			if err != nil {
				return false, err
			}
			resp, err := client.Do(req)
			if err != nil {
				return false, err
			}
			if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
				return false, fmt.Errorf("status %d meanwhile", resp.StatusCode)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.ended) == len(slow) || time.Since(s.begun) > enough, nil
	})
	if err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range slow {
		switch took, over := s.ended[name]; {
		case !over:
			t.Errorf("%s: still waited for after %v", name, time.Since(s.begun).Round(time.Second))
		case took < time.Second:
			t.Errorf("%s: not waited for at all", name)
		default:
			t.Logf("%s: given up after %v", name, took.Round(time.Second))
		}
	}
}

const (
	tooMuch    = 70 << 10 // of a body, which may have 64 KiB
	tooLong    = 20 << 10 // of a query, which may have 16 KiB on pages
	tooHeadful = 100 << 10
)

// What is larger than any request that is meant is refused before it is read.
func TestThreatOversizedBody(t *testing.T) {
	b := siegeOf(t)
	f := b.forger(t)
	u := f.v.first(f.c.Link, f.c.admin())
	rows, n := stored(t, b.Sandbox), sent(t, b.Sandbox)
	type route struct{ method, url string }
	open := []route{{"GET", f.c.Link}, {"POST", f.c.Link + "/authorize"}, {"GET", u.String()}, {"GET", f.callback()}}
	ask := func(r route, body func() io.Reader, header ...string) int {
		t.Helper()
		for try := 1; ; try++ {
			var sent io.Reader
			if body != nil {
				sent = body()
			}
			req, err := http.NewRequestWithContext(t.Context(), r.method, r.url, sent)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(header); i += 2 {
				req.Header.Set(header[i], header[i+1])
			}
			resp, err := b.Client().Do(req)
			// Who is refused while sending may lose the answer with the
			// connection: TCP drops what was not read before a reset.
			if try < 10 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %v", r.method, r.url, err)
				return 0
			}
			_ = resp.Body.Close()
			return resp.StatusCode
		}
	}
	of := func(b []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(b) } }
	big := bytes.Repeat([]byte("may=yes&"), tooMuch/8)
	for _, r := range open {
		if got := ask(r, of(big)); got != 413 {
			t.Errorf("%s %s with a large body: %d, want 413", r.method, r.url, got)
		}
		query := route{r.method, r.url + map[bool]string{true: "&", false: "?"}[strings.Contains(r.url, "?")] + "x=" + strings.Repeat("y", tooLong)}
		if got := ask(query, nil); got != 413 {
			t.Errorf("%s %s with a long query: %d, want 413", r.method, r.url, got)
		}
		if got := ask(r, nil, "X-Much", strings.Repeat("z", tooHeadful)); got != 431 {
			t.Errorf("%s %s with long headers: %d, want 431", r.method, r.url, got)
		}
		if got := ask(r, nil, "Cookie", strings.Repeat("z=z; ", tooHeadful/5)); got != 431 {
			t.Errorf("%s %s with many cookies: %d, want 431", r.method, r.url, got)
		}
	}
	// Its length need not be told.
	if got := ask(open[1], func() io.Reader { return io.MultiReader(bytes.NewReader(big)) }); got != 413 {
		t.Errorf("a large form in chunks: %d, want 413", got)
	}
	if got := ask(route{"GET", f.PublicURL + "/connect/" + strings.Repeat("A", tooLong)}, nil); got != 404 {
		t.Errorf("a long link: %d, want 404", got)
	}
	key := []string{"X-Functions-Key", f.FunctionKey, "Content-Type", "application/json"}
	for _, op := range operations(t, b.Sandbox) {
		r := route{op.method, f.PublicURL + op.path}
		if got := ask(r, of([]byte(`{"name":"`+strings.Repeat("n", tooMuch)+`"}`)), key...); op.body && got != 413 || got >= 500 || op.method != "GET" && got < 400 {
			t.Errorf("%s %s with a large body: %d", op.method, op.path, got)
		}
		if got := ask(r, nil, append(key, "X-Rollcall-Actor", strings.Repeat("a", tooHeadful))...); got != 431 {
			t.Errorf("%s %s with long headers: %d, want 431", op.method, op.path, got)
		}
		r.url += "?continuation=" + strings.Repeat("c", tooLong)
		if got := ask(r, nil, key...); got < 400 || got > 499 {
			t.Errorf("%s %s with a long query: %d", op.method, op.path, got)
		}
	}
	unchanged(t, b.Sandbox, rows, n)
	for _, r := range open[:2] { // a body without an end is not read to it
		var body *endless
		// What lies in the buffers of two proxies and of the system counts, too.
		if got := ask(r, func() io.Reader { body = &endless{}; return body }); r.method == "POST" && got != 413 && got != 502 || body.read.Load() > 32<<20 {
			t.Errorf("%s %s with an endless body: %d, after %d bytes", r.method, r.url, got, body.read.Load())
		}
	}
}

// endless is a body of zeros, 64 MiB at most.
type endless struct{ read atomic.Int64 } // a client still sends when it is answered

func (e *endless) Read(p []byte) (int, error) {
	if e.read.Add(int64(len(p))) > 64<<20 {
		return 0, io.EOF
	}
	clear(p)
	return len(p), nil
}
