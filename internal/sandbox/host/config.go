package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// config is what host.json says, defaults filled in.
type config struct {
	executable  string
	workingDir  string
	arguments   []string
	proxyHTTP   bool
	initTimeout time.Duration
	timeout     time.Duration // of one invocation; 0 = unbounded
	routePrefix string
	maxCalls    int // concurrent messages of one queue
	renewal     time.Duration
}

// Defaults of host.json.
const (
	defaultInitTimeout = 30 * time.Second // (source: HttpWorkerOptions; the docs say 60 s)
	defaultTimeout     = 30 * time.Minute // Flex, Premium and Dedicated plans (source)
	defaultRoutePrefix = "api"            // (documented)
	defaultMaxCalls    = 16               // (documented; the source multiplies by cores)
	defaultRenewal     = 5 * time.Minute  // (documented)
)

// hostJSON is host.json as it is written. Unknown keys are ignored, as the
// host does.
type hostJSON struct {
	Version         string  `json:"version"`
	FunctionTimeout *string `json:"functionTimeout"`
	CustomHandler   *struct {
		Description *struct {
			DefaultExecutablePath string   `json:"defaultExecutablePath"`
			WorkingDirectory      string   `json:"workingDirectory"`
			Arguments             []string `json:"arguments"`
		} `json:"description"`
		EnableForwardingHTTPRequest bool            `json:"enableForwardingHttpRequest"`
		EnableProxyingHTTPRequest   bool            `json:"enableProxyingHttpRequest"`
		InitializationTimeout       *string         `json:"initializationTimeout"`
		Port                        json.RawMessage `json:"port"`
		HTTP                        json.RawMessage `json:"http"`
	} `json:"customHandler"`
	Extensions struct {
		HTTP struct {
			RoutePrefix *string `json:"routePrefix"`
		} `json:"http"`
		ServiceBus struct {
			MaxConcurrentCalls         *int    `json:"maxConcurrentCalls"`
			AutoCompleteMessages       *bool   `json:"autoCompleteMessages"`
			MaxAutoLockRenewalDuration *string `json:"maxAutoLockRenewalDuration"`
		} `json:"serviceBus"`
	} `json:"extensions"`
}

// parseHost reads host.json. It refuses what the host refuses, and what this
// stand-in does not do, rather than run it differently.
func parseHost(data []byte) (config, error) {
	var h hostJSON
	c := config{initTimeout: defaultInitTimeout, timeout: defaultTimeout, routePrefix: defaultRoutePrefix, maxCalls: defaultMaxCalls, renewal: defaultRenewal}
	if err := json.Unmarshal(data, &h); err != nil {
		return c, fmt.Errorf("host.json: %w", err)
	}
	if h.Version != "2.0" {
		return c, fmt.Errorf(`host.json: version is %q; it must be "2.0"`, h.Version)
	}
	if h.CustomHandler == nil || h.CustomHandler.Description == nil || h.CustomHandler.Description.DefaultExecutablePath == "" {
		return c, errors.New("host.json: customHandler.description.defaultExecutablePath is missing")
	}
	ch := h.CustomHandler
	if ch.EnableForwardingHTTPRequest || len(ch.Port) > 0 || len(ch.HTTP) > 0 {
		return c, errors.New("host.json: the sandbox does not know customHandler's enableForwardingHttpRequest, port and http")
	}
	c.executable, c.workingDir, c.arguments = ch.Description.DefaultExecutablePath, ch.Description.WorkingDirectory, ch.Description.Arguments
	c.proxyHTTP = ch.EnableProxyingHTTPRequest
	if a := h.Extensions.ServiceBus.AutoCompleteMessages; a != nil && !*a {
		return c, errors.New("host.json: autoCompleteMessages must be true: a custom handler cannot settle messages")
	}
	if n := h.Extensions.ServiceBus.MaxConcurrentCalls; n != nil {
		if c.maxCalls = *n; c.maxCalls < 1 {
			return c, fmt.Errorf("host.json: serviceBus.maxConcurrentCalls is %d; it must be at least 1", c.maxCalls)
		}
	}
	if p := h.Extensions.HTTP.RoutePrefix; p != nil {
		c.routePrefix = strings.Trim(*p, "/")
	}
	if h.FunctionTimeout != nil && *h.FunctionTimeout == "-1" { // unbounded (documented)
		c.timeout, h.FunctionTimeout = 0, nil
	}
	for _, d := range []struct {
		key  string
		text *string
		to   *time.Duration
	}{
		{"functionTimeout", h.FunctionTimeout, &c.timeout},
		{"customHandler.initializationTimeout", ch.InitializationTimeout, &c.initTimeout},
		{"serviceBus.maxAutoLockRenewalDuration", h.Extensions.ServiceBus.MaxAutoLockRenewalDuration, &c.renewal},
	} {
		if d.text == nil {
			continue
		}
		v, err := parseSpan(*d.text)
		if err != nil {
			return c, fmt.Errorf("host.json: %s: %w", d.key, err)
		}
		*d.to = v
	}
	if c.timeout < 0 || c.initTimeout <= 0 {
		return c, errors.New("host.json: functionTimeout and initializationTimeout must be positive")
	}
	return c, nil
}

// parseSpan reads a .NET TimeSpan: [d.]hh:mm:ss[.fffffff].
func parseSpan(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no time span of the form hh:mm:ss", s)
	f := strings.Split(s, ":")
	if len(f) != 3 {
		return 0, bad
	}
	days := 0
	if d, h, ok := strings.Cut(f[0], "."); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, f[0] = int(n), h
	}
	var v [3]uint64
	sec, frac, fractional := strings.Cut(f[2], ".")
	for i, text := range []string{f[0], f[1], sec} {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || len(text) > 2 || n > [3]uint64{23, 59, 59}[i] {
			return 0, bad
		}
		v[i] = n
	}
	d := time.Duration(days)*24*time.Hour + time.Duration(v[0])*time.Hour + time.Duration(v[1])*time.Minute + time.Duration(v[2])*time.Second
	if fractional {
		if len(frac) == 0 || len(frac) > 7 {
			return 0, bad
		}
		n, err := strconv.ParseUint(frac+strings.Repeat("0", 9-len(frac)), 10, 32)
		if err != nil {
			return 0, bad
		}
		d += time.Duration(n)
	}
	return d, nil
}

// app is a staged package: host.json and its functions by name.
type app struct {
	config
	root      string
	functions []*function
}

// loadApp reads a package directory. Functions are looked for in first-level
// folders only (source: HostFunctionMetadataProvider).
func loadApp(dist string, setting func(string) (string, bool)) (*app, error) {
	root, err := filepath.Abs(dist)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(root, "host.json"))
	if err != nil {
		return nil, err
	}
	a := &app{root: root}
	if a.config, err = parseHost(data); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, e.Name(), "function.json"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f, err := parseFunction(e.Name(), data, setting)
		if err != nil {
			return nil, err
		}
		if f.trigger.kind == httpTrigger && !a.proxyHTTP {
			return nil, fmt.Errorf("function %s: the sandbox serves HTTP only through customHandler.enableProxyingHttpRequest", f.name)
		}
		if err := f.mount(a.routePrefix); err != nil {
			return nil, err
		}
		a.functions = append(a.functions, f)
	}
	if len(a.functions) == 0 {
		return nil, fmt.Errorf("no function found: no first-level folder of %s holds a function.json", root)
	}
	return a, checkRoutes(a.functions)
}

// command resolves the executable: below the root if there is such a file,
// else as it is, by PATH (source: HttpWorkerOptionsSetup).
func (a *app) command(setting func(string) (string, bool)) (path, dir string, args []string) {
	path = a.executable
	if p := filepath.Join(a.root, a.executable); !filepath.IsAbs(a.executable) {
		if _, err := os.Stat(p); err == nil {
			path = p
		}
	}
	dir = a.root
	if a.workingDir != "" {
		dir = filepath.Join(a.root, a.workingDir)
	}
	for _, arg := range a.arguments {
		args = append(args, percent.ReplaceAllStringFunc(arg, func(m string) string { // (source: %VAR% in arguments)
			v, _ := setting(strings.Trim(m, "%"))
			return v
		}))
	}
	return path, dir, args
}
