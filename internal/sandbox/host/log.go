package host

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// logger writes one line per entry: time, level, category, text. The handler's
// console lines carry no invocation, as on the real host: nothing ties them to
// one (source: WorkerConsoleLogService, category Host.Function.Console).
type logger struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

func (l *logger) write(level, category, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.w, "%s [%s] %s: %s\n", l.now().UTC().Format("2006-01-02T15:04:05.000Z"), level, category, text)
}

func (l *logger) console(level, text string) { l.write(level, "Host.Function.Console", text) }

func (l *logger) system(level, format string, args ...any) {
	l.write(level, "Host.Function", fmt.Sprintf(format, args...))
}

// maxLine is where an endless line is broken, in bytes.
const maxLine = 64 << 10

// lines cuts a stream into lines.
type lines struct {
	mu   sync.Mutex
	rest []byte
	emit func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = len(l.rest) - 1
		}
		if line := bytes.TrimRight(l.rest[:i+1], "\r\n"); len(line) > 0 {
			l.emit(string(line))
		}
		l.rest = l.rest[i+1:]
	}
}
