package fairness

import "time"

// Scenario is a simulation with a name.
type Scenario struct {
	Name string
	Config
}

// Scenarios are what is told of a deployment with so many tenants: a usual day,
// an outage of ours after which all are due, the same where Microsoft has
// forgotten all links, so that everybody is read anew, and with a hundredth of
// the app's limit and a tenant that is throttled at every request.
func Scenarios(seed uint64, tenants int) []Scenario {
	usual := Config{Seed: seed, Tenants: tenants, Days: 3, Manual: tenants / 20, Instances: 10, Places: 8}
	outage := usual
	outage.Outage, outage.Impatient = 12*time.Hour, tenants/20
	anew := outage
	anew.Anew, anew.Instances = true, 40
	pressed := anew
	pressed.Divide, pressed.Noisy = 100, 1
	return []Scenario{{"usual days", usual}, {"12 h without us", outage}, {"all read anew", anew}, {"all read anew by 1/100 of the limit", pressed}}
}
