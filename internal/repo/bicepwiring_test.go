package repo

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// written is how the value of each property below an object is written, by
// path: properties.subnets[0].name. Lists in one line are taken as a whole.
func written(object *node) map[string]string {
	all := make(map[string]string)
	var value func(path string, v *node)
	value = func(path string, v *node) {
		switch {
		case v.Type == "object":
			for _, p := range v.Nodes {
				if p.Type == "object_property" && len(p.Nodes) == 2 {
					value(strings.TrimPrefix(path+"."+key(p.Nodes[0]), "."), p.Nodes[1])
				}
			}
		case v.Type == "array" && v.Source == "" && v.Text == "":
			for i, item := range v.Nodes {
				value(fmt.Sprintf("%s[%d]", path, i), item)
			}
		default:
			all[path] = v.Source + v.Text // a leaf has the latter
		}
	}
	value("", object)
	return all
}

// made is the one resource of a file with a symbol, as it is written.
func made(t *testing.T, file, symbol string) map[string]string {
	t.Helper()
	for _, r := range bicepFiles(t)[file].resources {
		if r.symbol == symbol {
			return written(r.body)
		}
	}
	t.Fatalf("infra/%s makes no %s", file, symbol)
	return nil
}

// same compares what is written with what is wanted; where only is false, there
// may be more.
func same(t *testing.T, where string, got, want map[string]string, only bool) {
	t.Helper()
	for path, w := range want {
		if got[path] != w {
			t.Errorf("%s: %s is %q, want %q", where, path, got[path], w)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok && only {
			t.Errorf("%s sets %s, which no line of the test knows", where, path)
		}
	}
}

// Who gets which role on what. A scope that is too wide, or another one than the
// name is made of, works, so that nobody would see it.
func TestBicepRolesAreNarrow(t *testing.T) {
	const file = "modules/roles.bicep"
	want := map[string]struct{ scope, role, principal string }{
		"blobs":          {"storage", "storageBlobDataOwner", "principalId"},
		"tables":         {"storage", "storageTableDataContributor", "principalId"},
		"receiveJobs":    {"bus::queue", "serviceBusDataReceiver", "principalId"},
		"sendJobs":       {"bus::queue", "serviceBusDataSender", "principalId"},
		"sendChanges":    {"bus::topic", "serviceBusDataSender", "principalId"},
		"receiveChanges": {"bus::topic::subscription[i]", "serviceBusDataReceiver", "c.principalId"},
		"secrets":        {"vault", "keyVaultSecretsUser", "principalId"},
		"telemetry":      {"insights", "monitoringMetricsPublisher", "principalId"},
	}
	for _, r := range bicepFiles(t)[file].resources {
		w, ok := want[r.symbol]
		if assigns := strings.HasPrefix(r.typ, "Microsoft.Authorization/roleAssignments@"); assigns != ok {
			t.Errorf("%s: assigns a role %v, want %v", r.symbol, assigns, ok)
		}
		if !ok {
			continue
		}
		delete(want, r.symbol)
		same(t, file+": "+r.symbol, written(r.body), map[string]string{
			"name":                        "guid(" + w.scope + ".id, " + w.principal + ", " + w.role + ")",
			"scope":                       w.scope,
			"properties.roleDefinitionId": "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', " + w.role + ")",
			"properties.principalId":      w.principal,
		}, false)
	}
	if len(want) > 0 {
		t.Errorf("%s does not assign %v", file, slices.Sorted(maps.Keys(want)))
	}
	for symbol, name := range map[string]string{
		"storage": "storageName", "bus": "busName", "queue": "queueName", "topic": "topicName", "subscription": "c.name", "vault": "vaultName", "insights": "insightsName",
	} {
		same(t, file+": "+symbol, made(t, file, symbol), map[string]string{"name": name}, true)
	}
}

// What each module is handed by main.bicep, where it is not a parameter of the
// same name.
func TestBicepModulesAreWired(t *testing.T) {
	main := bicepFiles(t)["main.bicep"]
	want := map[string]map[string]string{
		"identity":   {},
		"monitoring": {"retentionDays": "logRetentionDays"},
		"storage":    {"name": "replace(name, '-', '')", "publicAccess": "!privateNetworking"},
		"bus":        {"consumers": "changeConsumers"},
		"vault":      {"recover": "recoverVault", "publicAccess": "!privateNetworking"},
		"roles": {
			"principalId": "identity.outputs.principalId", "storageName": "storage.outputs.name", "busName": "bus.outputs.name", "queueName": "bus.outputs.queueName",
			"topicName": "bus.outputs.topicName", "vaultName": "vault.outputs.name", "insightsName": "monitoring.outputs.insightsName", "consumers": "changeConsumers",
		},
		"network": {"subnetBits": "appSubnetBits", "storageId": "storage.outputs.id", "vaultId": "vault.outputs.id"},
		"app": {
			"identityId": "identity.outputs.id", "identityClientId": "identity.outputs.clientId", "storageName": "storage.outputs.name",
			"blobEndpoint": "storage.outputs.blobEndpoint", "tableEndpoint": "storage.outputs.tableEndpoint", "packageContainer": "storage.outputs.packageContainer",
			"busHost": "bus.outputs.host", "vaultUri": "vault.outputs.uri", "linkKeysUri": "vault.outputs.linkKeysUri",
			"insightsConnection": "monitoring.outputs.insightsConnection", "subnetId": "privateNetworking ? network.outputs.appSubnetId : ''",
		},
		"alerts": {
			"workspaceId": "monitoring.outputs.workspaceId", "busId": "bus.outputs.id", "queueName": "bus.outputs.queueName", "contacts": "alertContacts",
		},
		"workbook": {"workspaceId": "monitoring.outputs.workspaceId"},
		"budget":   {"amount": "budgetAmount", "contacts": "budgetContacts", "start": "budgetStart"},
	}
	for name, m := range main.modules {
		w, ok := want[name]
		if !ok {
			t.Errorf("main.bicep has a module %s, which no line of the test knows", name)
		}
		delete(want, name)
		got := written(property(m.value, "params"))
		maps.DeleteFunc(got, func(param, v string) bool { return param == v && w[param] == "" })
		same(t, "module "+name, got, w, true)
	}
	if len(want) > 0 {
		t.Errorf("main.bicep lacks the modules %v", slices.Sorted(maps.Keys(want)))
	}
	// The platform reads the package, and the app its keys, once they may.
	if after := property(main.modules["app"].value, "dependsOn"); after == nil || len(after.Nodes) != 1 || after.Nodes[0].Text != "roles" {
		t.Error("the app does not wait for the roles")
	}
}

// What each module hands back.
func TestBicepOutputsAreWired(t *testing.T) {
	want := map[string]map[string]string{
		"identity":   {"id": "identity.id", "clientId": "identity.properties.clientId", "principalId": "identity.properties.principalId"},
		"monitoring": {"workspaceId": "workspace.id", "insightsName": "insights.name", "insightsConnection": "insights.properties.ConnectionString"},
		"storage": {
			"id": "account.id", "name": "account.name", "blobEndpoint": "account.properties.primaryEndpoints.blob", "tableEndpoint": "account.properties.primaryEndpoints.table",
			"packageContainer": "packageContainer",
		},
		"bus": {
			"id": "namespace.id", "name": "namespace.name", "queueName": "queueName", "topicName": "topicName",
			"host": "split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]",
		},
		"vault": {
			"id": "vault.id", "name": "vault.name", "uri": "vault.properties.vaultUri", "linkKeysUri": "'${vault.properties.vaultUri}secrets/${linkKeys.name}'",
		},
		"network":  {"appSubnetId": "network::app.id"},
		"app":      {"name": "app.name", "publicUrl": "url"},
		"budget":   {"start": "begin"},
		"roles":    {},
		"alerts":   {},
		"workbook": {},
	}
	for name := range bicepFiles(t)["main.bicep"].modules {
		got := make(map[string]string)
		for output, d := range bicepFiles(t)["modules/"+name+".bicep"].outputs {
			got[output] = d.value.Source + d.value.Text
		}
		same(t, "outputs of "+name, got, want[name], true)
	}
	same(t, "budget", made(t, "modules/budget.bicep", "budget"), map[string]string{
		"properties.amount": "amount", "properties.timeGrain": "'Monthly'", "properties.timePeriod.startDate": "begin",
		"properties.notifications.spent80.enabled": "true", "properties.notifications.spent80.threshold": "80", "properties.notifications.spent80.contactEmails": "contacts",
		"properties.notifications.forecast100.enabled": "true", "properties.notifications.forecast100.threshold": "100", "properties.notifications.forecast100.contactEmails": "contacts",
	}, false)
	got := make(map[string]string)
	for output, d := range bicepFiles(t)["main.bicep"].outputs {
		got[output] = d.value.Source + d.value.Text
	}
	same(t, "outputs of main", got, map[string]string{
		"AZURE_RESOURCE_GROUP":           "group.name",
		"AZURE_TENANT_ID":                "tenant().tenantId",
		"ROLLCALL_APP_NAME":              "app.outputs.name",
		"ROLLCALL_PUBLIC_URL":            "app.outputs.publicUrl",
		"ROLLCALL_REDIRECT_URI":          "'${app.outputs.publicUrl}/consent/callback'",
		"ROLLCALL_IDENTITY_CLIENT_ID":    "identity.outputs.clientId",
		"ROLLCALL_IDENTITY_PRINCIPAL_ID": "identity.outputs.principalId",
		"ROLLCALL_STORAGE_NAME":          "storage.outputs.name",
		"ROLLCALL_TABLES_ENDPOINT":       "storage.outputs.tableEndpoint",
		"ROLLCALL_BUS_HOST":              "bus.outputs.host",
		"ROLLCALL_VAULT_URL":             "vault.outputs.uri",
		"ROLLCALL_WORKSPACE_ID":          "monitoring.outputs.workspaceId",
		"ROLLCALL_INSIGHTS_NAME":         "monitoring.outputs.insightsName",
		// It sticks, but only once there is a budget: a new one may begin this month.
		"ROLLCALL_BUDGET_START": "budgetAmount > 0 ? budget.outputs.start : ''",
	}, true)
}

// What the app is told, and by which identity it works.
func TestBicepAppIsWired(t *testing.T) {
	got := make(map[string]string)
	for name, v := range appSettings(t) {
		got[name] = v.Source + v.Text
	}
	same(t, "app settings", got, map[string]string{
		"AzureWebJobsStorage__credential":               "'managedidentity'",
		"AzureWebJobsStorage__clientId":                 "identityClientId",
		"AzureWebJobsStorage__accountName":              "storageName",
		"AzureWebJobsStorage__blobServiceUri":           "blobEndpoint",
		"AzureWebJobsStorage__tableServiceUri":          "tableEndpoint",
		"ServiceBusConnection__credential":              "'managedidentity'",
		"ServiceBusConnection__clientId":                "identityClientId",
		"ServiceBusConnection__fullyQualifiedNamespace": "busHost",
		"APPLICATIONINSIGHTS_CONNECTION_STRING":         "insightsConnection",
		"APPLICATIONINSIGHTS_AUTHENTICATION_STRING":     "'ClientId=${identityClientId};Authorization=AAD'",
		"PUBLIC_URL":      "url",
		"LINK_KEYS":       "'@Microsoft.KeyVault(SecretUri=${linkKeysUri})'",
		"AZURE_CLIENT_ID": "identityClientId",
		"ENTRA_APP_ID":    "entraAppId",
		"KEY_VAULT_URL":   "vaultUri",
		"TABLES_ENDPOINT": "tableEndpoint",
	}, true)
	app, storage := made(t, "modules/app.bicep", "app"), "properties.functionAppConfig.deployment.storage."
	same(t, "app", app, map[string]string{
		"properties.serverFarmId":                                                               "plan.id",
		"properties.keyVaultReferenceIdentity":                                                  "identityId", // its resource ID: by its client ID no reference is resolved
		"properties.virtualNetworkSubnetId":                                                     "empty(subnetId) ? null : subnetId",
		storage + "value":                                                                       "'${blobEndpoint}${packageContainer}'",
		storage + "authentication.userAssignedIdentityResourceId":                               "identityId",
		"properties.functionAppConfig.scaleAndConcurrency.maximumInstanceCount":                 "maximumInstanceCount",
		"properties.functionAppConfig.scaleAndConcurrency.instanceMemoryMB":                     "instanceMemoryMB",
		"properties.functionAppConfig.scaleAndConcurrency.alwaysReady":                          "alwaysReady",
		"properties.functionAppConfig.scaleAndConcurrency.triggers.http.perInstanceConcurrency": "httpConcurrency",
	}, false)
	// The key of the only identity is an interpolation.
	if !strings.Contains(read(t, "infra/modules/app.bicep"), "    userAssignedIdentities: {\n      '${identityId}': {}\n    }\n") {
		t.Error("the app has another identity, or more than one")
	}
}

// The subnet of the app is delegated to what Flex Consumption runs on, and the
// endpoints are in the other one.
func TestBicepNetworkIsWired(t *testing.T) {
	const file = "modules/network.bicep"
	same(t, file, made(t, file, "network"), map[string]string{
		"properties.addressSpace.addressPrefixes":                                "[addressPrefix]",
		"properties.subnets[0].name":                                             "'app'",
		"properties.subnets[0].properties.addressPrefix":                         "cidrSubnet(addressPrefix, subnetBits, 0)",
		"properties.subnets[0].properties.delegations[0].properties.serviceName": "'Microsoft.App/environments'",
		"properties.subnets[1].name":                                             "'endpoints'",
		"properties.subnets[1].properties.addressPrefix":                         "cidrSubnet(addressPrefix, subnetBits, 1)",
	}, false)
	same(t, file, made(t, file, "endpoint"), map[string]string{
		"properties.subnet.id": "network::endpoints.id",
		"properties.privateLinkServiceConnections[0].properties.privateLinkServiceId": "t.id",
		"properties.privateLinkServiceConnections[0].properties.groupIds":             "[t.kind]",
	}, false)
	if got := bicepFiles(t)[file].outputs["appSubnetId"].value.Source; got != "network::app.id" {
		t.Errorf("the app is put into %s", got)
	}
}

// azd calls each script when its time is, and nothing else.
func TestAzureYAMLHooks(t *testing.T) {
	_, hooks, _ := strings.Cut(read(t, "azure.yaml"), "\nhooks:\n")
	got := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n((?:    .*\n)+)`).FindAllStringSubmatch(hooks+"\n", -1) {
		got[m[1]] = m[2]
	}
	script := func(name, more string) string { return "    shell: sh\n    run: infra/hooks/" + name + "\n" + more }
	same(t, "azure.yaml", got, map[string]string{
		"preup":         script("preview.sh", ""),
		"preprovision":  script("preprovision.sh", "    interactive: true\n"),
		"postprovision": script("postprovision.sh", "    interactive: true\n"),
		"prepackage":    script("preview.sh", ""),
		"predeploy":     script("preview.sh", ""),
	}, true)
}
