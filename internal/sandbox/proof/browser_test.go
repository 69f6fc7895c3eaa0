package proof

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
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

// window is a real browser without JavaScript, at the size of a phone.
type window struct {
	t   *testing.T
	ctx context.Context
	dir string // for screenshots
}

func newWindow(t *testing.T) window {
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
	w := window{t, ctx, t.TempDir()}
	if keep := os.Getenv("ROLLCALL_SCREENSHOTS"); keep != "" {
		w.dir = keep
	}
	w.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.Navigate("data:text/html,<title>off</title><script>document.title='on'</script>"))
	if title := ask[string](w, "document.title"); title != "off" {
		t.Fatalf("scripts are %s", title)
	}
	return w
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
		w.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until the page has a heading.
func (w window) await(heading string) {
	w.t.Helper()
	last := ""
	if err := sandbox.Await(within(w.t, 15*time.Second), heading, func() (bool, error) {
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

// tabTo presses Tab until what has the focus says the text, and Enter.
func (w window) tabTo(text string) {
	w.t.Helper()
	var seen []string
	for range 60 {
		w.do(chromedp.KeyEvent(kb.Tab))
		focus := ask[string](w, `document.activeElement?.innerText ?? ""`)
		if strings.Contains(focus, text) {
			if !ask[bool](w, `(() => { const e = document.activeElement, r = e.getBoundingClientRect(), s = getComputedStyle(e);
				return e.matches(":focus-visible") && s.outlineStyle !== "none" && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth; })()`) {
				w.t.Errorf("nobody can see that %q has the focus", text)
			}
			w.do(chromedp.KeyEvent(kb.Enter))
			return
		}
		seen = append(seen, focus)
	}
	w.t.Fatalf("the keyboard does not lead to %q, only to %q", text, seen)
}

// sound checks what every page of ours must be, and keeps a picture of it.
func (w window) sound(name string) {
	w.t.Helper()
	got := ask[struct {
		Lang, Title               string
		Mains, H1s, Levels, Named int
		Wide, Scripts, Small      int
	}](w, `(() => {
		const levels = [...document.querySelectorAll("h1,h2,h3,h4")].map(h => +h.tagName[1]);
		const targets = [...document.querySelectorAll("button,a.button,input:not([type=hidden])")];
		return {
			lang: document.documentElement.lang, title: document.title,
			mains: document.querySelectorAll("main").length, h1s: document.querySelectorAll("h1").length,
			levels: levels.filter((l, i) => i > 0 && l > levels[i-1] + 1).length,
			named: [...document.querySelectorAll("button,a")].filter(e => !e.innerText.trim()).length,
			wide: Math.max(0, document.documentElement.scrollWidth - innerWidth) + [...document.querySelectorAll("main *")].filter(e => {
				const r = e.getBoundingClientRect(); return r.width > 1 && (r.right > innerWidth + 1 || r.left < -1) }).length,
			scripts: document.scripts.length,
			small: targets.filter(e => e.getBoundingClientRect().height < 44).length,
		}; })()`)
	if got.Lang != "en" || got.Title == "" || got.Mains != 1 || got.H1s != 1 {
		w.t.Errorf("%s: language %q, title %q, %d main landmarks, %d first headings", name, got.Lang, got.Title, got.Mains, got.H1s)
	}
	if got.Levels > 0 || got.Named > 0 || got.Scripts > 0 || got.Small > 0 {
		w.t.Errorf("%s: %d headings skip a level, %d controls have no name, %d scripts, %d targets below 44 pixels", name, got.Levels, got.Named, got.Scripts, got.Small)
	}
	if got.Wide > 0 {
		w.t.Errorf("%s: wider than the phone: %d", name, got.Wide)
	}
	png, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name+".png"), png, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// An administrator with a phone's screen, a keyboard and no JavaScript gets
// from the link to a connected tenant, past a wrong turn, and watches it
// happen without touching anything.
func TestAdministratorsWay(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{ConsentDelay: time.Second})
	c := invited(t, s, tenant.Spec{Name: "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", Domain: "contoso.example", People: 1234})
	w := newWindow(t)
	w.do(chromedp.Navigate(c.Link))
	w.await("Connect " + c.tenant.Name + " to Rollcall")
	w.sound("1-invitation")

	w.tabTo(begin)
	w.await("Pick an account")
	w.tabTo(c.employee().Username)
	w.await("An administrator is needed")
	w.sound("2-refused")

	w.tabTo("Back to the start")
	w.await("Connect " + c.tenant.Name + " to Rollcall")
	w.tabTo(begin)
	w.await("Pick an account")
	w.tabTo(c.admin().Username)
	w.await("Permissions requested")
	w.tabTo(accept)
	w.await("Microsoft is confirming the permissions")
	w.sound("3-confirming")

	w.await(c.tenant.Name + " is connected") // by itself
	awaitRuns(t, s, c, 1)
	w.do(chromedp.Reload())
	w.await(c.tenant.Name + " is connected")
	if text := ask[string](w, `document.querySelector("main").innerText`); !strings.Contains(text, "1,234") || !strings.Contains(text, c.tenant.ID) {
		t.Errorf("the page does not tell of 1,234 people of %s: %s", c.tenant.ID, text)
	}
	w.sound("4-connected")
	check(t, s, c)
}
