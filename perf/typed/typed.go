// Command typed is the other side: Microsoft Graph's SDK for Go as its
// documentation shows it, with typed models and its page iterator.
//
// It is the only package that compiles the SDK's models, which takes minutes
// and some gigabytes; nothing else imports it.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	auth "github.com/microsoft/kiota-authentication-azure-go"
	khttp "github.com/microsoft/kiota-http-go"
	msgraph "github.com/microsoftgraph/msgraph-sdk-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go/groups"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"rollcall/perf/crowd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

func main() {
	tasks := map[string]side.Prepare{
		"people": side.Arg(people), "groups": side.Arg(memberships), "sync": side.Arg(syncs), "sweep": side.Arg(sweep),
	}
	if err := side.Serve(tasks, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "typed:", err)
		os.Exit(1)
	}
}

// client is a new typed client over the transport, with the SDK's default
// middleware.
func client(s wires.Servers, t http.RoundTripper) (*msgraph.GraphServiceClient, *msgraph.GraphRequestAdapter, error) {
	provider, err := auth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(wires.Token{}, []string{s.Graph + "/.default"}, []string{"127.0.0.1"})
	if err != nil {
		return nil, nil, err
	}
	options := msgraph.GetDefaultClientOptions()
	middlewares := core.GetDefaultMiddlewaresWithOptions(&options)
	h := &http.Client{Transport: khttp.NewCustomTransportWithParentTransport(t, middlewares...), Timeout: 100 * time.Second}
	adapter, err := msgraph.NewGraphRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(provider, nil, nil, h)
	if err != nil {
		return nil, nil, err
	}
	adapter.SetBaseUrl(s.Graph + "/v1.0")
	return msgraph.NewGraphServiceClient(adapter), adapter, nil
}

// Chain is a round of pages to read.
type Chain struct {
	Servers wires.Servers
	Digest  bool
	// Selected are the properties to ask for, id among them.
	Selected []string
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// person reads every property by its getter.
func person(u models.Userable) (p crowd.Person) {
	p = crowd.Person{
		ID: text(u.GetId()), Mail: text(u.GetMail()), UserPrincipalName: text(u.GetUserPrincipalName()), DisplayName: text(u.GetDisplayName()),
		GivenName: text(u.GetGivenName()), Surname: text(u.GetSurname()), MobilePhone: text(u.GetMobilePhone()),
		PreferredLanguage: text(u.GetPreferredLanguage()), UserType: text(u.GetUserType()), JobTitle: text(u.GetJobTitle()),
		Department: text(u.GetDepartment()), OfficeLocation: text(u.GetOfficeLocation()), EmployeeID: text(u.GetEmployeeId()),
		OtherMails: u.GetOtherMails(), ProxyAddresses: u.GetProxyAddresses(), BusinessPhones: u.GetBusinessPhones(),
	}
	if at := u.GetEmployeeHireDate(); at != nil {
		p.EmployeeHireDate = at.Format(time.RFC3339)
	}
	if on := u.GetAccountEnabled(); on != nil {
		p.AccountEnabled = *on
	}
	for _, l := range u.GetAssignedLicenses() {
		p.AssignedLicenses = append(p.AssignedLicenses, l.GetSkuId().String())
	}
	for _, m := range untyped(u.GetAdditionalData()["manager@delta"]) {
		p.Manager = m["id"]
	}
	return p
}

// each reads a whole enumeration of people.
func each(ctx context.Context, s wires.Servers, t http.RoundTripper, selected []string, do func(models.Userable) error) error {
	c, adapter, err := client(s, t)
	if err != nil {
		return err
	}
	first, err := c.Users().Delta().GetAsDeltaGetResponse(ctx, &users.DeltaRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.DeltaRequestBuilderGetQueryParameters{Select: selected},
	})
	if err != nil {
		return err
	}
	pages, err := core.NewPageIterator[models.Userable](first, adapter, users.CreateDeltaGetResponseFromDiscriminatorValue)
	if err != nil {
		return err
	}
	var failed error
	err = pages.Iterate(ctx, func(u models.Userable) bool {
		failed = do(u)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

func people(a Chain) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		n := 0
		err = each(context.Background(), a.Servers, t, a.Selected, func(u models.Userable) error {
			p := person(u)
			out.Units++
			n += len(p.DisplayName)
			if a.Digest {
				out.Digest += p.Digest()
			}
			return nil
		})
		return out, err
	}, nil
}

func memberships(a Chain) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		ctx := context.Background()
		c, adapter, err := client(a.Servers, t)
		if err != nil {
			return out, err
		}
		first, err := c.Groups().Delta().GetAsDeltaGetResponse(ctx, &groups.DeltaRequestBuilderGetRequestConfiguration{
			QueryParameters: &groups.DeltaRequestBuilderGetQueryParameters{Select: a.Selected},
		})
		if err != nil {
			return out, err
		}
		pages, err := core.NewPageIterator[models.Groupable](first, adapter, groups.CreateDeltaGetResponseFromDiscriminatorValue)
		if err != nil {
			return out, err
		}
		err = pages.Iterate(ctx, func(g models.Groupable) bool {
			for _, m := range untyped(g.GetAdditionalData()["members@delta"]) {
				out.Units++
				if a.Digest {
					out.Digest += crowd.Membership(text(g.GetId()), strings.ToLower(m["id"]))
				}
			}
			return true
		})
		return out, err
	}, nil
}
