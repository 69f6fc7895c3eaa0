package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
)

// terminal is an engineer's, before which Microsoft stands.
type terminal struct {
	t         *testing.T
	microsoft *microsoft.Server
	env       map[string]string
}

// sitDown signs an engineer with these directory roles in to the Azure CLI.
func sitDown(t *testing.T, roles ...string) terminal {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	m, err := microsoft.Start(microsoft.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	token, err := m.EngineerToken(roles...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	az := fmt.Sprintf("#!/bin/sh\necho '{\"accessToken\":%q,\"expires_on\":%d}'\n", token, time.Now().Add(time.Hour).Unix())
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(az), 0o755); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return terminal{t, m, map[string]string{
		"PATH": dir + ":/usr/bin:/bin", "SSL_CERT_FILE": root, "ROLLCALL_TEST_MAIN": "1",
		"GRAPH_ENDPOINT": m.GraphURL(), "AZURE_AUTHORITY_HOST": m.AuthorityURL(), "AZURE_ENV_NAME": "test",
	}}
}

// call runs this binary as register-app.
func (k terminal) call(args ...string) (out, report string, code int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"register-app"}, args...)...)
	for name, v := range k.env {
		cmd.Env = append(cmd.Env, name+"="+v)
	}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	return o.String(), e.String(), exitCode(err)
}

// The command as azd's hooks call it: before anything is deployed, afterwards,
// and once more; its settings are those that load reads.
func TestRegisterApp(t *testing.T) {
	k := sitDown(t, tenant.ApplicationAdministrator)
	out, report, code := k.call("-dry-run")
	if code != 0 || out != "" || strings.Count(report, "to do: create the registration") != 3 || k.microsoft.RegistrationWrites() != 0 {
		t.Errorf("dry run: %d, %q, %s", code, out, report)
	}
	first, report, code := k.call()
	lines := regexp.MustCompile(`^ENTRA_APP_ID=(\S{36})\nENTRA_APPS=base=(\S{36}),teams=(\S{36})\n$`).FindStringSubmatch(first)
	if code != 0 || lines == nil || strings.Count(report, "done: create the registration") != 3 || !strings.Contains(report, k.microsoft.VendorTenant()) {
		t.Fatalf("first: %d, %q, %s", code, first, report)
	}

	// From now on azd has the IDs.
	k.env["ROLLCALL_ENTRA_APP_ID"], k.env["ROLLCALL_ENTRA_APPS"] = lines[1], "base="+lines[2]+",teams="+lines[3]
	after := []string{"-redirect-uri", "https://a.example/consent/callback", "-identity", k.microsoft.IdentityPrincipalID()}
	out, report, code = k.call(after...)
	if code != 0 || out != first || strings.Count(report, "done: ") != 6 || strings.Contains(report, "create") {
		t.Errorf("afterwards: %d, %q, %s", code, out, report)
	}
	apps := k.microsoft.Apps()
	if app := apps[len(apps)-1]; len(apps) != 4 || app.Name != "Rollcall" || app.ID != lines[1] || app.Audience != "api://AzureADTokenExchange" ||
		len(app.Permissions) != 7 || len(app.RedirectURIs) != 1 || app.SingleTenant || app.WithoutWids {
		t.Errorf("registered: %+v", app)
	}
	writes := k.microsoft.RegistrationWrites()
	out, report, code = k.call(after...)
	if code != 0 || out != first || strings.Count(report, ": unchanged\n") != 3 || k.microsoft.RegistrationWrites() != writes {
		t.Errorf("once more: %d, %q, %s", code, out, report)
	}

	// One profile alone; the others' IDs are not lost.
	delete(k.env, "ROLLCALL_ENTRA_APP_ID")
	if out, report, code = k.call("-profiles", "base"); code != 0 || out != "ENTRA_APPS=base="+lines[2]+",teams="+lines[3]+"\n" {
		t.Errorf("base alone: %d, %q, %s", code, out, report)
	}

	env := good()
	env["ENTRA_APP_ID"], env["ENTRA_APPS"] = lines[1], "base="+lines[2]+",teams="+lines[3]
	if c, _, err := load(func(name string) string { return env[name] }); err != nil || c.apps["teams"] != lines[3] {
		t.Errorf("as settings: %v, %v", c.apps, err)
	}
}

// A stage with all the characters that azd takes is found again, not made again.
func TestRegisterAppStage(t *testing.T) {
	k := sitDown(t, tenant.ApplicationAdministrator)
	for i, want := range []int{3, 0} {
		if _, report, code := k.call("-stage", "Prod-2_(eu).1"); code != 0 || strings.Count(report, "done: create the registration") != want {
			t.Errorf("call %d: %d, %s", i+1, code, report)
		}
	}
}

// Who may not, or is not signed in, is told what to do and where; nothing is
// printed that could be taken for an ID.
func TestRegisterAppRefused(t *testing.T) {
	k := sitDown(t)
	out, report, code := k.call()
	if code != 1 || out != "" || !strings.Contains(report, "Application Administrator") || !strings.Contains(report, "to do: create the registration") {
		t.Errorf("without a role: %d, %q, %s", code, out, report)
	}
	k.env["PATH"] = "/nowhere"
	if out, report, code := k.call("-tenant", k.microsoft.VendorTenant()); code != 1 || out != "" || !strings.Contains(report, "az login --tenant "+k.microsoft.VendorTenant()) {
		t.Errorf("not signed in: %d, %q, %s", code, out, report)
	}
}

// The page for those who do it by hand names every permission of each profile,
// and every flag.
func TestRegisterAppIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/app-registration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range connection.Profiles {
		if row := "| " + p.Name + " | `" + strings.Join(p.Permissions, "` `") + "` |"; !strings.Contains(string(b), row) {
			t.Errorf("docs/app-registration.md lacks %s", row)
		}
	}
	var out, report bytes.Buffer
	registerApp([]string{"-help"}, func(string) string { return "" }, &out, &report)
	for _, m := range regexp.MustCompile(`(?m)^  (-[a-z-]+)`).FindAllStringSubmatch(report.String(), -1) {
		if !strings.Contains(string(b), "`"+m[1]) {
			t.Errorf("docs/app-registration.md does not name %s", m[1])
		}
	}
}

// All mistakes come at once, and before anything is asked.
func TestRegisterAppMistakes(t *testing.T) {
	for _, c := range []struct {
		args, names []string
		env         map[string]string
	}{
		{[]string{"-profiles", "base,moon", "-identity", "me", "-tenant", "contoso.com", "-stage", "a'b", "-name", " "}, []string{"-profiles", "-identity", "-tenant", "-stage", "-name"}, nil},
		{[]string{"-redirect-uri", "http://a.example/consent/callback"}, []string{"-redirect-uri"}, nil},
		{[]string{"-redirect-uri", "https://a.example/"}, []string{"-redirect-uri"}, nil},
		{[]string{"-redirect-uri", "https://a.example/consent/callback?x"}, []string{"-redirect-uri"}, nil},
		{[]string{"now"}, []string{"now"}, nil},
		{nil, []string{"PUBLIC_URL", "ENTRA_APP_ID", "AZURE_CLOUD"}, map[string]string{"PUBLIC_URL": "a.example", "ENTRA_APP_ID": "mine", "AZURE_CLOUD": "moon"}},
		{nil, []string{"ENTRA_APPS"}, map[string]string{"ENTRA_APPS": "moon=1"}},
	} {
		var out, report bytes.Buffer
		code := registerApp(c.args, func(name string) string { return c.env[name] }, &out, &report)
		if code != 2 || out.Len() != 0 || strings.Count(report.String(), "\n") != len(c.names) {
			t.Errorf("%v: %d, %q, %s", c.args, code, &out, &report)
		}
		for _, name := range c.names {
			if !strings.Contains(report.String(), name) {
				t.Errorf("%v: %s does not name %s", c.args, &report, name)
			}
		}
	}
	// Whatever azd takes for the name of an environment; more of it, or other
	// characters, it does not.
	for stage, ok := range map[string]bool{"": true, "Prod-2_(eu).1": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, "a/b": false, "é": false} {
		var report bytes.Buffer
		if _, err := parseOrder([]string{"-stage", stage}, func(string) string { return "" }, &report); (err == nil) != ok {
			t.Errorf("stage %q: %v", stage, err)
		}
	}
	var out, report bytes.Buffer
	if code := registerApp([]string{"-help"}, func(string) string { return "" }, &out, &report); code != 0 || !strings.Contains(report.String(), "-dry-run") {
		t.Errorf("help: %d, %s", code, &report)
	}
}
