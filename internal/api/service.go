package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Credentials knows when what proves the service's apps ends.
type Credentials interface {
	// Expiring lists what ends within that time: the vendor's, and that in the
	// Key Vault secrets named, by connection.
	Expiring(ctx context.Context, within time.Duration, owns map[string]string) ([]connection.Expiry, error)
}

// Waves keeps the wave of disconnects that was seen last.
type Waves interface {
	// Wave is zero if there never was one.
	Wave(ctx context.Context) (connection.Wave, error)
}

// Service is what the service is made of, for whoever operates it.
type Service struct {
	// Cloud is public, usgov, usgovdod or china.
	Cloud string
	// Credential is the kind of the vendor's credential: federated, certificate
	// or secret.
	Credential string
	// Vault is the URL of the Key Vault; empty if there is none.
	Vault       string
	Credentials Credentials
	Waves       Waves
}

// expiryWithin is how far ahead GET /v1/service looks.
const expiryWithin = 90 * 24 * time.Hour

// ServiceState is how the service stands.
type ServiceState struct {
	Cloud       string         `json:"cloud" enum:"public,usgov,usgovdod,china" doc:"The Microsoft cloud." example:"public"`
	Credential  string         `json:"credential" enum:"federated,certificate,secret" doc:"How the service's apps prove themselves to Microsoft." example:"federated"`
	Profiles    []AppProfile   `json:"profiles" nullable:"false" doc:"The permission profiles for which an app is registered, smallest first."`
	Expiring    []Expiry       `json:"expiring" nullable:"false" doc:"Certificates and secrets that end within 90 days, or have ended, the next one first."`
	Problem     *Trouble       `json:"problem,omitempty" doc:"Why expiring cannot be told in full; absent if it can."`
	Wave        *Wave          `json:"wave,omitempty" doc:"Disconnects of so many tenants at once that the cause is taken to be the service's own; absent if there never were."`
	Connections map[string]int `json:"connections" doc:"How many connections there are, by their stored status: those syncing or throttled count by what they were before." example:"{\"ok\":212,\"failed\":3}"`
}

// AppProfile is an app registration of the service's.
type AppProfile struct {
	Name        string   `json:"name" doc:"base, teams or mailboxes." example:"teams"`
	App         string   `json:"app" format:"uuid" doc:"The app's client ID." example:"0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b7"`
	Permissions []string `json:"permissions" nullable:"false" doc:"The application permissions of Microsoft Graph that it asks for."`
}

// Expiry is the end of a certificate or secret.
type Expiry struct {
	What       string    `json:"what" enum:"certificate,secret" example:"certificate"`
	Name       string    `json:"name" doc:"Which one: the Key Vault's name of it, or a file." example:"rollcall"`
	Connection string    `json:"connection,omitempty" doc:"The connection whose own it is; absent for the service's." example:"k7vq2x5n3jd4mzs6ab2chtwyeu"`
	Expires    time.Time `json:"expires" example:"2026-12-31T00:00:00Z"`
}

// Wave is many disconnects at once.
type Wave struct {
	Since   time.Time `json:"since" example:"2026-11-21T08:10:00Z"`
	Last    time.Time `json:"last" doc:"When it was last seen." example:"2026-11-21T09:05:00Z"`
	Tenants int       `json:"tenants" doc:"How many disconnects were seen." example:"41"`
	Open    bool      `json:"open" doc:"Whether it is still going on: nobody is marked as disconnected then." example:"true"`
}

func (a *API) serviceRoutes() {
	register(a, huma.Operation{
		OperationID: "read-service", Method: http.MethodGet, Path: "/v1/service",
		Tags: []string{tagService}, Summary: "Read how the service stands",
		Description: "Its cloud and credential, what of it ends soon, and whether many tenants were disconnected at once. It looks at all connections and at the Key Vault: ask for it some times a day, not some times a minute.",
	}, a.service)
}

func (a *API) service(ctx context.Context, _ *struct{}) (*one[ServiceState], error) {
	v := ServiceState{
		Cloud: a.Service.Cloud, Credential: a.Service.Credential,
		Profiles: []AppProfile{}, Expiring: []Expiry{}, Connections: map[string]int{},
	}
	for _, p := range connection.Profiles {
		if app := a.Registered[p.Name]; app != "" {
			v.Profiles = append(v.Profiles, AppProfile{Name: p.Name, App: app, Permissions: p.Permissions})
		}
	}
	owns := map[string]string{}
	for after := ""; ; {
		cs, next, err := a.Connections.Connections(ctx, after, maxLimit)
		if err != nil {
			return nil, err
		}
		for i := range cs {
			v.Connections[string(cs[i].Status)]++
			if cs[i].OwnApp != "" && cs[i].Status != connection.Offboarded {
				owns[cs[i].ID] = cs[i].OwnApp
			}
		}
		if after = next; next == "" {
			break
		}
	}
	w, err := a.Service.Waves.Wave(ctx)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if !w.Last.IsZero() {
		v.Wave = &Wave{Since: second(w.Since), Last: second(w.Last), Tenants: w.Tenants, Open: w.Open(a.Now())}
	}
	expiring, err := a.Service.Credentials.Expiring(ctx, expiryWithin, owns)
	if err != nil { // told, not refused: who asks is looking for just that
		p := answer(ctx, a.Log, "read-service", err)
		v.Problem = &Trouble{Code: p.code(), Message: "It cannot be told of all certificates and secrets when they end.", Remedy: p.Remedy}
	}
	for _, e := range expiring {
		v.Expiring = append(v.Expiring, Expiry{What: e.What, Name: e.Name, Connection: e.Connection, Expires: second(e.Expires)})
	}
	slices.SortFunc(v.Expiring, func(x, y Expiry) int {
		if d := x.Expires.Compare(y.Expires); d != 0 {
			return d
		}
		return strings.Compare(x.Connection+x.Name, y.Connection+y.Name)
	})
	return &one[ServiceState]{v}, nil
}
