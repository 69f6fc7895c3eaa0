package pages

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// speech is one language in which the pages speak.
type speech struct {
	tag language.Tag
	// Code is what addresses and the html element name, Name is the language's
	// own name.
	Code, Name string
	texts      catalog
}

// speeches lists the languages. The first is for who speaks none of them.
var speeches = []speech{
	{tag: language.English, Code: "en", Name: "English"},
	{tag: language.French, Code: "fr", Name: "Français"},
	{tag: language.Dutch, Code: "nl", Name: "Nederlands"},
	{tag: language.German, Code: "de", Name: "Deutsch"},
}

const (
	// languageKey is the query key of who chose a language on a page.
	languageKey = "lang"
	// maxAccept bounds an Accept-Language that is read, in bytes; browsers send
	// less than 200.
	maxAccept = 1 << 10
)

// loadSpeeches returns the languages with their texts.
func loadSpeeches() ([]speech, error) {
	all := slices.Clone(speeches)
	for i := range all {
		var err error
		if all[i].texts, err = loadCatalog(all[i].Code); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// newMatcher tells which of the languages a browser's come nearest to.
func newMatcher() language.Matcher {
	tags := make([]language.Tag, len(speeches))
	for i, s := range speeches {
		tags[i] = s.tag
	}
	return language.NewMatcher(tags)
}

// indexOf is the place of a language in speeches, by its exact code; -1 for
// any other text.
func indexOf(code string) int {
	return slices.IndexFunc(speeches, func(s speech) bool { return s.Code == code })
}

// chosen returns the language that the person chose on a page, or -1: the
// address says it, and over the trips to Microsoft the browser's cookie does.
func chosen(r *http.Request) int {
	if i := indexOf(r.URL.Query().Get(languageKey)); i >= 0 {
		return i
	}
	_, code := browserOf(r)
	return indexOf(code)
}

// preferred returns the language that comes nearest to those that the browser
// asks for.
func (p *Pages) preferred(r *http.Request) int {
	accept := r.Header.Get("Accept-Language")
	if len(accept) > maxAccept {
		return 0
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return 0
	}
	_, i, confidence := p.matcher.Match(tags...)
	if confidence == language.No {
		return 0
	}
	return i
}

// choice is one entry of the switch of languages.
type choice struct {
	Code, Name, Address string
	Current             bool
}

// Choices is the switch of languages: ordinary links, which need neither
// script nor cookie. It is empty for an answer that cannot be had again, such
// as that to a return from Microsoft.
func (p page) Choices() []choice {
	if p.address == "" {
		return nil
	}
	cs := make([]choice, len(p.speeches))
	for i, s := range p.speeches {
		cs[i] = choice{s.Code, s.Name, query(p.address, s.Code, p.still), s.Code == p.Lang}
	}
	return cs
}

// Keep is one of our own addresses, in the language that was chosen.
func (p page) Keep(address string) string { return query(address, p.keep, false) }

// Still is the same of a page that does not reload itself.
func (p page) Still(address string) string { return query(address, p.keep, true) }

// here is the address of the page that answers r, relative to itself; empty
// if it cannot be had again. Whatever else the query holds is not repeated.
func here(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return ""
	}
	for key := range r.URL.Query() {
		if key != languageKey && key != refreshKey {
			return ""
		}
	}
	return "?"
}

// query is an address of ours with what was chosen.
func query(address, language string, still bool) string {
	q := url.Values{}
	if language != "" {
		q.Set(languageKey, language)
	}
	if still {
		q.Set(refreshKey, refreshOff)
	}
	if len(q) == 0 || address == "" {
		return address
	}
	return strings.TrimSuffix(address, "?") + "?" + q.Encode()
}
