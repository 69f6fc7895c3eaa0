package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// triggerKind is what starts a function.
type triggerKind int

const (
	httpTrigger triggerKind = iota + 1
	timerTrigger
	queueTrigger
)

// trigger is a function's one trigger binding.
type trigger struct {
	kind triggerKind
	name string // of the binding, the key under Data

	level   string // anonymous, function or admin
	methods []string
	route   string

	schedule     schedule
	runOnStartup bool
	useMonitor   bool

	queue      string
	connection string
	binary     bool // dataType
}

// function is one function of the package.
type function struct {
	name     string
	disabled bool
	trigger  trigger
	pattern  pattern // HTTP only, with the route prefix
}

// Names, as the host checks them (source: Utility.IsValidFunctionName, BindingMetadata).
var (
	functionName = regexp.MustCompile(`^(?i)[a-z][a-z0-9_-]{0,127}$`)
	bindingName  = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9]{0,127}|\$return)$`)
	percent      = regexp.MustCompile(`%([^%]+)%`)
)

// bindingJSON is one binding as function.json writes it.
type bindingJSON struct {
	Type              string   `json:"type"`
	Direction         string   `json:"direction"`
	Name              string   `json:"name"`
	AuthLevel         string   `json:"authLevel"`
	Methods           []string `json:"methods"`
	Route             *string  `json:"route"`
	Schedule          string   `json:"schedule"`
	RunOnStartup      bool     `json:"runOnStartup"`
	UseMonitor        *bool    `json:"useMonitor"`
	QueueName         string   `json:"queueName"`
	TopicName         string   `json:"topicName"`
	Connection        string   `json:"connection"`
	DataType          string   `json:"dataType"`
	Cardinality       string   `json:"cardinality"`
	IsSessionsEnabled bool     `json:"isSessionsEnabled"`
}

// parseFunction reads one function.json.
func parseFunction(name string, data []byte, setting func(string) (string, bool)) (*function, error) {
	refuse := func(format string, args ...any) (*function, error) {
		return nil, fmt.Errorf("function "+name+": "+format, args...)
	}
	if !functionName.MatchString(name) || strings.EqualFold(name, "host") {
		return refuse("'%s' is not a valid function name", name)
	}
	var doc struct {
		Bindings []bindingJSON   `json:"bindings"`
		Disabled bool            `json:"disabled"`
		Retry    json.RawMessage `json:"retry"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return refuse("function.json: %w", err)
	}
	if len(doc.Retry) > 0 && string(doc.Retry) != "null" {
		return refuse("the sandbox does not know retry policies")
	}
	f := &function{name: name, disabled: doc.Disabled}
	names, httpOut := map[string]bool{}, false
	for _, b := range doc.Bindings {
		if !bindingName.MatchString(b.Name) {
			return refuse("the binding name %q is invalid", b.Name)
		}
		if names[b.Name] {
			return refuse("multiple bindings with name %q discovered. Binding names must be unique", b.Name)
		}
		names[b.Name] = true
		if strings.EqualFold(b.Type, "http") && b.Direction == "out" {
			httpOut = true
			continue
		}
		if f.trigger.kind != 0 {
			return refuse("multiple trigger bindings defined, or an input binding, which the sandbox does not know: %q", b.Type)
		}
		var err error
		if f.trigger, err = parseTrigger(name, b, setting); err != nil {
			return refuse("%w", err)
		}
	}
	switch {
	case f.trigger.kind == 0:
		return refuse("no trigger binding specified. A function must have a trigger input binding")
	case (f.trigger.kind == httpTrigger) != httpOut:
		// The host proxies only functions with one HTTP trigger and one HTTP
		// output (source); others would get the POST contract.
		return refuse("an httpTrigger needs exactly one http output, and only it may have one")
	}
	if v, ok := setting("AzureWebJobs." + name + ".Disabled"); ok && (strings.EqualFold(v, "true") || v == "1") { // (documented)
		f.disabled = true
	}
	return f, nil
}

func parseTrigger(function string, b bindingJSON, setting func(string) (string, bool)) (t trigger, err error) {
	t.name = b.Name
	if b.Direction != "" && b.Direction != "in" {
		return t, fmt.Errorf("binding %q: the sandbox knows no output of type %q", b.Name, b.Type)
	}
	switch strings.ToLower(b.Type) {
	case "httptrigger":
		t.kind, t.methods, t.level = httpTrigger, b.Methods, strings.ToLower(b.AuthLevel)
		if t.level == "" {
			t.level = "function" // (documented)
		}
		if t.level != "anonymous" && t.level != "function" && t.level != "admin" {
			return t, fmt.Errorf("authLevel %q is none of anonymous, function and admin", b.AuthLevel)
		}
		t.route = function // the default route (documented)
		if b.Route != nil {
			if t.route, err = expand(*b.Route, setting); err != nil {
				return t, err
			}
		}
		return t, nil
	case "timertrigger":
		t.kind, t.runOnStartup, t.useMonitor = timerTrigger, b.RunOnStartup, b.UseMonitor == nil || *b.UseMonitor
		text, err := expand(b.Schedule, setting)
		if err != nil {
			return t, err
		}
		t.schedule, err = parseSchedule(text)
		return t, err
	case "servicebustrigger":
		t.kind, t.connection = queueTrigger, b.Connection
		if b.TopicName != "" || b.IsSessionsEnabled || strings.EqualFold(b.Cardinality, "many") {
			return t, errors.New("the sandbox does not know topics, sessions and cardinality many")
		}
		if t.queue, err = expand(b.QueueName, setting); err != nil {
			return t, fmt.Errorf("queueName: %w", err)
		}
		if t.queue == "" {
			return t, errors.New("queueName is missing")
		}
		switch strings.ToLower(b.DataType) {
		case "", "string":
		case "binary":
			t.binary = true
		default:
			return t, fmt.Errorf("the sandbox does not know dataType %q", b.DataType)
		}
		return t, nil
	default:
		return t, fmt.Errorf("the binding type(s) '%s' are not registered. Please ensure the type is correct and the binding extension is installed", b.Type)
	}
}

// expand replaces %SETTING% by the app setting's value (documented). The host
// does not start a function that names a missing one (source: INameResolver).
func expand(s string, setting func(string) (string, bool)) (string, error) {
	var missing error
	out := percent.ReplaceAllStringFunc(s, func(m string) string {
		v, ok := setting(m[1 : len(m)-1])
		if !ok || v == "" {
			missing = fmt.Errorf("'%s' does not resolve to a value", m)
		}
		return v
	})
	return out, missing
}
