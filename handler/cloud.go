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
}

var clouds = []cloud{
	{"public", "https://login.microsoftonline.com", "https://graph.microsoft.com", "api://AzureADTokenExchange"},
	{"usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us", "api://AzureADTokenExchangeUSGov"},
	{"usgovdod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "api://AzureADTokenExchangeUSGov"},
	{"china", "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", "api://AzureADTokenExchangeChina"},
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
