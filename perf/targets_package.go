package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// weighPackage runs the repository's own benchmark of the staged package, which
// starts the handler as the Functions host does.
func weighPackage(*bench) ([]metric, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "Package", "-benchtime", "15x", "./internal/repo")
	cmd.Dir = ".."
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	figures := map[string]float64{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(words[0], "BenchmarkPackage") {
			continue
		}
		for i := 2; i+1 < len(words); i += 2 {
			if v, err := strconv.ParseFloat(words[i], 64); err == nil {
				figures[words[i+1]] = v
			}
		}
	}
	if len(figures) == 0 {
		return nil, fmt.Errorf("go test -bench Package: %w\n%s%s", err, out, errs.Bytes())
	}
	return []metric{ // beyond a limit the benchmark fails, and has told its figures
		{name: "binary", unit: " MB", values: []float64{figures["MB-binary"]}, limit: 25},
		{name: "start to the first answer, median of 15", unit: " ms", values: []float64{figures["ms-start"]}, limit: 50},
		{name: "resident memory after it", unit: " MiB", values: []float64{figures["MiB-RSS"]}, limit: 40},
		{name: "zip of the package", unit: " MB", values: []float64{figures["MB-zip"]}},
	}, nil
}
