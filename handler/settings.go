package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/connection"
)

// setting is one environment variable, as the README's table shows it.
type setting struct {
	name string
	// def is the default; required settings have none.
	def      string
	required bool
	bounds   string
	meaning  string
	// host is true if the Functions host sets it, so that nobody configures it.
	host bool
}

// reader parses settings and collects every mistake, so that one start tells
// all of them.
type reader struct {
	get  func(string) string
	all  []setting
	errs []error
}

// value notes the setting and returns its text, the default if it is unset.
func (r *reader) value(s setting) string {
	r.all = append(r.all, s)
	v := strings.TrimSpace(r.get(s.name))
	if v == "" {
		if s.required {
			r.wrong(s.name, "is not set: %s", s.meaning)
		}
		return s.def
	}
	if strings.HasPrefix(v, "@Microsoft.KeyVault(") {
		r.wrong(s.name, "is a reference to Key Vault that Azure has not resolved: the app's identity may not read the vault (yet), or the entry is not there; see docs/runbooks/janitor-or-timer-silent.md")
		return s.def
	}
	return v
}

func (r *reader) wrong(name, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...)))
}

// err is all mistakes, one a line, or nil.
func (r *reader) err() error { return errors.Join(r.errs...) }

func (r *reader) duration(name, def string, low, high time.Duration, meaning string) time.Duration {
	v := r.value(setting{name: name, def: def, bounds: fmt.Sprintf("%s to %s", short(low), short(high)), meaning: meaning})
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		r.wrong(name, "is %q: want a duration such as %s", v, def)
	case d < low || d > high:
		r.wrong(name, "is %s: want %s to %s", short(d), short(low), short(high))
	}
	return d
}

// short writes a duration without its zero parts: 30m, not 30m0s.
func short(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "m0s") + strings.Repeat("m", strings.Count(s, "m0s"))
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (r *reader) guid(name, meaning string) string {
	v := strings.ToLower(r.value(setting{name: name, required: true, bounds: "a GUID", meaning: meaning}))
	if v != "" && !guid.MatchString(v) {
		r.wrong(name, "is %q: want a GUID", v)
	}
	return v
}

// origin is an https URL without path, query or credentials, unless path is
// allowed; without a slash at the end.
func (r *reader) origin(name, def, meaning string, path bool) string {
	v := r.value(setting{name: name, def: def, required: def == "", bounds: "an https URL", meaning: meaning})
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !path && strings.Trim(u.Path, "/") != "" {
		r.wrong(name, "is %q: want an https URL such as https://rollcall.example.com", v)
	}
	return strings.TrimRight(v, "/")
}

// text is one line of at most limit characters.
func (r *reader) text(name, def string, limit int, meaning string) string {
	v := r.value(setting{name: name, def: def, bounds: fmt.Sprintf("1 to %d characters", limit), meaning: meaning})
	if utf8.RuneCountInString(v) > limit || strings.ContainsFunc(v, unicode.IsControl) {
		r.wrong(name, "is %q: want one line of at most %d characters", v, limit)
	}
	return v
}

var hostname = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

func (r *reader) hostname(name, meaning string) string {
	v := strings.ToLower(r.value(setting{name: name, required: true, bounds: "a host name", meaning: meaning}))
	if v != "" && !hostname.MatchString(v) {
		r.wrong(name, "is %q: want a host name such as contoso.servicebus.windows.net", v)
	}
	return v
}

func (r *reader) hostPort(name, meaning string) string {
	v := r.value(setting{name: name, bounds: "host:port", meaning: meaning})
	if v == "" {
		return ""
	}
	if host, port, err := net.SplitHostPort(v); err != nil || host == "" || port == "" {
		r.wrong(name, "is %q: want host:port", v)
	}
	return v
}

func (r *reader) port(name, meaning string) int {
	v := r.value(setting{name: name, required: true, bounds: "1 to 65535", meaning: meaning, host: true})
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 65535 {
		r.wrong(name, "is %q: want 1 to 65535", v)
	}
	return n
}

func (r *reader) number(name string, def, low, high int, meaning string) int {
	v := r.value(setting{name: name, def: strconv.Itoa(def), bounds: fmt.Sprintf("%d to %d", low, high), meaning: meaning})
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		r.wrong(name, "is %q: want %d to %d", v, low, high)
	}
	return n
}

// choice is one of a few words.
func (r *reader) choice(name, def, meaning string, words ...string) string {
	list := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	v := r.value(setting{name: name, def: def, bounds: list, meaning: meaning})
	if !slices.Contains(words, v) {
		r.wrong(name, "is %q: want %s", v, list)
	}
	return v
}

// names are the names of the clouds.
func names(cs []cloud) (all []string) {
	for _, c := range cs {
		all = append(all, c.name)
	}
	return all
}

// optionalOrigin is an origin, or empty.
func (r *reader) optionalOrigin(name, meaning string, path bool) string {
	if strings.TrimSpace(r.get(name)) == "" {
		return r.value(setting{name: name, bounds: "an https URL", meaning: meaning})
	}
	return r.origin(name, "", meaning, path)
}

// apps reads the vendor's app registrations: one for the widest profile, which
// is required, and others for smaller ones.
func (r *reader) apps(widest, others string) connection.Apps {
	last := connection.Profiles[len(connection.Profiles)-1].Name
	apps := connection.Apps{last: r.guid(widest, "Client ID of the multi-tenant app registration that customers consent to, with the permissions of the profile "+last+": all that Rollcall may use.")}
	var smaller []string
	for _, p := range connection.Profiles[:len(connection.Profiles)-1] {
		smaller = append(smaller, p.Name)
	}
	v := r.value(setting{
		name: others, bounds: "profile=GUID, with a comma between; profiles: " + strings.Join(smaller, ", "),
		meaning: "Client IDs of app registrations with fewer permissions. A customer consents to the smallest that covers what is synced.",
	})
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, id, _ := strings.Cut(part, "=")
		name, id = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(id))
		switch {
		case !slices.Contains(smaller, name):
			r.wrong(others, "names the profile %q: want %s", name, strings.Join(smaller, " or "))
		case !guid.MatchString(id):
			r.wrong(others, "gives %q for %s: want a GUID", id, name)
		case apps[name] != "":
			r.wrong(others, "names %s twice", name)
		case slices.Contains(slices.Collect(maps.Values(apps)), id):
			r.wrong(others, "gives %s an app that another profile has", name)
		}
		apps[name] = id
	}
	return apps
}

// files are at most two paths.
func (r *reader) files(name, meaning string) (paths []string) {
	v := r.value(setting{name: name, bounds: "1 or 2 paths, with a comma between", meaning: meaning})
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			paths = append(paths, part)
		}
	}
	if len(paths) > 2 {
		r.wrong(name, "holds %d paths: want 1 or 2", len(paths))
	}
	return paths
}

// vaultObject is what Key Vault takes for a name. Source: Azure Key Vault
// documentation, "About keys, secrets, and certificates".
var vaultObject = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)

func (r *reader) vaultName(name, meaning string) string {
	v := r.value(setting{name: name, bounds: "1 to 127 letters, digits and hyphens", meaning: meaning})
	if v != "" && !vaultObject.MatchString(v) {
		r.wrong(name, "is %q: want 1 to 127 letters, digits and hyphens", v)
	}
	return v
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// headers never quotes what it read: it may be secret.
func (r *reader) headers(name, meaning string) map[string]string {
	v := r.value(setting{name: name, bounds: "name=value, with a comma between", meaning: meaning})
	all := make(map[string]string)
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		k, text, ok := strings.Cut(part, "=")
		text, err := url.PathUnescape(strings.TrimSpace(text)) // OpenTelemetry Protocol Exporter: as in W3C Baggage
		if k = strings.TrimSpace(k); !ok || err != nil || !headerName.MatchString(k) || strings.ContainsFunc(text, unicode.IsControl) {
			r.wrong(name, "holds a header that cannot be sent: want name=value, with a comma between")
			continue
		}
		all[k] = text
	}
	return all
}

const minKey = 32 // bytes; as long as the HMAC's own output

// keys never quotes what it read: it is secret.
func (r *reader) keys(name, meaning string) (keys [][]byte) {
	v := r.value(setting{name: name, required: true, bounds: "1 or 2 keys of 32 bytes or more, in base 64, with a comma between", meaning: meaning})
	if v == "" {
		return nil
	}
	parts := strings.Split(v, ",")
	if len(parts) > 2 {
		r.wrong(name, "holds %d keys: want 1 or 2", len(parts))
	}
	for i, p := range parts {
		k, err := base64.StdEncoding.DecodeString(strings.TrimSpace(p))
		switch {
		case err != nil:
			r.wrong(name, "key %d is not base 64", i+1)
		case len(k) < minKey:
			r.wrong(name, "key %d has %d bytes: want %d or more, as from: openssl rand -base64 32", i+1, len(k), minKey)
		}
		keys = append(keys, k)
	}
	return keys
}

// level is no higher than info: alerts look for lines of that level, also for
// their absence.
func (r *reader) level(name, def, meaning string) slog.Level {
	if r.choice(name, def, meaning, "debug", "info") == "debug" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
