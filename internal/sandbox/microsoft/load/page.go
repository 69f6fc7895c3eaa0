package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// maxEntry bounds one entry in bytes, so that no file can fill the memory. A
// person with everything set takes 100 KB, a group with 20 expanded members
// less.
const maxEntry = 8 << 20

// errPage is wrapped when what is around the entries is wrong.
var errPage = errors.New("this is no page of Graph")

// bounded is a reader that gives up when one entry takes too much.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an entry is longer than %d bytes", maxEntry)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// tally is how many pages there were, and how many of them have a nextLink.
type tally struct{ pages, unfinished int }

// documents reads one page after the other and gives each of their entries to
// entry, of which only one is in memory at a time.
func documents(r io.Reader, entry func(object) error) (tally, error) {
	in := bufio.NewReader(r)
	switch mark, _ := in.Peek(3); { // a short file has no mark
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3) // it was peeked
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return tally{}, fmt.Errorf("%w: it is in UTF-16; save it as UTF-8", errPage)
	}
	p := &pages{in: &bounded{r: in}}
	p.dec = json.NewDecoder(p.in)
	for {
		p.in.left = maxEntry
		tok, err := p.dec.Token()
		if err == io.EOF && p.pages > 0 {
			return p.tally, nil
		}
		if err != nil || tok != json.Delim('{') {
			return p.tally, p.broken(err, `want {"value":[…]}`)
		}
		if err := p.page(entry); err != nil {
			return p.tally, err
		}
	}
}

// pages is the reader's state.
type pages struct {
	in  *bounded
	dec *json.Decoder
	tally
}

// broken says why a page cannot be read.
func (p *pages) broken(err error, want string) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%w: at byte %d: %w; save the answer again, whole", errPage, p.dec.InputOffset(), err)
	}
	return fmt.Errorf("%w: at byte %d: %s", errPage, p.dec.InputOffset(), want)
}

// page reads one page behind its opening brace.
func (p *pages) page(entry func(object) error) error {
	entries, next := false, false
	for p.dec.More() {
		p.in.left = maxEntry
		name, err := p.dec.Token()
		if err != nil {
			return p.broken(err, "")
		}
		if name == "value" {
			if entries {
				return p.broken(nil, "value is there twice")
			}
			entries = true
			if err := p.entries(entry); err != nil {
				return err
			}
			continue
		}
		var other json.RawMessage
		if err := p.dec.Decode(&other); err != nil {
			return p.broken(err, "")
		}
		switch {
		case name == "error":
			return p.broken(nil, "it is an error that Graph answered; ask again")
		case name == "@odata.nextLink" && string(other) != "null":
			next = true
		}
	}
	if _, err := p.dec.Token(); err != nil { // the closing brace
		return p.broken(err, "")
	}
	if !entries {
		return p.broken(nil, `there is no "value" with a list of entries`)
	}
	p.pages++
	if next {
		p.unfinished++
	}
	return nil
}

// entries reads the list.
func (p *pages) entries(entry func(object) error) error {
	tok, err := p.dec.Token()
	if err != nil || tok != json.Delim('[') {
		return p.broken(err, `"value" is no list`)
	}
	for p.dec.More() {
		p.in.left = maxEntry
		var raw json.RawMessage
		if err := p.dec.Decode(&raw); err != nil {
			return p.broken(err, "")
		}
		var e object
		if err := json.Unmarshal(raw, &e.props); err != nil || e.props == nil {
			return p.broken(nil, "an entry is no object")
		}
		e.raw = raw
		if err := entry(e); err != nil {
			return err
		}
	}
	if _, err := p.dec.Token(); err != nil { // the closing bracket
		return p.broken(err, "")
	}
	return nil
}

// object is one entry.
type object struct {
	raw   json.RawMessage
	props map[string]json.RawMessage
}

func (o object) into(v any) error {
	if err := json.Unmarshal(o.raw, v); err != nil {
		return fmt.Errorf("its form is not Graph's: %w", err)
	}
	return nil
}

// id is the entry's ID in lower case.
func (o object) id() (string, error) {
	var s string
	if err := json.Unmarshal(o.props["id"], &s); err != nil || !tenant.IsGUID(strings.ToLower(s)) {
		return "", errors.New("id: want a GUID; was the export made with $select=id,…?")
	}
	return strings.ToLower(s), nil
}

// null says whether a property is absent or null.
func (o object) null(name string) bool {
	v, ok := o.props[name]
	return !ok || string(v) == "null"
}

// removed says whether the entry is a delta's word that the object is gone.
func (o object) removed() bool { return !o.null("@removed") }

// list reads a property that is a list of objects, such as members.
func (o object) list(name string) (out []object, err error) {
	if o.null(name) {
		return nil, nil
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(o.props[name], &raws); err != nil {
		return nil, fmt.Errorf("%s: want a list", name)
	}
	for _, raw := range raws {
		m := object{raw: raw}
		if err := json.Unmarshal(raw, &m.props); err != nil || m.props == nil {
			return nil, fmt.Errorf("%s: want a list of objects", name)
		}
		out = append(out, m)
	}
	return out, nil
}
