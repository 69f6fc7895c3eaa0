package main

import (
	"log/slog"
	"time"

	"rollcall/internal/connection"
)

// config is every setting of the handler. It is read once, before it serves.
type config struct {
	port      int
	publicURL string
	product   string
	linkKeys  [][]byte
	linkTTL   time.Duration

	cloud     cloud
	identity  string
	apps      connection.Apps
	authority string
	graph     string

	credential   string
	certificates []string
	vault        string
	vaultDial    string
	certificate  string
	secret       string

	tables      string
	namespace   string
	busEndpoint string

	interval  time.Duration
	spread    time.Duration
	cooldown  time.Duration
	budget    time.Duration
	minDelay  time.Duration
	maxDelay  time.Duration
	maxAge    time.Duration
	verify    time.Duration
	retention time.Duration
	guard     connection.Guard
	fullEvery time.Duration
	archived  time.Duration

	level slog.Level

	collector        string
	collectorHeaders map[string]string
	traced           int
}

// deadline is how long one timer or queue invocation may take: a slice's
// budget and a minute to hand on, well below functionTimeout in host.json.
func (c config) deadline() time.Duration { return c.budget + time.Minute }

// queue is the name that functions/syncworker/function.json listens to.
const queue = "sync-jobs"

// load reads all settings, or says everything that is wrong with them.
func load(getenv func(string) string) (config, []setting, error) {
	r := &reader{get: getenv}
	where := cloudNamed(r.choice("AZURE_CLOUD", "public", "Microsoft's cloud in which the customers' tenants are; it gives the defaults of AZURE_AUTHORITY_HOST and GRAPH_ENDPOINT.", names(clouds)...))
	c := config{
		cloud: where,

		port:      r.port("FUNCTIONS_CUSTOMHANDLER_PORT", "The port to listen on, on 127.0.0.1. Set by the Functions host."),
		publicURL: r.origin("PUBLIC_URL", "", "Where administrators reach the Functions app; links and the redirect URI begin with it.", false),
		product:   r.text("PRODUCT_NAME", "Rollcall", 64, "The vendor's product, as administrators read it on the pages."),
		linkKeys:  r.keys("LINK_KEYS", "Keys that sign the links, newest first. To rotate, put a new one before the old one."),
		linkTTL:   r.duration("LINK_TTL", "168h", time.Hour, 720*time.Hour, "How long a link works."),

		identity:  r.guid("AZURE_CLIENT_ID", "Client ID of the user-assigned managed identity."),
		apps:      r.apps("ENTRA_APP_ID", "ENTRA_APPS"),
		authority: r.origin("AZURE_AUTHORITY_HOST", where.authority, "Microsoft's sign-in service.", false),
		graph:     r.origin("GRAPH_ENDPOINT", where.graph, "Microsoft Graph.", false),

		credential:   r.choice("ENTRA_CREDENTIAL", "federated", "By what the apps prove themselves: the managed identity, which they trust as a federated credential; a certificate; or a client secret in Key Vault.", "federated", "certificate", "secret"),
		certificates: r.files("ENTRA_CERTIFICATE_FILES", "PEM or PFX files with certificate and private key, newest first, if the certificate is not in Key Vault."),
		vault:        r.optionalOrigin("KEY_VAULT_URL", "Key Vault with the app's certificate or secret, and with customers' own apps.", false),
		vaultDial:    r.hostPort("KEY_VAULT_CUSTOM_ENDPOINT", "Where to connect to the vault if not at its own name."),
		certificate:  r.vaultName("ENTRA_CERTIFICATE_NAME", "The certificate's name in Key Vault."),
		secret:       r.vaultName("ENTRA_SECRET_NAME", "The client secret's name in Key Vault; the apps of ENTRA_APPS have their own, named <name>-base and <name>-teams."),

		tables:      r.origin("TABLES_ENDPOINT", "", "Table endpoint of the storage account, such as https://account.table.core.windows.net.", true),
		namespace:   r.hostname("ServiceBusConnection__fullyQualifiedNamespace", "Service Bus namespace, such as contoso.servicebus.windows.net. The Functions host reads it too."),
		busEndpoint: r.hostPort("SERVICEBUS_CUSTOM_ENDPOINT", "Where to connect to the namespace if not at its own name."),

		interval: r.duration("SYNC_INTERVAL", "12h", time.Hour, 168*time.Hour, "Time between two scheduled syncs of a connection."),
		spread:   r.duration("SYNC_SPREAD", "10m", 0, 6*time.Hour, "Window over which connections that are due together are spread."),
		cooldown: r.duration("SYNC_COOLDOWN", "30m", time.Second, 24*time.Hour, "Least time between two manual syncs of a connection."),
		budget:   r.duration("SLICE_BUDGET", "4m", time.Second, 7*time.Minute, "How long one worker invocation works on a run before it hands over to the next."),
		minDelay: r.duration("RETRY_MIN_DELAY", "15s", 50*time.Millisecond, 10*time.Minute, "Wait after a first failure; it doubles with each one after."),
		maxDelay: r.duration("RETRY_MAX_DELAY", "15m", 50*time.Millisecond, 6*time.Hour, "Longest wait after a failure, unless Microsoft asks for more."),
		maxAge:   r.duration("RUN_MAX_AGE", "24h", time.Hour, 168*time.Hour, "How long a run may go on failing before it ends."),
		verify:   r.duration("VERIFY_MIN_DELAY", "2s", 50*time.Millisecond, time.Minute, "Wait between the first two checks whether a consent has taken effect; it doubles up to 5m, for 30m."),
		guard: connection.Guard{
			MaxCount:       r.number("GUARD_MAX_COUNT", 100, 0, 1000000, "Most people that a run archives without a human; 0 for no such limit."),
			MaxPercent:     r.number("GUARD_MAX_PERCENT", 10, 0, 100, "Greatest part of the active people, of the teams or of the memberships that a run removes without a human, if more than 5 are to go; 0 for no such limit."),
			MaxTeams:       r.number("GUARD_MAX_TEAMS", 20, 0, 1000000, "Most teams that a run archives without a human; 0 for no such limit."),
			MaxMemberships: r.number("GUARD_MAX_MEMBERSHIPS", 1000, 0, 100000000, "Most memberships that a run ends without a human; 0 for no such limit."),
		},
		fullEvery: r.duration("FULL_INTERVAL", "720h", 0, 8760*time.Hour, "How old the last full enumeration of a tenant may become before a run makes another; 0s leaves it to need."),
		archived:  r.duration("ARCHIVED_MAX_AGE", "0s", 0, 87600*time.Hour, "How long people stay archived before they are purged, with what the changes say of them; 0s keeps them."),
		retention: r.duration("CHANGES_RETENTION", "720h", 0, 8760*time.Hour, "How long committed changes can be read; 0s keeps them forever."),

		level: r.level("LOG_LEVEL", "info", "Least level that is logged. No higher one can be had: alerts look for lines of level info, and for their absence."),

		collector:        r.optionalOrigin("OTEL_EXPORTER_OTLP_ENDPOINT", "OpenTelemetry collector that takes traces and metrics by OTLP over HTTP, with its path, if any, before /v1/traces and /v1/metrics; empty for no telemetry.", true),
		collectorHeaders: r.headers("OTEL_EXPORTER_OTLP_HEADERS", "What the collector wants to see of us, such as its key. In Azure, give it as a reference to Key Vault."),
		traced:           r.number("TRACES_PERCENT", 10, 0, 100, "How many of 100 traces are recorded. Metrics count everything."),
	}
	switch {
	case c.credential == "certificate" && len(c.certificates) == 0 && (c.vault == "" || c.certificate == ""):
		r.wrong("ENTRA_CREDENTIAL", "is certificate: set ENTRA_CERTIFICATE_FILES, or KEY_VAULT_URL and ENTRA_CERTIFICATE_NAME")
	case c.credential == "secret" && (c.vault == "" || c.secret == ""):
		r.wrong("ENTRA_CREDENTIAL", "is secret: set KEY_VAULT_URL and ENTRA_SECRET_NAME")
	}
	if c.spread > c.interval {
		r.wrong("SYNC_SPREAD", "is %s, more than SYNC_INTERVAL: %s", short(c.spread), short(c.interval))
	}
	if c.maxDelay < c.minDelay {
		r.wrong("RETRY_MAX_DELAY", "is %s, less than RETRY_MIN_DELAY: %s", short(c.maxDelay), short(c.minDelay))
	}
	return c, r.all, r.err()
}
