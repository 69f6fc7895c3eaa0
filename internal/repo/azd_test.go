package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// azure.yaml names what exists: the scripts of its hooks, the folder that make
// dist stages, and the service by which azd finds the app.
func TestAzureYAML(t *testing.T) {
	text := read(t, "azure.yaml")
	for _, m := range regexp.MustCompile(`(?m)^\s+run: (\S.*)$`).FindAllStringSubmatch(text, -1) {
		if m[1] == "make dist" {
			continue
		}
		info, err := os.Stat(filepath.Join(root, m[1]))
		if err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("azure.yaml runs %s: %v, or it cannot be executed", m[1], err)
		}
	}
	for _, line := range []string{"    language: custom", "    host: function", "    dist: dist", "        run: make dist"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("azure.yaml has no line %q", line)
		}
	}
	service := found(t, "azure.yaml", `services:\n  (\w+):`)
	if tag := found(t, "infra/modules/app.bicep", `'azd-service-name': '(\w+)'`); tag != service {
		t.Errorf("azure.yaml deploys the service %s, app.bicep is tagged %s", service, tag)
	}
}

// hook runs a script of infra/hooks with commands that stand in for azd and
// go: each writes its arguments to a log. It returns output, log and whether
// it succeeded.
func hook(t *testing.T, name string, stubs map[string]string, env ...string) (out, log string, ok bool) {
	t.Helper()
	bin := t.TempDir()
	logFile := filepath.Join(bin, "log")
	for cmd, body := range stubs {
		script := "#!/bin/sh\necho " + cmd + " \"$@\" >>\"$STUB_LOG\"\n" + body + "\n"
		if err := os.WriteFile(filepath.Join(bin, cmd), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("sh", "infra/hooks/"+name)
	c.Dir = root
	c.Env = append(env, "STUB_LOG="+logFile, "PATH="+bin+string(os.PathListSeparator)+"/usr/bin"+string(os.PathListSeparator)+"/bin")
	b, err := c.CombinedOutput()
	calls, _ := os.ReadFile(logFile)
	return string(b), string(calls), err == nil
}

// Without azd's preview feature, and only then, azd is stopped with what to
// type.
func TestHookPreview(t *testing.T) {
	const sentence = "AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM=true azd up"
	off, on := map[string]string{"azd": "exit 1"}, map[string]string{"azd": `echo '"on"'`}
	for _, c := range []struct {
		name  string
		stubs map[string]string
		env   []string
		pass  bool
	}{
		{"nothing says so", off, nil, false},
		{"the variable", off, []string{"AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM=true"}, true},
		{"the configuration", on, nil, true},
		{"the variable overrides the configuration", on, []string{"AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM=false"}, false},
	} {
		out, _, ok := hook(t, "preview.sh", c.stubs, c.env...)
		if ok != c.pass || strings.Contains(out, sentence) == c.pass {
			t.Errorf("%s: passed %v and said %q", c.name, ok, out)
		}
	}
}

// The app registration is made before there is anything to deploy to, its ID
// remembered; afterwards it learns address and identity.
func TestHooksRegister(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	// azd takes whatever it is given to read.
	stubs := map[string]string{"azd": "cat >/dev/null", "go": "echo ENTRA_APP_ID=" + id + "; echo ENTRA_APPS=base=" + id + "; echo OTHER=1"}
	preview := "AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM=true"

	_, log, ok := hook(t, "preprovision.sh", stubs, preview)
	want := "go run ./handler register-app\nazd env set ROLLCALL_ENTRA_APP_ID " + id + "\nazd env set ROLLCALL_ENTRA_APPS base=" + id + "\n"
	if !ok || log != want {
		t.Errorf("preprovision, nothing set: %v, called\n%s", ok, log)
	}
	if _, log, ok := hook(t, "preprovision.sh", stubs, preview, "ROLLCALL_ENTRA_APP_ID="+id); !ok || log != "" {
		t.Errorf("preprovision, with an app: %v, called\n%s", ok, log)
	}
	if _, log, ok := hook(t, "preprovision.sh", map[string]string{"azd": "exit 1", "go": stubs["go"]}); ok || strings.Contains(log, "go run") {
		t.Errorf("preprovision, without the preview feature: %v, called\n%s", ok, log)
	}

	for product, pass := range map[string]bool{`The "Good" App`: false, `a\b`: false, "Zoë’s “App” (1) $x 'y' *": true} {
		if out, _, ok := hook(t, "preprovision.sh", stubs, preview, "ROLLCALL_ENTRA_APP_ID="+id, "ROLLCALL_PRODUCT_NAME="+product); ok != pass || strings.Contains(out, "ROLLCALL_PRODUCT_NAME") == pass {
			t.Errorf("preprovision, product %s: %v, said %s", product, ok, out)
		}
	}

	after := []string{"ROLLCALL_REDIRECT_URI=https://a.example/consent/callback", "ROLLCALL_IDENTITY_PRINCIPAL_ID=" + id}
	_, log, ok = hook(t, "postprovision.sh", stubs, after...)
	if !ok || !strings.HasPrefix(log, "go run ./handler register-app -redirect-uri https://a.example/consent/callback -identity "+id+"\n") {
		t.Errorf("postprovision: %v, called\n%s", ok, log)
	}

	// A vault is brought back once.
	if _, log, ok := hook(t, "postprovision.sh", stubs, append(after, "ROLLCALL_RECOVER_VAULT=true")...); !ok || !strings.HasPrefix(log, "azd env set ROLLCALL_RECOVER_VAULT false\n") {
		t.Errorf("postprovision, vault recovered: %v, called\n%s", ok, log)
	}
	if strings.Contains(log, "RECOVER") {
		t.Errorf("postprovision, no vault recovered: called\n%s", log)
	}

	// Who may not register apps is told what to ask for: before, that ends it;
	// after, the app can still be deployed.
	refused := map[string]string{"azd": "", "go": "exit 1"}
	out, log, ok := hook(t, "preprovision.sh", refused, preview)
	if ok || !strings.Contains(out, "azd env set ROLLCALL_ENTRA_APP_ID") || strings.Contains(log, "azd env set") {
		t.Errorf("preprovision, refused: %v, called\n%s\nand said\n%s", ok, log, out)
	}
	out, _, ok = hook(t, "postprovision.sh", refused, after...)
	if !ok || !strings.Contains(out, "https://a.example/consent/callback") || !strings.Contains(out, id) {
		t.Errorf("postprovision, refused: %v, said\n%s", ok, out)
	}
}
