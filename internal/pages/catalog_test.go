package pages

import (
	"encoding/json"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

// used lists the keys that templates and code ask for.
func used() map[string]bool {
	keys := map[string]bool{}
	add := func(all ...string) {
		for _, k := range all {
			keys[k] = true
		}
	}
	files, _ := fs.Glob(templateFiles, "templates/*.html")
	for _, f := range files {
		b, _ := templateFiles.ReadFile(f)
		for _, m := range regexp.MustCompile(`\.T "([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
			add(m[1])
		}
	}
	explained := []string{"cross-site", "not-found", "wrong-method", "too-large", "busy", "error"}
	for _, c := range consent.Causes {
		explained = append(explained, string(c))
	}
	for _, key := range explained {
		add(key+".title", key+".happened", key+".todo")
	}
	for _, s := range []job.State{
		job.Queued, job.Running, job.Waiting, job.Succeeded, job.RunFailed, job.Merged, job.Held, job.Stopped, "none", "throttled", "ended", "next", "due",
		"phase", "seen", "created", "updated", "archived", "reactivated", "teams", "memberships", "nothing",
	} {
		add("run." + string(s))
	}
	for _, reason := range []string{"degraded", "disconnected", "failed", "unconfirmed", "more"} {
		add("again."+reason, "again."+reason+".text")
	}
	for _, key := range append(slices.Collect(maps.Values(problems)), general, ownApp, ownPermission) {
		add("problem."+key, "problem."+key+".todo")
	}
	for _, category := range []string{"reportingLines", "teams", "licenses", "mailboxes", "mailboxTypes"} {
		if !connection.IsCategory(category) {
			panic(category)
		}
		add("skipped." + category)
	}
	for _, phase := range phases {
		add("run.phase." + phase)
	}
	for _, p := range permissions {
		key := "grant." + p.scope
		add(key)
		for part, texts := range map[string][]sentence{".what": p.what, ".why": p.why} {
			if texts == nil {
				add(key + part)
			}
			for _, t := range texts {
				add(key + part + t.key)
			}
		}
	}
	add("connected.first", "connected.sync", "stored.people", "stored.teams", "stored.memberships", "grant.new", "grant.missing", "again.lead", "again.own.lead", "again.failed.lead",
		"again.unconfirmed.own", "invitation.lead", "refused.nothing", "refused.nothing.again", "refused.noted", "refused.noted.nobody", "consent-declined.todo.again")
	add("skipped.group", "steps.1", "steps.2", "steps.3", "steps.4", "invitation.title", "again.title", "verifying.title", "connected.title",
		"fact.tenant", "fact.object", "fact.expected", "fact.code", "fact.reference", "letter.subject", "letter.body")
	return keys
}

// The English catalog has exactly the texts that are asked for.
func TestCatalogIsUsed(t *testing.T) {
	english, err := loadCatalog("en")
	if err != nil {
		t.Fatal(err)
	}
	used := used()
	for key := range used {
		if english[key] == "" {
			t.Errorf("no text for %s", key)
		}
	}
	for key := range english {
		if !used[key] {
			t.Errorf("%s is never used", key)
		}
	}
}

// same may read alike in two languages.
var same = map[string]bool{"dir": true}

// foreign finds what has no place in a text of the language: English that was
// left, and an address that is too familiar for whom we do not know.
var foreign = map[string][]string{
	"fr": {"the", "your", "you", "with", "this", "and", "from", "tu", "toi", "ton", "tes"},
	"nl": {"the", "your", "you", "with", "this", "and", "from", "je", "jij", "jou", "jouw"},
	"de": {"the", "your", "you", "with", "this", "and", "from", "du", "dich", "dir", "dein", "deine", "deinen"},
}

// terms are Microsoft's own names, which an administrator must find again.
var terms = map[string]map[string][]string{
	"invitation.role": {
		"en": {"Global Administrator", "Privileged Role Administrator"}, "fr": {"Administrateur général", "Administrateur de rôle privilégié"},
		"nl": {"Globale beheerder", "Beheerder van bevoorrechte rollen"}, "de": {"Globaler Administrator", "Administrator für privilegierte Rollen"},
	},
	"invitation.withdraw": {
		"en": {"Microsoft Entra admin center", "Enterprise apps"}, "fr": {"centre d’administration Microsoft Entra", "Applications d’entreprise"},
		"nl": {"Microsoft Entra-beheercentrum", "Bedrijfstoepassingen"}, "de": {"Microsoft Entra Admin Center", "Unternehmensanwendungen"},
	},
}

// Every language has the texts of English and no others, with the same names in
// them, each of them translated.
func TestCatalogsAgree(t *testing.T) {
	english, err := loadCatalog("en")
	if err != nil {
		t.Fatal(err)
	}
	names := func(text string) []string {
		return slices.Sorted(slices.Values(regexp.MustCompile(`\{[^}]*\}?`).FindAllString(text, -1)))
	}
	files, _ := fs.Glob(messageFiles, "messages/*.json")
	if len(files) != len(speeches) {
		t.Errorf("%d catalogs for %d languages", len(files), len(speeches))
	}
	for _, l := range speeches {
		texts, err := loadCatalog(l.Code)
		if err != nil {
			t.Fatal(err)
		}
		if texts["lang"] != l.Code {
			t.Errorf("%s says that it is %q", l.Code, texts["lang"])
		}
		for key := range english {
			if texts[key] == "" {
				t.Errorf("%s: no %s", l.Code, key)
			}
		}
		for key, text := range texts {
			if _, ok := english[key]; !ok {
				t.Errorf("%s: %s is not in English", l.Code, key)
			}
			for _, n := range names(text) {
				if n != "{company}" && n != "{product}" {
					t.Errorf("%s: %s names %s", l.Code, key, n)
				}
			}
			if got, want := names(text), names(english[key]); !slices.Equal(slices.Compact(got), slices.Compact(want)) {
				t.Errorf("%s: %s names %v, want %v", l.Code, key, got, want)
			}
			if strings.TrimSpace(text) != text || strings.Contains(text, "  ") || strings.ContainsAny(text, `"'`) {
				t.Errorf("%s: %s has stray spaces or straight quotes: %q", l.Code, key, text)
			}
			if l.Code == "en" {
				continue
			}
			if text == english[key] && !same[key] {
				t.Errorf("%s: %s is not translated: %q", l.Code, key, text)
			}
			for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
				if slices.Contains(foreign[l.Code], word) {
					t.Errorf("%s: %s holds %q: %s", l.Code, key, word, text)
				}
			}
			if end, want := lastRune(text), lastRune(english[key]); strings.ContainsAny(end+want, ".:") && end != want {
				t.Errorf("%s: %s ends with %q, want %q", l.Code, key, end, want)
			}
		}
		for key, all := range terms {
			for _, term := range all[l.Code] {
				if !strings.Contains(texts[key], term) {
					t.Errorf("%s: %s does not name the %s", l.Code, key, term)
				}
			}
		}
	}
}

func lastRune(s string) string {
	r := []rune(s)
	return string(r[max(0, len(r)-1):])
}

// A key that comes twice would silently lose its first text.
func TestCatalogKeysAreUnique(t *testing.T) {
	for _, l := range speeches {
		b, err := messageFiles.ReadFile("messages/" + l.Code + ".json")
		if err != nil {
			t.Fatal(err)
		}
		d, seen := json.NewDecoder(strings.NewReader(string(b))), map[string]bool{}
		for i := 0; ; i++ {
			token, err := d.Token()
			if err != nil {
				break
			}
			if key, ok := token.(string); ok && i%2 == 1 {
				if seen[key] {
					t.Errorf("%s: %s comes twice", l.Code, key)
				}
				seen[key] = true
			}
		}
		if len(seen) < 100 {
			t.Errorf("%s: only %d keys seen", l.Code, len(seen))
		}
	}
}
