// Package load makes a tenant of a directory export: the pages that Graph
// answered, as files. What is not understood is left out and counted, or named
// with its file and entry; a page is never taken for a whole list.
package load

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// ErrExport is wrapped by every refusal of an export.
var ErrExport = errors.New("export")

// Summary is what an export held, and what of it was left out.
type Summary struct {
	People      int `json:"people"`
	Groups      int `json:"groups"`
	Memberships int `json:"memberships"`
	SKUs        int `json:"skus"`

	UnknownManagers int `json:"unknownManagers"` // links to somebody who is not in the export
	UnknownMembers  int `json:"unknownMembers"`  // devices, contacts, apps, and people who are not in the export
	Removed         int `json:"removed"`         // entries of a delta that tell of a removal
	Clipped         int `json:"clipped"`         // texts that were cut to what the stand-in holds
}

// kinds are the files of an export, in the order in which they are read.
var kinds = []struct {
	name, pattern string
	read          func(*loader, []string) error
}{
	{"organization", "organization*.json", (*loader).organization},
	{"users", "users*.json", (*loader).users},
	{"groups", "groups*.json", (*loader).groups},
	{"members", "members-*.json", (*loader).members},
	{"subscribedSkus", "subscribedSkus*.json", (*loader).skus},
}

// Dir makes a tenant of the export in a folder. The organization, and
// anything but people, may be missing.
func Dir(dir string, now func() time.Time) (*tenant.Tenant, Summary, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%w: %s is no folder", ErrExport, dir)
	}
	if err != nil {
		return nil, Summary{}, fmt.Errorf("load: %w", err)
	}
	t, sum, err := load(os.DirFS(dir), now)
	if err != nil {
		return nil, sum, fmt.Errorf("load: %s: %w", dir, err)
	}
	return t, sum, nil
}

// loader is the state of one import.
type loader struct {
	fs      fs.FS
	now     func() time.Time
	t       *tenant.Tenant
	sum     Summary
	order   []string          // people with a manager, as they came
	manager map[string]string // by person
	links   []link            // of groups with expanded members
}

// link is one membership.
type link struct{ group, member, file string }

func load(from fs.FS, now func() time.Time) (*tenant.Tenant, Summary, error) {
	l := &loader{fs: from, now: now, manager: map[string]string{}}
	all, err := fs.Glob(from, "*.json")
	if err != nil {
		return nil, l.sum, err
	}
	files := map[string][]string{}
	for _, f := range all {
		kind := kindOf(f)
		if kind == "" {
			return nil, l.sum, fmt.Errorf("%w: %s: nothing is read from a file of this name; rename it to users*.json, groups*.json, members-{group ID}*.json, subscribedSkus*.json or organization*.json, or take it out", ErrExport, f)
		}
		files[kind] = append(files[kind], f)
	}
	if len(files["users"]) == 0 {
		return nil, l.sum, fmt.Errorf("%w: there is no users*.json; save the answers of GET /v1.0/users there", ErrExport)
	}
	for _, k := range kinds {
		if err := k.read(l, files[k.name]); err != nil {
			return nil, l.sum, err
		}
	}
	return l.t, l.sum, nil
}

func kindOf(file string) string {
	for _, k := range kinds {
		if ok, err := path.Match(k.pattern, file); ok && err == nil {
			return k.name
		}
	}
	return ""
}

// each reads the files' entries. Together they must hold a last page, one
// without a nextLink.
func (l *loader) each(files []string, entry func(file string, e object) error) error {
	pages, unfinished := 0, 0
	for _, file := range files {
		f, err := l.fs.Open(file)
		if err != nil {
			return err
		}
		n := 0
		got, err := documents(f, func(e object) error {
			n++
			return entry(file, e)
		})
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		switch {
		case errors.Is(err, errPage):
			return fmt.Errorf("%w: %s: after entry %d: %w", ErrExport, file, n, err)
		case err != nil:
			return fmt.Errorf("%w: %s: entry %d: %w", ErrExport, file, n, err)
		}
		pages += got.pages
		unfinished += got.unfinished
	}
	if pages > 0 && pages == unfinished {
		return fmt.Errorf("%w: %s: every page has an @odata.nextLink, so the last one is missing; follow the link until an answer has none, and save that too", ErrExport, strings.Join(files, ", "))
	}
	return nil
}

// organization makes the tenant, with the export's name and ID if there are.
func (l *loader) organization(files []string) error {
	spec := tenant.Spec{Name: "Imported", Seed: 1}
	err := l.each(files, func(_ string, e object) error {
		if spec.ID != "" {
			return errors.New("a second organization; an export is of one tenant")
		}
		var err error
		if spec.ID, err = e.id(); err != nil {
			return err
		}
		var org struct {
			DisplayName string `json:"displayName"`
			Domains     []struct {
				Name      string `json:"name"`
				IsDefault bool   `json:"isDefault"`
			} `json:"verifiedDomains"`
		}
		if err := e.into(&org); err != nil {
			return err
		}
		if org.DisplayName != "" {
			spec.Name = org.DisplayName
		}
		for _, d := range org.Domains {
			if spec.Domain == "" || d.IsDefault {
				spec.Domain = strings.ToLower(d.Name)
			}
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte(spec.ID)) // never fails
		spec.Seed = h.Sum64()
		return nil
	})
	if err != nil {
		return err
	}
	if l.t, err = tenant.New(spec, l.now); err != nil {
		return fmt.Errorf("%w: organization: %w", ErrExport, err)
	}
	return nil
}

// skus sets the subscriptions. Where the export's consumed units are what its
// people hold they go on being counted; otherwise they stay as exported.
func (l *loader) skus(files []string) error {
	var skus []tenant.SKU
	exported := map[string]int{}
	err := l.each(files, func(_ string, e object) error {
		var s struct {
			SkuID            string `json:"skuId"`
			SkuPartNumber    string `json:"skuPartNumber"`
			CapabilityStatus string `json:"capabilityStatus"`
			ConsumedUnits    *int   `json:"consumedUnits"`
			PrepaidUnits     struct {
				Enabled   int `json:"enabled"`
				Suspended int `json:"suspended"`
				Warning   int `json:"warning"`
			} `json:"prepaidUnits"`
		}
		if err := e.into(&s); err != nil {
			return err
		}
		sku := tenant.SKU{ID: strings.ToLower(s.SkuID), PartNumber: s.SkuPartNumber, CapabilityStatus: s.CapabilityStatus,
			Enabled: s.PrepaidUnits.Enabled, Suspended: s.PrepaidUnits.Suspended, Warning: s.PrepaidUnits.Warning}
		if s.ConsumedUnits != nil {
			exported[sku.ID] = *s.ConsumedUnits
		}
		skus = append(skus, sku)
		return l.t.SetSKUs(skus)
	})
	if err != nil {
		return err
	}
	if err := l.t.SetSKUs(skus); err != nil { // with no file, none
		return fmt.Errorf("%w: subscribedSkus: %w", ErrExport, err)
	}
	for i, counted := range l.t.SKUs() {
		if n, ok := exported[counted.ID]; ok && n != *counted.Consumed {
			skus[i].Consumed = &n
		}
	}
	l.sum.SKUs = len(skus)
	return l.t.SetSKUs(skus)
}

// memberFile is the name of a file of members: the group's ID, and anything
// that tells its pages apart.
var memberFile = regexp.MustCompile(`^members-([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})[^0-9a-fA-F].*$`)
