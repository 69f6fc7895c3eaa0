package funchost

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A path that two readers could take for different ones is refused, with what
// to do about it; a plain one passes.
func TestGuardTellsRemedy(t *testing.T) {
	h := Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for path, want := range map[string]int{
		"/v1/connections": 204, "/v1/connections?q=%41//..": 204, "/v1//connections": 400, "/v1/./connections": 400, "/v1/../x": 400, "/v1/%63onnections": 400, `/v1\x`: 400, "/v1;x": 400,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
		var p struct {
			Type, Title, Detail, Remedy string
			Status                      int
		}
		if want == 400 && (json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Status != 400 || p.Title == "" || p.Detail == "" || p.Remedy == "" || w.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}
