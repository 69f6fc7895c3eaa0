package proof

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// longName is a company whose name is wider than a phone.
const longName = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"

// way is what an administrator reads on the way, in one language.
type way struct {
	language                           string
	title, may, begin, refused, back   string
	confirming, connected, peopleCount string
}

var ways = []way{
	{"en", "Connect " + longName + " to Rollcall", "I may consent on behalf of", begin, "An administrator is needed", "Back to the start",
		"Microsoft is confirming the permissions", longName + " is connected", "1,234"},
	{"fr", "Connecter " + longName + " à Rollcall", "Je peux donner mon consentement", "Continuer avec Microsoft", "Un administrateur est nécessaire", "Revenir au début",
		"Microsoft confirme les autorisations", longName + "\u00a0: connexion établie", "1\u00a0234"},
	{"nl", longName + " verbinden met Rollcall", "Ik mag namens", "Doorgaan met Microsoft", "Er is een beheerder nodig", "Terug naar het begin",
		"Microsoft bevestigt de machtigingen", longName + " is verbonden", "1.234"},
	{"de", longName + " mit Rollcall verbinden", "Ich darf im Namen von", "Weiter mit Microsoft", "Ein Administrator ist erforderlich", "Zurück zum Anfang",
		"Microsoft bestätigt die Berechtigungen", longName + " ist verbunden", "1.234"},
}

// An administrator with a phone's screen, a keyboard and no JavaScript gets
// from the link to a connected tenant in each language, past two wrong turns,
// and watches it happen without touching anything. And every page that there
// is, on this way and off it, is sound on a phone, and accessible in the light
// and in the dark.
func TestAdministratorsWay(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := start(t, sandbox.Options{ConsentDelay: 3 * time.Second})
	for _, here := range ways {
		t.Run(here.language, func(t *testing.T) {
			t.Parallel()
			accept := here.language
			if here.language == "nl" { // whose browser speaks English
				accept = "en"
			}
			b.open(t, accept+";q=0.9, ja;q=0.2").goes(s, here)
			b.open(t, here.language).visits(here.language)
		})
	}
}

// goes is the way.
func (w window) goes(s *sandbox.Sandbox, here way) {
	t := w.t
	c := invited(t, s, tenant.Spec{Name: longName, Domain: here.language + ".example", People: 1234})
	w.do(chromedp.Navigate(c.Link))
	if here.language == "nl" {
		w.await(ways[0].title)
		w.tabTo("Nederlands", kb.Enter)
	}
	w.await(here.title)
	w.sound(here.language, "invitation", true)

	// The button does nothing until the switch is on.
	w.tabTo(here.begin, kb.Enter)
	if focus := ask[string](w, "document.activeElement.id"); focus != "may" {
		t.Errorf("without confirmation the focus is on %q", focus)
	}
	w.do(chromedp.KeyEvent(" "))
	if !ask[bool](w, `document.getElementById("may").checked`) {
		t.Error("the space bar does not turn the switch on")
	}
	w.tabTo(here.begin, kb.Enter)
	w.await("Pick an account")
	w.tabTo(c.employee().Username, kb.Enter)
	w.await(here.refused)
	w.sound(here.language, "not-administrator-signed-in", true)

	w.tabTo(here.back, kb.Enter)
	w.await(here.title)
	w.tabTo(here.may, " ")
	w.tabTo(here.begin, kb.Enter)
	w.await("Pick an account")
	w.tabTo(c.admin().Username, kb.Enter)
	w.await("Permissions requested")
	w.tabTo(accept, kb.Enter)
	w.await(here.confirming)
	w.sound(here.language, "confirming", true)

	// By itself, to the end of the first run.
	w.await(here.connected)
	awaitRuns(t, s, c, 1)
	last := ""
	if err := sandbox.Await(within(t, 20*time.Second), "the end of the first run on the page", func() (bool, error) {
		// A page that is being replaced cannot be asked.
		if text, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.querySelector("meta[http-equiv]") ? "" : document.querySelector("main").innerText`)); err == nil && text != "" {
			last = text
		}
		return last != "", nil
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(last, here.peopleCount) || !strings.Contains(last, c.tenant.ID) {
		t.Errorf("the page does not tell of %s people of %s: %s", here.peopleCount, c.tenant.ID, last)
	}
	w.sound(here.language, "connected-done", true)
	check(t, s, c)
}
