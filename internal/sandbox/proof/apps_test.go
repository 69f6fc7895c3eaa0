package proof

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
)

// What each profile asks for, as Microsoft's documentation has it.
var (
	basePermissions  = []string{"LicenseAssignment.Read.All", "Organization.Read.All", "User.Read.All"}
	teamsPermissions = []string{"GroupMember.Read.All", "LicenseAssignment.Read.All", "Member.Read.Hidden", "Organization.Read.All", "User.Read.All"}
)

// granted is what the tenant has granted the vendor's apps, by profile.
func (c customer) granted(s *sandbox.Sandbox) map[string][]string {
	all := map[string][]string{}
	for profile, app := range s.Apps {
		if how, roles := c.tenant.Access(app); how != tenant.Absent {
			slices.Sort(roles)
			all[profile] = roles
		}
	}
	return all
}

// listed are the permissions that a page names.
func listed(text string) (names []string) {
	for _, word := range strings.Fields(text) {
		if strings.HasSuffix(word, ".Read.All") || strings.HasSuffix(word, ".Read") || word == "Member.Read.Hidden" {
			names = append(names, word)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A connection asks for the permissions that its settings need and for no
// others; more settings ask for another consent, and nothing stops meanwhile.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	tn, err := s.Microsoft.NewTenant(tenant.Spec{People: 15, Teams: 3, Memberships: 9})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := s.InviteWith(t.Context(), "base", tn.Name, map[string]any{"teams": false})
	if err != nil {
		t.Fatal(err)
	}
	c, v := customer{tn, inv}, visit(t, s)
	step := func(profile string, permissions []string, link string) {
		t.Helper()
		p := v.open(link)
		if got := listed(p.Text); !slices.Equal(got, permissions) {
			t.Errorf("%s: the page lists %v, want %v", profile, got, permissions)
		}
		p = v.press(p, begin, c.admin().Username)
		if app := p.URL.Query().Get("client_id"); app != s.Apps[profile] {
			t.Errorf("%s: consent is asked for app %s, want %s", profile, app, s.Apps[profile])
		}
		v.press(p, accept)
	}
	step("base", basePermissions, c.Link)
	awaitRuns(t, s, c, 1)
	check(t, s, c)
	if got := c.granted(s); len(got) != 1 || !slices.Equal(got["base"], basePermissions) {
		t.Errorf("granted are %v, want the base profile only", got)
	}
	conn := c.becomes(t, s, "ok")
	if conn.Profile != "base" || conn.App != s.Apps["base"] || conn.ConsentNeeded {
		t.Errorf("the connection is %+v", conn)
	}

	// Teams need more, which the settings say at once; people go on.
	c.tell(t, s, "PATCH", "", map[string]any{"settings": map[string]any{"teams": true}}, 200)
	if conn = c.connection(t, s); !conn.ConsentNeeded || conn.Status != "ok" || conn.Profile != "base" {
		t.Errorf("with teams: %+v", conn)
	}
	if _, err := tn.Apply(tenant.Bulk{Seed: 2, Edit: 3, Create: 2}); err != nil {
		t.Fatal(err)
	}
	if r := c.sync(t, s); r.State != "succeeded" {
		t.Errorf("with teams, before consent: %+v %+v", r, r.Problem)
	}
	check(t, s, c)
	c.becomes(t, s, "degraded")
	var renewed customer
	a := c.tell(t, s, "POST", "/link", map[string]string{"action": "resend"}, 200)
	if err := json.Unmarshal(a.Body, &renewed); err != nil {
		t.Fatal(err)
	}
	before, err := runs(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	step("teams", teamsPermissions, renewed.Link)
	awaitRuns(t, s, c, len(before)+1)
	if got := c.granted(s); len(got) != 2 || !slices.Equal(got["base"], basePermissions) || !slices.Equal(got["teams"], teamsPermissions) {
		t.Errorf("granted are %v", got)
	}
	if conn = c.becomes(t, s, "ok"); conn.Profile != "teams" || conn.App != s.Apps["teams"] || conn.ConsentNeeded {
		t.Errorf("after the second consent: %+v", conn)
	}
	check(t, s, c)
	things, err := s.Things(t.Context(), c.ID)
	if err != nil || len(things["team"]) != 3 {
		t.Errorf("%d teams are stored, %v", len(things["team"]), err)
	}
}

// What Key Vault holds of a customer's app is checked, stays there, and serves
// that customer alone.
func TestThreatOwnApp(t *testing.T) {
	b := siegeOf(t)
	c := invited(t, b.Sandbox, tenant.Spec{People: 5, Teams: 2, Memberships: 5})
	other := invited(t, b.Sandbox, tenant.Spec{People: 5})
	const mark = "Tell-Nobody-7f3a"
	name := "rollcall-app-" + c.ID
	put := func(value string) {
		t.Helper()
		if _, err := b.Microsoft.SetVaultSecret(name, value, microsoft.VaultSecret{}); err != nil {
			t.Fatal(err)
		}
	}
	own, err := b.Microsoft.AddApp(microsoft.AppSpec{
		Name: "Own", Tenant: c.tenant.ID, Permissions: teamsPermissions, RedirectURIs: []string{b.PublicURL + "/consent/callback"},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, n := stored(t, b.Sandbox), sent(t, b.Sandbox)
	for what, value := range map[string]string{
		"nothing":                "",
		"no JSON":                mark,
		"markup":                 `<script>` + mark + `</script>`,
		"no app":                 `{"secret":"` + mark + `"}`,
		"an app of another form": `{"appId":"../` + mark + `","secret":"` + mark + `"}`,
		"no secret":              `{"appId":"` + own + `"}`,
		"both":                   `{"appId":"` + own + `","secret":"` + mark + `","certificate":"` + mark + `"}`,
		"a secret of two lines":  `{"appId":"` + own + `","secret":"` + mark + `\r\nX: y"}`,
		"no certificate":         `{"appId":"` + own + `","certificate":"` + mark + `"}`,
		"more than that":         `{"appId":"` + own + `","secret":"` + mark + `","authority":"https://evil.example"}`,
		"two":                    `{"appId":"` + own + `","secret":"` + mark + `"}{}`,
	} {
		if value != "" {
			put(value)
		}
		a := c.tell(t, b.Sandbox, "PUT", "/app", nil, 422)
		if strings.Contains(string(a.Body), mark) || !strings.Contains(string(a.Body), name) {
			t.Errorf("%s: %s", what, a.Body)
		}
	}
	// Whoever sends the secret here is told where it belongs, and is not echoed.
	a := c.tell(t, b.Sandbox, "PUT", "/app", map[string]string{"appId": own, "secret": mark}, 422)
	if strings.Contains(string(a.Body), mark) {
		t.Errorf("a secret in a request: %s", a.Body)
	}
	other.tell(t, b.Sandbox, "PUT", "/app", nil, 422) // which cannot name that of another
	unchanged(t, b.Sandbox, rows, n)

	put(`{"appId":"` + own + `","secret":"` + mark + `"}`)
	if err := b.Microsoft.SetSecret(mark, time.Now().Add(time.Hour), own); err != nil {
		t.Fatal(err)
	}
	c.tell(t, b.Sandbox, "PUT", "/app", nil, 200)
	v := visit(t, b.Sandbox)
	p := v.signIn(c.Link, c.admin())
	if app := p.URL.Query().Get("client_id"); app != own {
		t.Errorf("consent is asked for app %s, want the customer's own %s", app, own)
	}
	v.press(p, accept)
	awaitRuns(t, b.Sandbox, c, 1)
	check(t, b.Sandbox, c)
	if got := c.granted(b.Sandbox); len(got) > 0 {
		t.Errorf("the vendor's apps were granted %v", got)
	}
	conn := c.becomes(t, b.Sandbox, "ok")
	if !conn.OwnApp || conn.App != own {
		t.Errorf("the connection is %+v", conn)
	}

	// Another customer is asked for the vendor's app, as ever.
	p = visit(t, b.Sandbox).signIn(other.Link, other.admin())
	if app := p.URL.Query().Get("client_id"); !slices.Contains(slices.Collect(maps.Values(b.Apps)), app) {
		t.Errorf("another customer's consent is asked for app %s", app)
	}
	if how, _ := other.tenant.Access(own); how != tenant.Absent {
		t.Errorf("in another tenant the app is %s", how)
	}

	for row, text := range unpacked(t, b.Sandbox) {
		if strings.Contains(text, mark) {
			t.Errorf("row %s holds the secret", row)
		}
	}
	settled(t, b.Sandbox, c)
}

// The vendor's apps prove themselves by certificate or secret as well, and an
// old one does until Microsoft knows the new one.
func TestCredentialKinds(t *testing.T) {
	t.Parallel()
	fresh := func(life time.Duration) pki.AppCertificate {
		c, err := pki.App(time.Now().Add(-time.Hour), time.Now().Add(life))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const week = 7 * 24 * time.Hour
	old, next := fresh(week), fresh(52*week)
	for kind, prepare := range map[string]func(t *testing.T) (settings map[string]string, begin, rotate func(s *sandbox.Sandbox) error){
		"certificate in files": func(t *testing.T) (map[string]string, func(*sandbox.Sandbox) error, func(*sandbox.Sandbox) error) {
			dir := t.TempDir()
			var files []string
			for name, c := range map[string]pki.AppCertificate{"1-next.pem": next, "2-old.pem": old} {
				files = append(files, filepath.Join(dir, name))
				if err := os.WriteFile(filepath.Join(dir, name), c.PEM, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(files)
			return map[string]string{"ENTRA_CREDENTIAL": "certificate", "ENTRA_CERTIFICATE_FILES": strings.Join(files, ",")},
				func(s *sandbox.Sandbox) error { return s.Microsoft.RegisterCertificate(old.Certificate) },
				func(s *sandbox.Sandbox) error {
					m := s.Microsoft
					if err := m.RegisterCertificate(next.Certificate); err != nil {
						return err
					}
					return m.RemoveCertificate(old.Certificate)
				}
		},
		"certificate in the vault": func(*testing.T) (map[string]string, func(*sandbox.Sandbox) error, func(*sandbox.Sandbox) error) {
			put := func(m *microsoft.Server, c pki.AppCertificate) error {
				_, err := m.SetVaultSecret("app-certificate", string(c.PEM), microsoft.VaultSecret{ContentType: "application/x-pem-file", Managed: true, Expires: c.Certificate.NotAfter})
				return err
			}
			return map[string]string{"ENTRA_CREDENTIAL": "certificate", "ENTRA_CERTIFICATE_NAME": "app-certificate"},
				func(s *sandbox.Sandbox) error {
					m := s.Microsoft
					if err := put(m, old); err != nil {
						return err
					}
					return m.RegisterCertificate(old.Certificate)
				}, func(s *sandbox.Sandbox) error {
					m := s.Microsoft
					if err := put(m, next); err != nil {
						return err
					}
					if err := m.RegisterCertificate(next.Certificate); err != nil {
						return err
					}
					return m.RemoveCertificate(old.Certificate)
				}
		},
		"secret in the vault": func(*testing.T) (map[string]string, func(*sandbox.Sandbox) error, func(*sandbox.Sandbox) error) {
			// Each app has a secret of its own, which only it can use.
			put := func(s *sandbox.Sandbox, secret string, life time.Duration) error {
				until := time.Now().Add(life)
				for profile, app := range s.Apps {
					name := map[string]string{"mailboxes": "app-secret", "teams": "app-secret-teams", "base": "app-secret-base"}[profile]
					if _, err := s.Microsoft.SetVaultSecret(name, secret+profile, microsoft.VaultSecret{Expires: until}); err != nil {
						return err
					}
					if err := s.Microsoft.SetSecret(secret+profile, until, app); err != nil {
						return err
					}
				}
				return nil
			}
			return map[string]string{"ENTRA_CREDENTIAL": "secret", "ENTRA_SECRET_NAME": "app-secret"},
				func(s *sandbox.Sandbox) error { return put(s, "old-secret-0123456789", week) },
				func(s *sandbox.Sandbox) error {
					if err := put(s, "new-secret-0123456789", 52*week); err != nil {
						return err
					}
					for profile, app := range s.Apps {
						if err := s.Microsoft.RemoveSecret("old-secret-0123456789"+profile, app); err != nil {
							return err
						}
					}
					return nil
				}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			settings, begin, rotate := prepare(t)
			log := &memory{}
			s := start(t, sandbox.Options{Settings: settings, Log: io.MultiWriter(log, testLog{})})
			// The managed identity's word is worth nothing to the apps now.
			if err := s.Microsoft.SetAudience(""); err != nil {
				t.Fatal(err)
			}
			if err := begin(s); err != nil {
				t.Fatal(err)
			}
			c := connected(t, s, tenant.Spec{People: 5})
			check(t, s, c)
			var service struct {
				Credential string
				Expiring   []struct{ What, Name string }
			}
			if _, err := s.Call(t.Context(), "GET", "/v1/service", nil, &service); err != nil || service.Credential != settings["ENTRA_CREDENTIAL"] ||
				len(service.Expiring) == 0 || service.Expiring[0].What != settings["ENTRA_CREDENTIAL"] {
				t.Errorf("the service tells %+v, %v: want one that ends within a week", service, err)
			}
			if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
				t.Fatal(err)
			}
			if err := sandbox.Await(within(t, 10*time.Second), "a warning", func() (bool, error) {
				return slices.ContainsFunc(log.handler(), func(l string) bool { return strings.Contains(l, "credential expires soon") }), nil
			}); err != nil {
				t.Error(err)
			}

			if err := rotate(s); err != nil {
				t.Fatal(err)
			}
			s.Host.Kill() // it would look again within a quarter of a minute
			if r := c.sync(t, s); r.State != "succeeded" {
				t.Errorf("after the rotation: %+v %+v", r, r.Problem)
			}
			d := connected(t, s, tenant.Spec{People: 5})
			check(t, s, d)
			if _, err := s.Call(t.Context(), "GET", "/v1/service", nil, &service); err != nil || len(service.Expiring) > 0 && strings.Contains(kind, "vault") {
				t.Errorf("after the rotation the service tells %+v, %v", service, err)
			}
			for _, line := range log.handler() {
				if strings.Contains(line, "-secret-0123456789") || strings.Contains(line, "PRIVATE KEY") {
					t.Errorf("a line tells a credential: %s", line)
				}
			}
		})
	}
}
