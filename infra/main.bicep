// Everything that Rollcall needs in Azure, in one resource group. azd hands in
// the parameters by main.parameters.json; README.md and azure.yaml say how.
// No secret passes through here: identities everywhere, and the keys of the
// links come into being inside the vault's module and stay in the vault.
// Whoever deploys needs to make resources and to assign roles: Owner, or
// Contributor with Role Based Access Control Administrator.
targetScope = 'subscription'

import { consumer } from 'modules/bus.bicep'

@description('Name of the azd environment, one for each stage, such as test or production. The resource group is named after it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region of all resources. It must offer Flex Consumption.')
@minLength(1)
@maxLength(64)
@metadata({ azd: { type: 'location' } })
param location string

@description('Client ID of the app registration that customers consent to. The hook before azd provision makes it, and sets it.')
@minLength(36)
@maxLength(36)
param entraAppId string

@description('Where administrators reach the app, if not at the name that Azure gives it: an https URL of a custom domain. azd keeps the address in use under the same name, ROLLCALL_PUBLIC_URL, and hands it in again; set that to empty to go back to Azure\'s name.')
@maxLength(200)
param publicUrl string = ''

@description('The handler\'s other settings by name; README.md lists them. Empty ones keep the handler\'s default, and the handler refuses to start with a wrong one.')
param settings object = {}

@description('Who reads the topic of directory changes: one subscription each, and who may receive from it. None by default: a subscription that nobody reads fills the topic.')
@maxLength(50)
param changeConsumers consumer[] = []

@description('Spread app and storage over availability zones. Choose before the first deployment: it cannot be changed later.')
param zoneRedundant bool = false

@description('Most instances of the app, each function counted for itself. It also bounds how hard Microsoft Graph is asked.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Memory of an instance, in MB, for the Functions host and the handler together.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('HTTP requests that one instance answers at a time before another is started.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 16

@description('Instances that always wait for HTTP requests; 0 lets the first request after a pause wait for a start.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttp int = 0

@description('Instances that always wait for jobs; 0 lets the first job after a pause wait for a start.')
@minValue(0)
@maxValue(20)
param alwaysReadyWorker int = 0

@description('Reach storage and vault by private endpoints only. Service Bus stays public, without keys: only its Premium tier has private endpoints. Secrets can then be changed from within the network only. The subscription must know the provider Microsoft.App: az provider register --namespace Microsoft.App')
param privateNetworking bool = false

@description('Addresses of the network if privateNetworking is on: a block twice as large as appSubnetBits says, or larger.')
@minLength(9)
@maxLength(18)
param addressPrefix string = '10.90.0.0/24'

@description('Size of the network\'s two subnets, as the length of their prefixes: 26 leaves addresses for 59 instances, 27 for 27, 25 for 123. Choose before the first deployment: a subnet in use keeps its size.')
@minValue(22)
@maxValue(27)
param appSubnetBits int = 26

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Mail addresses that hear of alerts. Without any, alerts are to be seen in the portal only.')
@maxLength(50)
param alertContacts string[] = []

@description('Where the alerts say that the runbooks are: a folder of this repository by default, or the URL of one that your people can open.')
@minLength(1)
@maxLength(200)
param runbooksUrl string = 'docs/runbooks'

@description('Monthly budget in the subscription\'s currency, with a mail at 80 percent and at a forecast of 100; 0 makes none.')
@minValue(0)
@maxValue(1000000)
param budgetAmount int = 0

@description('Mail addresses that hear of the budget; needed if there is one.')
@maxLength(50)
param budgetContacts string[] = []

@description('First day of the budget\'s first month, as 2026-01-01; empty for this month. A budget keeps its own: azd remembers it from the first deployment.')
@maxLength(10)
param budgetStart string = ''

@description('Once, if azd down removed this environment within the last 90 days: bring its vault back, with what is in it. The hook after azd provision sets it back to false.')
param recoverVault bool = false

// 13 characters, the same at each deployment of this environment.
var token = uniqueString(subscription().id, environmentName, location)
var name = 'rollcall-${token}'
var tags = {
  'azd-env-name': environmentName
}

// The suffix keeps a name that ends in a full stop, which Azure refuses.
resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: '${environmentName}-rg'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    retentionDays: logRetentionDays
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: replace(name, '-', '')
    location: location
    tags: tags
    zoneRedundant: zoneRedundant
    publicAccess: !privateNetworking
  }
}

module bus 'modules/bus.bicep' = {
  name: 'bus'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    consumers: changeConsumers
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    recover: recoverVault
    publicAccess: !privateNetworking
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    storageName: storage.outputs.name
    busName: bus.outputs.name
    queueName: bus.outputs.queueName
    topicName: bus.outputs.topicName
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
    consumers: changeConsumers
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    addressPrefix: addressPrefix
    subnetBits: appSubnetBits
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

// After the roles: the platform reads the package, and the app its keys, as
// soon as the app exists.
module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    blobEndpoint: storage.outputs.blobEndpoint
    tableEndpoint: storage.outputs.tableEndpoint
    packageContainer: storage.outputs.packageContainer
    busHost: bus.outputs.host
    vaultUri: vault.outputs.uri
    linkKeysUri: vault.outputs.linkKeysUri
    insightsConnection: monitoring.outputs.insightsConnection
    subnetId: privateNetworking ? network.outputs.appSubnetId : ''
    entraAppId: entraAppId
    publicUrl: publicUrl
    settings: settings
    zoneRedundant: zoneRedundant
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    httpConcurrency: httpConcurrency
    alwaysReadyHttp: alwaysReadyHttp
    alwaysReadyWorker: alwaysReadyWorker
  }
  dependsOn: [
    roles
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    busId: bus.outputs.id
    queueName: bus.outputs.queueName
    contacts: alertContacts
    runbooksUrl: runbooksUrl
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0) {
  name: 'budget'
  scope: group
  params: {
    name: name
    amount: budgetAmount
    contacts: budgetContacts
    start: budgetStart
  }
}

// azd stores these in the environment, where hooks and people find them:
// azd env get-values. What the app needs of them it has as app settings.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_TENANT_ID string = tenant().tenantId
output ROLLCALL_APP_NAME string = app.outputs.name
output ROLLCALL_PUBLIC_URL string = app.outputs.publicUrl
output ROLLCALL_REDIRECT_URI string = '${app.outputs.publicUrl}/consent/callback'
output ROLLCALL_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output ROLLCALL_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output ROLLCALL_STORAGE_NAME string = storage.outputs.name
output ROLLCALL_TABLES_ENDPOINT string = storage.outputs.tableEndpoint
output ROLLCALL_BUS_HOST string = bus.outputs.host
output ROLLCALL_VAULT_URL string = vault.outputs.uri
output ROLLCALL_WORKSPACE_ID string = monitoring.outputs.workspaceId
output ROLLCALL_INSIGHTS_NAME string = monitoring.outputs.insightsName
// azd hands it in again, since Azure refuses another start for a budget that is
// there. Empty as long as there is no budget: a new one may begin this month only.
output ROLLCALL_BUDGET_START string = budgetAmount > 0 ? budget.outputs.start : ''
