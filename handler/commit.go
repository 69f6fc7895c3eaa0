package main

import (
	"net/http"
	"runtime/debug"
)

// commitHeader tells which code answered, so that whoever deploys sees that it
// is the new one. It is of no use to a stranger who has not got the code.
const commitHeader = "X-Rollcall-Commit"

// commit is what the binary was built from, with +modified if that is not all;
// "unknown" if go build was not in a checkout.
func commit(info *debug.BuildInfo) string {
	revision, modified := "unknown", ""
	if info == nil {
		return revision
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+modified"
		}
	}
	return revision + modified
}

// stamped answers as next does, with the commit.
func stamped(next http.Handler) http.Handler {
	info, _ := debug.ReadBuildInfo()
	of := commit(info)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(commitHeader, of)
		next.ServeHTTP(w, r)
	})
}
