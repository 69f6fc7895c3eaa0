package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed messages/*.json
var messageFiles embed.FS

// catalog holds all texts of one language by key. A text may name
// {company} and {product}.
type catalog map[string]string

// loadCatalog reads the texts of a language, such as en.
func loadCatalog(language string) (catalog, error) {
	b, err := messageFiles.ReadFile("messages/" + language + ".json")
	if err != nil {
		return nil, fmt.Errorf("pages: texts: %w", err)
	}
	var c catalog
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("pages: texts of %s: %w", language, err)
	}
	return c, nil
}

// text returns a text with its names filled in, in one pass: a company called
// "{product}" stays so. A key without text shows as itself.
func (c catalog) text(key, company, product string) string {
	s, ok := c[key]
	if !ok {
		return key
	}
	return strings.NewReplacer("{company}", company, "{product}", product).Replace(s)
}
