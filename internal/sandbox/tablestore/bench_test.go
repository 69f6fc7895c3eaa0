package tablestore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// childVariable makes this test process a store: "plain" or "tls".
const childVariable = "ROLLCALL_TABLESTORE_CHILD"

func serveChild(kind string) int {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, however that does
		stop()
	}()
	if err := Serve(ctx, Options{Kind: Memory, Plain: kind == "plain"}, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// storeProcess is a store in a process of its own.
type storeProcess struct {
	Address
	cmd    *exec.Cmd
	stdin  io.Closer
	client *http.Client
}

func startChild(t testing.TB, kind string) *storeProcess {
	t.Helper()
	c := &storeProcess{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childVariable+"="+kind)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stop(t) })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &c.Address); err != nil {
		t.Fatal(err)
	}
	c.client = &http.Client{Transport: c.Transport()}
	return c
}

// stop ends the child and returns its memory at its most, in bytes.
func (c *storeProcess) stop(t testing.TB) int64 {
	if c.cmd.ProcessState == nil {
		_ = c.stdin.Close()
		if err := c.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	return c.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// cpu is the child's processor time in microseconds, in steps of 10 ms.
func (c *storeProcess) cpu(t testing.TB) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')'):]))
	user, _ := strconv.Atoi(f[12])
	system, _ := strconv.Atoi(f[13])
	return float64(user+system) * 1e4
}

func (c *storeProcess) post(t testing.TB, path, contentType string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"Authorization": "Bearer " + c.Token, "Content-Type": contentType, "Accept": "application/json;odata=minimalmetadata", "x-ms-version": "2019-02-02"} {
		req.Header.Set(k, v)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 || bytes.Contains(answer, []byte("\nHTTP/1.1 4")) {
		t.Fatalf("%d %.600s", resp.StatusCode, answer)
	}
}

const batchType = "multipart/mixed; boundary=batch_36522ad7-fc75-4b56-8c71-56071383e77b"

// people is a transaction of n rows from a number on, each with so many bytes
// in base64, as the SDK writes it.
func people(url string, from, n, size int) []byte {
	var b bytes.Buffer
	data := bytes.Repeat([]byte("some 30 bytes of a person's row"), size/40)[:size*3/4]
	fmt.Fprintf(&b, "--batch_36522ad7-fc75-4b56-8c71-56071383e77b\r\nContent-Type: multipart/mixed; boundary=changeset_8a28b620-b4bb-458c-a177-0959fb14c977\r\n\r\n")
	for i := from; i < from+n; i++ {
		copy(data, strconv.Itoa(i))
		id := fmt.Sprintf("p!%08x-5717-4562-b3fc-2c963f66afa6", uint32(i)*2654435761) // in no order
		fmt.Fprintf(&b, "--changeset_8a28b620-b4bb-458c-a177-0959fb14c977\r\nContent-Transfer-Encoding: binary\r\nContent-Type: application/http\r\n\r\n"+
			"PUT %s/people(PartitionKey='bnao7lmkbd3x3wu72bzywqvyjw',RowKey='%s') HTTP/1.1\r\nAccept: application/json\r\nContent-Length: 1300\r\nContent-Type: application/json\r\nDataServiceVersion: 3.0\r\nx-ms-version: 2019-02-02\r\n\r\n"+
			`{"D0":"%s","D0@odata.type":"Edm.Binary","H":"1234567890123","H@odata.type":"Edm.Int64","PartitionKey":"bnao7lmkbd3x3wu72bzywqvyjw","RowKey":"%s","V":1}`+"\r\n",
			url, strings.ReplaceAll(id, "!", "%21"), base64.StdEncoding.EncodeToString(data), id)
	}
	b.WriteString("--changeset_8a28b620-b4bb-458c-a177-0959fb14c977--\r\n--batch_36522ad7-fc75-4b56-8c71-56071383e77b--\r\n")
	return b.Bytes()
}

func BenchmarkTransaction97(b *testing.B) {
	for _, kind := range []string{"plain", "tls"} {
		b.Run(kind, func(b *testing.B) {
			c := startChild(b, kind)
			c.post(b, "/Tables", "application/json", []byte(`{"TableName":"people"}`))
			bodies := make([][]byte, 64)
			for i := range bodies {
				bodies[i] = people(c.URL, i*97, 97, 1160)
			}
			b.SetBytes(int64(len(bodies[0])))
			before := c.cpu(b)
			for i := 0; b.Loop(); i++ {
				c.post(b, "/$batch", batchType, bodies[i%len(bodies)])
			}
			b.ReportMetric((c.cpu(b)-before)/float64(b.N), "server-cpu-µs/op")
		})
	}
}

// BenchmarkWrite is the work on a transaction without the wire.
func BenchmarkWrite(b *testing.B) {
	m := newInMemory(Pages{}, "")
	if err := m.tables.Create("people"); err != nil {
		b.Fatal(err)
	}
	body := string(people("https://127.0.0.1:1/devstoreaccount1", 0, 97, 1160))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	r := &http.Request{Host: "127.0.0.1:1"}
	for b.Loop() {
		q, refused := parseTransaction(batchType, body)
		if refused != nil {
			b.Fatal(refused)
		}
		if _, refused = m.transact(call{Request: r, q: q}); refused != nil {
			b.Fatal(refused)
		}
	}
}

// BenchmarkQuery reads pages of 1,000 rows.
func BenchmarkQuery(b *testing.B) {
	c := startChild(b, "plain")
	c.post(b, "/Tables", "application/json", []byte(`{"TableName":"people"}`))
	for i := range 20 {
		c.post(b, "/$batch", batchType, people(c.URL, i*97, 97, 1160))
	}
	before := c.cpu(b)
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, c.URL+"/people()?$filter=PartitionKey%20eq%20'bnao7lmkbd3x3wu72bzywqvyjw'%20and%20RowKey%20lt%20'p~'%20and%20RowKey%20ge%20'p!'", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.Token)
		req.Header.Set("Accept", "application/json;odata=minimalmetadata")
		resp, err := c.client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != 200 || n < 1e6 {
			b.Fatal(resp.Status, n, err)
		}
	}
	b.ReportMetric((c.cpu(b)-before)/float64(b.N), "server-cpu-µs/op")
}

// BenchmarkRows stores many rows of 2.5 kB and tells the memory at its most.
func BenchmarkRows(b *testing.B) {
	const size = 2360
	for _, rows := range []int{100_000, 1_000_000} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			for b.Loop() {
				c := startChild(b, "plain")
				c.post(b, "/Tables", "application/json", []byte(`{"TableName":"people"}`))
				for i := 0; i < rows; i += 100 {
					c.post(b, "/$batch", batchType, people(c.URL, i, 100, size))
				}
				cpu := c.cpu(b)
				// A row's bytes: key, property names and values in JSON.
				bytes := float64(rows * (38 + size + len(`"D0@odata.type":"Edm.Binary","D0":"","H@odata.type":"Edm.Int64","H":"1234567890123","V":1`)))
				peak := float64(c.stop(b))
				b.ReportMetric(peak/bytes, "x-stored")
				b.ReportMetric(peak/(1<<30), "GiB")
				b.ReportMetric(cpu/float64(rows), "server-cpu-µs/row")
			}
		})
	}
}
