package syncnow

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	machine "rollcall/internal/api"
)

// What the host is told and what main mounts are the same route, behind a key.
func TestFunction(t *testing.T) {
	b, err := os.ReadFile("function.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Bindings []struct {
			Type, Direction, Name, AuthLevel, Route string
			Methods                                 []string
		}
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Bindings) != 2 {
		t.Fatalf("%d bindings, want a trigger and an output", len(f.Bindings))
	}
	in, out := f.Bindings[0], f.Bindings[1]
	if in.Type != "httpTrigger" || in.Direction != "in" || in.Name != "req" || in.AuthLevel != "function" {
		t.Errorf("trigger: %+v", in)
	}
	if out.Type != "http" || out.Direction != "out" || out.Name != "res" {
		t.Errorf("output: %+v", out)
	}
	if in.Route != "v1/connections/{id}/sync" {
		t.Errorf("route %q", in.Route)
	}

	mux := http.NewServeMux()
	mux.Handle(Pattern, Handler(machine.New(machine.Options{})))
	// An ID that cannot be one is refused before anything is asked of the
	// stores, which are not there.
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/connections/NONE/sync", nil))
	if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %q, want the API's 404: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if len(in.Methods) != 1 || in.Methods[0] != "post" || Pattern != "POST /"+in.Route {
		t.Errorf("methods %q and route %q, but mounted at %q", in.Methods, in.Route, Pattern)
	}
}
