package main

import (
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"
)

func TestCommit(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef01234567"
	built := func(settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}}}
		for _, s := range settings {
			k, v, _ := strings.Cut(s, "=")
			info.Settings = append(info.Settings, debug.BuildSetting{Key: k, Value: v})
		}
		return info
	}
	for want, info := range map[string]*debug.BuildInfo{
		id:               built("vcs=git", "vcs.revision="+id, "vcs.modified=false"),
		id + "+modified": built("vcs.modified=true", "vcs.revision="+id),
		"unknown":        built(),
	} {
		if got := commit(info); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := commit(nil); got != "unknown" {
		t.Errorf("%s without information", got)
	}
}

// Refusals tell it too: by one of them the workflow that deploys knows the new
// code.
func TestCommitIsTold(t *testing.T) {
	w := httptest.NewRecorder()
	stamped(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/connect/none", nil))
	if w.Code != http.StatusNotFound || w.Header().Get("X-Rollcall-Commit") == "" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}
