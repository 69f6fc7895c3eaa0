package main

// cloud is one of Microsoft's clouds. Each has its own accounts, and tokens of
// one mean nothing in another, so a deployment serves the tenants of one.
// Source: Microsoft Graph documentation, "National cloud deployments";
// Microsoft Entra documentation, "National clouds" and "Configure an
// application to trust a managed identity".
type cloud struct {
	name      string
	authority string
	graph     string
	// audience is what a managed identity's token must be made for to prove an
	// app.
	audience string
	// portal is where a customer's administrator governs apps.
	portal string
}

var clouds = []cloud{
	{"public", "https://login.microsoftonline.com", "https://graph.microsoft.com", "api://AzureADTokenExchange", "https://entra.microsoft.com"},
	{"usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us", "api://AzureADTokenExchangeUSGov", "https://entra.microsoft.us"},
	{"usgovdod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "api://AzureADTokenExchangeUSGov", "https://entra.microsoft.us"},
	{"china", "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", "api://AzureADTokenExchangeChina", "https://entra.microsoftonline.cn"},
}

// cloudNamed is the public cloud if there is none of that name.
func cloudNamed(name string) cloud {
	for _, c := range clouds {
		if c.name == name {
			return c
		}
	}
	return clouds[0]
}
