// Package browser is an administrator's browser without a window: it follows
// redirects, keeps cookies, and presses buttons of forms.
//
// It does what a person can do with a page and nothing else: no JavaScript,
// no hidden shortcuts.
package browser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Browser has its own cookies. It is not safe for concurrent use.
type Browser struct {
	client *http.Client
}

// New returns a browser without cookies that connects as the client does.
func New(c *http.Client) (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	return &Browser{client: &http.Client{Transport: c.Transport, Timeout: c.Timeout, Jar: jar}}, nil
}

// Page is what came back.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Title  string
	// Text is what the page says, with runs of white space as one space.
	Text string
	// Heading is the text of the first h1.
	Heading string
	// Refresh is the http-equiv of that name: after how many seconds the page
	// loads itself again, as "5"; empty for never.
	Refresh string
	// Actions are where the forms lead, as the page writes it.
	Actions []string
	forms   []form
	// Visited holds the addresses of the redirects on the way, and this one.
	Visited []string
}

type form struct {
	action, method string
	fields         url.Values
	buttons        []button
}

type button struct{ name, value, text string }

// Open fetches a page.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("browser: open: %w", err)
	}
	return b.do(req)
}

// Press checks the boxes that must be checked, and presses the first button of
// p whose text contains the given one.
func (b *Browser) Press(ctx context.Context, p *Page, text string) (*Page, error) {
	for _, f := range p.forms {
		i := slices.IndexFunc(f.buttons, func(bt button) bool { return strings.Contains(bt.text, text) })
		if i < 0 {
			continue
		}
		fields := url.Values{}
		for k, v := range f.fields {
			fields[k] = v
		}
		if bt := f.buttons[i]; bt.name != "" {
			fields.Set(bt.name, bt.value)
		}
		to, err := p.URL.Parse(f.action)
		if err != nil {
			return nil, fmt.Errorf("browser: press %q: %w", text, err)
		}
		if f.method != http.MethodPost {
			to.RawQuery = fields.Encode()
			return b.Open(ctx, to.String())
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
		if err != nil {
			return nil, fmt.Errorf("browser: press %q: %w", text, err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		site := "cross-site"
		if to.Host == p.URL.Host {
			site = "same-origin"
		}
		req.Header.Set("Sec-Fetch-Site", site)
		return b.do(req)
	}
	return nil, fmt.Errorf("browser: no button %q on %q: %s", text, p.Title, p.Text)
}

// maxPage bounds a page, in bytes.
const maxPage = 4 << 20

func (b *Browser) do(req *http.Request) (*Page, error) {
	p := &Page{}
	c := *b.client
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		p.Visited = append(p.Visited, r.URL.String())
		if len(via) > 15 {
			return fmt.Errorf("more than 15 redirects")
		}
		return nil
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	return p, p.show(resp)
}

// Read shows an answer that was fetched without a browser's help, and closes
// its body.
func Read(resp *http.Response) (*Page, error) {
	p := &Page{}
	return p, p.show(resp)
}

func (p *Page) show(resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	p.URL, p.Status, p.Header = resp.Request.URL, resp.StatusCode, resp.Header
	doc, err := html.Parse(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return fmt.Errorf("browser: %s: %w", resp.Request.URL.Host, err)
	}
	var text strings.Builder
	p.read(doc, &text, nil)
	p.Text = strings.Join(strings.Fields(text.String()), " ")
	return nil
}

// read collects text and forms below n; in is the form around it.
func (p *Page) read(n *html.Node, text *strings.Builder, in *form) {
	if n.Type == html.TextNode {
		text.WriteString(n.Data + " ")
	}
	if n.Type == html.ElementNode {
		switch n.Data {
		case "script", "style":
			return
		case "title":
			p.Title = strings.TrimSpace(content(n))
			return
		case "h1":
			if p.Heading == "" {
				p.Heading = strings.Join(strings.Fields(content(n)), " ")
			}
		case "meta":
			if strings.EqualFold(attr(n, "http-equiv"), "refresh") {
				p.Refresh = attr(n, "content")
			}
		case "form":
			f := form{action: attr(n, "action"), method: strings.ToUpper(attr(n, "method")), fields: url.Values{}}
			for c := n.FirstChild; c != nil; c = c.NextSibling {
				p.read(c, text, &f)
			}
			p.forms = append(p.forms, f)
			p.Actions = append(p.Actions, f.action)
			return
		case "input":
			box := attr(n, "type") == "checkbox"
			if in != nil && attr(n, "name") != "" && (!box || has(n, "required") || has(n, "checked")) {
				in.fields.Add(attr(n, "name"), attr(n, "value"))
			}
		case "button":
			if in != nil {
				in.buttons = append(in.buttons, button{attr(n, "name"), attr(n, "value"), strings.Join(strings.Fields(content(n)), " ")})
			}
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		p.read(c, text, in)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func content(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var s strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		s.WriteString(content(c))
	}
	return s.String()
}
