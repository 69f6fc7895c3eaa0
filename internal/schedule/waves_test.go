package schedule

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/connection"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func minute(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }

// suspects are connections seen at the given minutes, each once.
func suspects(minutes ...float64) (cs []connection.Connection) {
	for i, m := range minutes {
		c := connection.Connection{ID: fmt.Sprint(i)}
		c.Health.Suspicion = &connection.Suspicion{First: minute(m), Last: minute(m), Sightings: 1}
		cs = append(cs, c)
	}
	return cs
}

func TestWaves(t *testing.T) {
	none := connection.Wave{}
	old := connection.Wave{Since: minute(-300), Last: minute(-200), Tenants: 9, Version: "v"}
	one := []float64{0, 20, 40}
	dozen := []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	twice := suspects(0, 30)
	twice[0].Health.Suspicion.Last = minute(50) // still two connections
	again := suspects(0, 20, 40)                // the second was acquitted before
	again[1].Health.Acquitted = minute(-9000)
	own := suspects(0, 20, 40) // the third has an app of its own
	own[2].OwnApp = "rollcall-app-x"
	both := suspects(0, 0, 0, 30, 40, 50)
	both[4].Health.Acquitted, both[5].OwnApp = minute(-1), "rollcall-app-x"
	day := connection.Wave{Since: minute(-1430), Last: minute(-20), Tenants: 9, Version: "v"}
	for name, test := range map[string]struct {
		last     connection.Wave
		cs       []connection.Connection
		verified int
		want     []connection.Wave
	}{
		"nobody":                    {none, nil, 5, nil},
		"two of two":                {none, suspects(0, 0), 2, nil},
		"three of three":            {none, suspects(one...), 3, []connection.Wave{{Since: minute(0), Last: minute(40), Tenants: 3}}},
		"three of 150":              {none, suspects(one...), 150, []connection.Wave{{Since: minute(0), Last: minute(40), Tenants: 3}}},
		"three of 151":              {none, suspects(one...), 151, nil},
		"twelve at once of 600":     {none, suspects(dozen...), 600, []connection.Wave{{Since: minute(0), Last: minute(0), Tenants: 12}}},
		"twelve of 601":             {none, suspects(dozen...), 601, nil},
		"two, one of them twice":    {none, twice, 2, nil},
		"an hour":                   {none, suspects(60, 0, 30), 3, []connection.Wave{{Since: minute(0), Last: minute(60), Tenants: 3}}},
		"more than an hour":         {none, suspects(60.1, 0, 30), 3, nil},
		"sliding":                   {none, suspects(0, 40, 70, 90), 4, []connection.Wave{{Since: minute(40), Last: minute(90), Tenants: 3}}},
		"carried on":                {none, suspects(0, 10, 20, 79, 130), 200, nil},
		"carried on by one each":    {none, suspects(0, 10, 20, 79, 130), 100, []connection.Wave{{Since: minute(0), Last: minute(130), Tenants: 5}}},
		"over, then one":            {none, suspects(0, 10, 20, 81), 100, []connection.Wave{{Since: minute(0), Last: minute(20), Tenants: 3}}},
		"two waves":                 {none, suspects(0, 0, 0, 90, 90, 90), 100, []connection.Wave{{Since: minute(0), Last: minute(0), Tenants: 3}, {Since: minute(90), Last: minute(90), Tenants: 3}}},
		"the last one carried on":   {old, suspects(-150), 1000, []connection.Wave{{Since: minute(-300), Last: minute(-150), Tenants: 10, Version: "v"}}},
		"the last one seen again":   {old, suspects(-250), 1000, []connection.Wave{old}},
		"the last one is over":      {old, suspects(-130), 1000, nil},
		"one before the last":       {old, suspects(-600, -600, -600), 100, []connection.Wave{{Since: minute(-600), Last: minute(-600)}}},
		"another after the last":    {old, suspects(one...), 100, []connection.Wave{{Since: minute(0), Last: minute(40), Tenants: 3}}},
		"in the last and after it":  {old, suspects(-200, 0, 0, 0), 100, []connection.Wave{old, {Since: minute(0), Last: minute(0), Tenants: 3}}},
		"before and into the last ": {old, suspects(-380, -380, -380), 100, []connection.Wave{{Since: minute(-380), Last: minute(-380)}}},
		"acquitted, opens none":     {none, again, 3, nil},
		"own app, opens none":       {none, own, 3, nil},
		"neither carries one on":    {none, both, 6, []connection.Wave{{Since: minute(0), Last: minute(30), Tenants: 4}}},
		"the last one, for a day":   {day, suspects(10, 10.1), 3, []connection.Wave{{Since: minute(-1430), Last: minute(10), Tenants: 10, Version: "v"}}},
		"another after a day":       {day, suspects(11, 12, 13), 3, []connection.Wave{{Since: minute(11), Last: minute(13), Tenants: 3}}},
	} {
		got := waves(test.last, sightings(test.cs), test.verified)
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, test.want)
			continue
		}
		if len(got) == 0 {
			continue
		}
		// Once the last is stored, the same sightings find it as it is.
		last := got[len(got)-1]
		again := waves(last, sightings(test.cs), test.verified)
		if len(again) == 0 || again[len(again)-1] != last {
			t.Errorf("%s: again %v", name, again)
		}
	}
}
