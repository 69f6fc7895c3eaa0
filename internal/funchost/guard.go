package funchost

import (
	"net/http"
	"strings"
)

// Guard refuses request paths that the host and this process could read
// differently. The host checks keys by its own routes and passes the path on
// as it came; were "%2e%2e" or "//" resolved here, an open route would lead
// to a keyed one, or to a timer.
func Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		if !plain(path) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"type":"about:blank","title":"Path not accepted","status":400,"detail":"The path holds percent-encoding, an empty or dot segment, a backslash or a semicolon.","remedy":"Write the path plainly, with single slashes and exactly as the address or the ID was given; what needs encoding belongs in the query."}` + "\n"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// plain reports whether every reader takes the path for the same one.
func plain(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "%\\;") || strings.Contains(path, "//") {
		return false
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	for seg := range strings.SplitSeq(path[1:], "/") {
		if seg == "." || seg == ".." {
			return false
		}
	}
	return true
}
