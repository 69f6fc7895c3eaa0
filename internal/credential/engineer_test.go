package credential

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// tool puts a stand-in for a command on the path, which logs its arguments.
func tool(t *testing.T, dir, name, body string) (calls func() string) {
	t.Helper()
	log := filepath.Join(dir, name+".log")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%q\n%s\n", log, body)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return func() string {
		b, _ := os.ReadFile(log) // none if it was not called
		return string(b)
	}
}

// The token is that of the Azure CLI, asked once; of the Azure Developer CLI if
// nobody is signed in to the first; and without either, an error that says how.
func TestEngineer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	until := time.Now().Add(time.Hour).UTC()
	az := tool(t, dir, "az", fmt.Sprintf(`echo '{"accessToken":"of az","expires_on":%d}'`, until.Unix()))
	azd := tool(t, dir, "azd", fmt.Sprintf(`echo '{"token":"of azd","expiresOn":"%s"}'`, until.Format("2006-01-02T15:04:05Z")))
	get := func(s *SignedIn) (string, error) {
		cred, err := s.Tenant(connection.Access{})
		if err != nil {
			t.Fatal(err)
		}
		k, err := cred.GetToken(t.Context(), graphScope)
		return k.Token, err
	}

	s, err := Engineer(tenantOne)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if k, err := get(s); err != nil || k != "of az" {
			t.Fatalf("%q, %v", k, err)
		}
	}
	if got, want := az(), "account get-access-token -o json --resource https://graph.microsoft.com --tenant "+tenantOne+"\n"; got != want || azd() != "" {
		t.Errorf("called az %q, azd %q", got, azd())
	}
	if _, err := s.Fresh(connection.Access{}); err != nil {
		t.Fatal(err)
	}
	if _, err := get(s); err != nil || strings.Count(az(), "\n") != 2 {
		t.Errorf("without the kept token: %v, called az %q", err, az())
	}

	tool(t, dir, "az", "echo 'Please run az login' >&2; exit 1")
	if s, err = Engineer(""); err != nil {
		t.Fatal(err)
	}
	if k, err := get(s); err != nil || k != "of azd" || strings.Contains(azd(), "tenant") {
		t.Errorf("%q, %v, called azd %q", k, err, azd())
	}

	tool(t, dir, "azd", "exit 1")
	if s, err = Engineer(tenantOne); err != nil {
		t.Fatal(err)
	}
	_, err = get(s)
	if e := fault.Of(err); err == nil || e.Kind != fault.Denied || e.Remedy != "Sign in first: az login --tenant "+tenantOne || !strings.Contains(e.Error(), "Please run az login") {
		t.Errorf("nobody signed in: %+v", e)
	}
	if _, err := Engineer("organizations"); !fault.Is(err, fault.Invalid) {
		t.Errorf("no tenant of its own: %v", err)
	}
}
