package graph

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
)

// benchPeople is a page of users/delta with 999 users of 22 properties, three
// of them unknown to us, as Graph writes it.
func benchPeople() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	id := func() string {
		return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
	}
	var b bytes.Buffer
	b.WriteString(`{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#users","@odata.nextLink":"https://graph.microsoft.com/v1.0/users/delta?$skiptoken=` + strings.Repeat("x", 600) + `","value":[`)
	for i := range 999 {
		if i > 0 {
			b.WriteByte(',')
		}
		given, family := fmt.Sprintf("Given%d", r.IntN(5000)), fmt.Sprintf("Family%d", r.IntN(50000))
		mail := strings.ToLower(given + "." + family + "@contoso.example")
		fmt.Fprintf(&b, `{"displayName":"%s %s","mail":"%s","otherMails":["%s"],"proxyAddresses":["SMTP:%s","smtp:%s"],"userPrincipalName":"%s","givenName":"%s","surname":"%s","businessPhones":["+1 425 555 %04d"],"mobilePhone":null,"preferredLanguage":"en-US","accountEnabled":true,"userType":"Member","jobTitle":"Engineer %d","department":"Department %d","officeLocation":"%d/%d","employeeId":"%06d","employeeHireDate":"2019-05-%02dT00:00:00Z","assignedLicenses":[{"disabledPlans":[],"skuId":"%s"}],"city":"Redmond","country":"United States","companyName":"Contoso","id":"%s","manager@delta":[{"@odata.type":"#microsoft.graph.user","id":"%s"}]}`,
			given, family, mail, "p."+mail, mail, "alias."+mail, mail, given, family, r.IntN(10000), r.IntN(9), r.IntN(40), r.IntN(90), r.IntN(9000), r.IntN(1e6), 1+r.IntN(28), id(), id(), id())
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// benchGroups is a page of groups/delta with so many members in all.
func benchGroups(groups, members int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	b.WriteString(`{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#groups","@odata.nextLink":"x","value":[`)
	for i := range groups {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"displayName":"Team %d","description":"What team %d does","mail":"team%d@contoso.example","visibility":"Private","groupTypes":["Unified"],"securityEnabled":false,"resourceProvisioningOptions":["Team"],"id":"%08x-0000-4000-8000-000000000000","members@delta":[`, i, i, i, i)
		for j := range members / groups {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"@odata.type":"#microsoft.graph.user","id":"%08x-%04x-4000-8000-%012x"}`, r.Uint32(), r.IntN(1<<16), r.Int64N(1<<48))
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// spent is the CPU time of the process so far. What a page costs is told in
// it, since the wall clock tells of the machine's other tenants too.
func spent() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// each reports the CPU time since start per user or member.
func each(b *testing.B, start time.Duration, n int, what string) {
	b.ReportMetric(float64((spent()-start).Nanoseconds())/float64(b.N)/float64(n), "cpu-ns/"+what)
}

func prints(b *testing.B, items []directory.Item) (sum uint64) {
	for i := range items {
		sum += items[i].Fingerprint()
	}
	if len(items) != 999 || sum == 0 {
		b.Fatal(len(items), "items")
	}
	return sum
}

// BenchmarkDecodePeople is a page of users to people with fingerprints.
func BenchmarkDecodePeople(b *testing.B) {
	page := benchPeople()
	b.ReportAllocs()
	b.SetBytes(int64(len(page)))
	start := spent()
	for b.Loop() {
		p, err := DecodePeople(page)
		if err != nil {
			b.Fatal(err)
		}
		prints(b, p.Items)
	}
	each(b, start, 999, "user")
}

// BenchmarkDecodePeopleJSON is the same with encoding/json.
func BenchmarkDecodePeopleJSON(b *testing.B) {
	page := benchPeople()
	b.ReportAllocs()
	start := spent()
	for b.Loop() {
		var body struct {
			Value []oracleUser `json:"value"`
		}
		if err := json.Unmarshal(page, &body); err != nil {
			b.Fatal(err)
		}
		for i := range body.Value {
			p := body.Value[i].person(body.Value[i].ID)
			_ = p.Fingerprint()
		}
	}
	each(b, start, 999, "user")
}

// BenchmarkDecodeGroups is a page of memberships: of large teams, and of many.
func BenchmarkDecodeGroups(b *testing.B) {
	for _, groups := range []int{2, 200} {
		const members = 10_000
		page := benchGroups(groups, members)
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(page)))
			start := spent()
			for b.Loop() {
				p, err := DecodeGroups(page)
				if err != nil || len(p.Items) != groups || len(p.Items[groups-1].Joined) != members/groups {
					b.Fatal(len(p.Items), err)
				}
			}
			each(b, start, members, "member")
		})
	}
}

// pass is a token for every tenant.
type pass struct{}

func (pass) Tenant(connection.Access) (azcore.TokenCredential, error) { return pass{}, nil }
func (pass) Fresh(connection.Access) (azcore.TokenCredential, error)  { return pass{}, nil }
func (pass) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "secret", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// serving answers every request with a page, in gzip.
func serving(b *testing.B, page []byte) *httptest.Server {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(page)
	_ = z.Close()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	b.Cleanup(s.Close)
	return s
}

// BenchmarkCall is a page of users over TLS, through the SDK's pipeline, to
// people with fingerprints. The server is in the same process, and costs part
// of it.
func BenchmarkCall(b *testing.B) {
	s := serving(b, benchPeople())
	c, err := New(s.URL, pass{}, s.Client().Transport)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	start := spent()
	for b.Loop() {
		p, err := c.People(b.Context(), connection.Access{Tenant: "t"}, "", nil)
		if err != nil {
			b.Fatal(err)
		}
		prints(b, p.Items)
	}
	each(b, start, 999, "user")
}

// BenchmarkFloor is the least that such a call can cost: read, inflate, and one
// pass over the bytes.
func BenchmarkFloor(b *testing.B) {
	s := serving(b, benchPeople())
	client := &http.Client{Transport: s.Client().Transport}
	mem := newResponse()
	b.ReportAllocs()
	start := spent()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		mem.body = mem.body[:0]
		if err := mem.read(resp, maxBody); err != nil || crc32.ChecksumIEEE(mem.body) == 0 {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	each(b, start, 999, "user")
}
