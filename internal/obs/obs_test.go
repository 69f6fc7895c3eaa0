package obs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingSecretIsLogged(t *testing.T) {
	secrets := []string{
		"https://graph.microsoft.com/v1.0/users/delta?$deltatoken=SECRET-a_b",
		"https://graph.microsoft.com/v1.0/users/delta?%24skiptoken=SECRET",
		"https://rollcall.example/consent/callback?code=SECRET&state=SECRET",
		"https://rollcall.example/connect/SECRET.part-2_3",
		"client_assertion=SECRET&x=1",
		"Bearer eyJhbGciOiJSUzI1NiJ9.eyJTRUNSRVQiOjF9.SECRET",
		"zoë.o'SECRET@contoso.example",
	}
	for _, s := range secrets {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo)
		log.Info("m", "url", s, "err", errors.New("failed: "+s))
		if strings.Contains(out.String(), "SECRET") || strings.Contains(out.String(), "eyJTRU") {
			t.Errorf("logged: %s", out.String())
		}
	}
}

func TestCorrelation(t *testing.T) {
	var out bytes.Buffer
	tp := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := With(context.Background(), Correlation{Invocation: "inv", Traceparent: ValidTraceparent(tp)})
	New(&out, slog.LevelInfo).With("run", "r").InfoContext(ctx, "m")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["invocation"] != "inv" || line["traceparent"] != tp || line["run"] != "r" {
		t.Errorf("line %v", line)
	}
	if ValidTraceparent(tp+"\nx") != "" || ValidTraceparent("evil") != "" {
		t.Error("a traceparent of another form is passed on")
	}
}
