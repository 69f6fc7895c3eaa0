package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rollcall/internal/sandbox"
)

// chromium finds a browser, or skips the test; where one must be there, its
// absence fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "chromium-headless-shell", "headless_shell", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no Chromium in PATH: install one, such as by make browser"
	if os.Getenv("CI") != "" || os.Getenv("ROLLCALL_REQUIRE_BROWSER") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// window is a window of a real browser without JavaScript, at the size of a
// phone. Each has cookies of its own.
type window struct {
	t   *testing.T
	ctx context.Context
	// dir is where pictures of the pages are kept.
	dir string
	axe string
}

// newBrowser starts a browser, whose first window is a blank one.
func newBrowser(t *testing.T) window {
	t.Helper()
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.IgnoreCertErrors, // the sandbox's root is in no browser's store
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, leave := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close the browser: %v", err)
		}
		leave()
		stop()
	})
	axe, err := os.ReadFile(filepath.Join("..", "..", "..", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v (is node_modules there? run: make deps)", err)
	}
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "build", "screenshots"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Logf("pictures of the pages are in %s", dir)
	w := window{t, ctx, dir, string(axe)}
	w.do(chromedp.Navigate("about:blank"))
	return w
}

// open opens another window for a test, which asks for a language.
func (w window) open(t *testing.T, accept string) window {
	t.Helper()
	ctx, leave := chromedp.NewContext(w.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(leave)
	w.t, w.ctx = t, ctx
	w.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), scripts(false),
		call(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}), // as if it were in front
		call(network.Enable, network.EnableParams{}),
		call(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": accept}}),
		chromedp.Navigate("data:text/html,<title>off</title><script>document.title='on'</script>"))
	if title := ask[string](w, "document.title"); title != "off" {
		t.Fatalf("scripts are %s", title)
	}
	return w
}

// call is a command of the browser's protocol.
func call[P, R any](c cdp.Command[P, R], p P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, c, p)
		return err
	})
}

func (w window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

// ask evaluates an expression of the test's own; the page's scripts are off.
func ask[T any](w window, expression string) T {
	w.t.Helper()
	v, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		w.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// await waits until the page has a heading.
func (w window) await(heading string) {
	w.t.Helper()
	last := ""
	if err := sandbox.Await(within(w.t, 20*time.Second), heading, func() (bool, error) {
		// A page that is being replaced cannot be asked.
		v, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? document.querySelector("h1")?.innerText ?? "" : ""`))
		if err == nil {
			last = v
		}
		return err == nil && last == heading, nil
	}); err != nil {
		w.t.Fatalf("%v: the page is %q", err, last)
	}
}

// tabTo presses Tab until what has the focus says the text, or is called so,
// and then the key.
func (w window) tabTo(text, key string) {
	w.t.Helper()
	var seen []string
	for range 60 {
		w.do(chromedp.KeyEvent(kb.Tab))
		focus := ask[string](w, `(e => e?.labels?.[0]?.innerText || e?.innerText || "")(document.activeElement)`)
		if strings.Contains(focus, text) {
			if !ask[bool](w, `(() => { const e = document.activeElement, r = e.getBoundingClientRect(), s = getComputedStyle(e);
				return e.matches(":focus-visible") && s.outlineStyle !== "none" && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth; })()`) {
				w.t.Errorf("nobody can see that %q has the focus", text)
			}
			w.do(chromedp.KeyEvent(key))
			return
		}
		seen = append(seen, focus)
	}
	w.t.Fatalf("the keyboard does not lead to %q, only to %q", text, seen)
}

// sound checks what every page of ours must be, and keeps a picture of it.
// Thorough asks axe, too. A page that reloads itself meanwhile is checked again.
func (w window) sound(language, name string, thorough bool) {
	w.t.Helper()
	var err error
	for range 3 {
		if err = w.check(language, name, thorough); err == nil {
			return
		}
	}
	w.t.Errorf("%s %s: %v", language, name, err)
}

// layout is what the page is, seen from outside.
type layout struct {
	Lang, Title               string
	Mains, H1s, Levels, Named int
	Wide, Scripts, Small      int
}

const measure = `(() => {
	const levels = [...document.querySelectorAll("h1,h2,h3,h4")].map(h => +h.tagName[1]);
	const targets = [...document.querySelectorAll("button,a.button,input:not([type=hidden])")];
	return {
		lang: document.documentElement.lang, title: document.title,
		mains: document.querySelectorAll("main").length, h1s: document.querySelectorAll("h1").length,
		levels: levels.filter((l, i) => i > 0 && l > levels[i-1] + 1).length,
		named: [...document.querySelectorAll("button,a")].filter(e => !e.innerText.trim()).length,
		wide: Math.max(0, document.documentElement.scrollWidth - innerWidth) + [...document.querySelectorAll("main *, header *")].filter(e => {
			const r = e.getBoundingClientRect(); return r.width > 1 && (r.right > innerWidth + 1 || r.left < -1) }).length,
		scripts: document.scripts.length,
		small: targets.filter(e => e.getBoundingClientRect().height < 44).length,
	}; })()`

func (w window) check(language, name string, thorough bool) error {
	got, err := chromedp.Run(w.ctx, chromedp.Evaluate[layout](measure))
	if err != nil {
		return err
	}
	switch {
	case got.Lang != language || got.Title == "" || got.Mains != 1 || got.H1s != 1:
		return fmt.Errorf("language %q, title %q, %d main landmarks, %d first headings", got.Lang, got.Title, got.Mains, got.H1s)
	case got.Levels > 0 || got.Named > 0 || got.Scripts > 0 || got.Small > 0:
		return fmt.Errorf("%d headings skip a level, %d controls have no name, %d scripts, %d targets below 44 pixels", got.Levels, got.Named, got.Scripts, got.Small)
	case got.Wide > 0:
		return fmt.Errorf("wider than the phone: %d", got.Wide)
	}
	schemes := []string{"light"}
	if thorough {
		dark := language == ways[0].language // colors are the same in all of them
		if err := w.accessible(dark); err != nil {
			return err
		}
		if dark {
			schemes = []string{"dark", "light"}
		}
	}
	for _, scheme := range schemes {
		if err := w.paint(scheme); err != nil {
			return err
		}
		file := language + "-" + name
		if scheme != "light" {
			file += "-" + scheme
		}
		png, err := w.picture()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(w.dir, file+".png"), png, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// picture is the whole page as a PNG, made quickly rather than small.
func (w window) picture() ([]byte, error) {
	yes := true
	r, err := chromedp.Run(w.ctx, func(ctx context.Context, s *chromedp.Target) (page.CaptureScreenshotResult, error) {
		return cdp.Call(ctx, s, page.CaptureScreenshot, page.CaptureScreenshotParams{
			CaptureBeyondViewport: &yes, FromSurface: &yes, OptimizeForSpeed: &yes, Format: page.CaptureScreenshotFormatPng,
		})
	})
	return r.Data, err
}

// paint lets the page be seen in a color scheme.
func (w window) paint(scheme string) error {
	return chromedp.Do(w.ctx, call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}))
}

// scripts lets scripts run, or not.
func scripts(run bool) chromedp.Action[chromedp.Void] {
	return call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
}

// accessible runs axe-core over the page, by the rules of WCAG 2.1 A and AA, and
// if asked to, over its colors once more in the dark. It runs in a world of its own, which
// the page's policy does not reach; for so long scripts are on, of which the
// page has none.
func (w window) accessible(dark bool) error {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	return chromedp.Do(ctx, scripts(true), chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		tree, err := cdp.Call(ctx, s, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return err
		}
		world, err := cdp.Call(ctx, s, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID, WorldName: "axe"})
		if err != nil {
			return err
		}
		evaluate := func(expression string) (string, error) {
			yes := true
			r, err := cdp.Call(ctx, s, runtime.Evaluate, runtime.EvaluateParams{
				Expression: expression, ContextID: world.ExecutionContextID, AwaitPromise: &yes, ReturnByValue: &yes,
			})
			if err != nil {
				return "", err
			}
			if r.ExceptionDetails != nil {
				return "", fmt.Errorf("axe: %s", r.ExceptionDetails.Text)
			}
			return string(r.Result.Value), nil
		}
		if _, err := evaluate(w.axe + ";0"); err != nil {
			return err
		}
		looks := map[string]string{
			// axe cannot see that whoever wants to can stop the refreshing.
			"light": `{runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], rules: {"meta-refresh": {enabled: false}}}`,
		}
		if dark {
			looks["dark"] = `{runOnly: {type: "rule", values: ["color-contrast"]}}`
		}
		for scheme, what := range looks {
			if err := w.paint(scheme); err != nil {
				return err
			}
			found, err := evaluate(`axe.run(document, Object.assign({resultTypes: ["violations"], preload: false}, ` + what + `)).then(r => JSON.stringify({
				passes: r.passes.length, violations: r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; "))}))`)
			if err != nil {
				return err
			}
			var text string
			var report struct {
				Passes     int
				Violations []string
			}
			err = json.Unmarshal([]byte(found), &text)
			if err == nil {
				err = json.Unmarshal([]byte(text), &report)
			}
			if err != nil || report.Passes == 0 {
				return fmt.Errorf("axe checked nothing: %v: %.200s", err, found)
			}
			if len(report.Violations) > 0 {
				return fmt.Errorf("in the %s: %s", scheme, strings.Join(report.Violations, "\n"))
			}
		}
		return nil
	}), scripts(false))
}
