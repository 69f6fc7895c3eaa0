// The Flex Consumption plan and the app on it: one plan an app, no slots.

@description('Name of the app and of its plan. The app\'s is also its host name.')
@minLength(2)
@maxLength(32)
param name string

@description('Azure region.')
param location string

@description('Tags of the resources.')
param tags object

@description('Resource ID of the app\'s identity.')
param identityId string

@description('Client ID of the app\'s identity.')
param identityClientId string

@description('Name of the storage account.')
param storageName string

@description('Blob endpoint of the storage account, with a slash at its end.')
param blobEndpoint string

@description('Table endpoint of the storage account.')
param tableEndpoint string

@description('Container of the package.')
param packageContainer string

@description('Host name of the Service Bus namespace.')
param busHost string

@description('URL of the vault.')
param vaultUri string

@description('URL of the vault\'s entry with the keys of links, without a version.')
param linkKeysUri string

@description('Connection string of Application Insights. It holds no key that is worth anything.')
param insightsConnection string

@description('Subnet of the app, empty if it needs no network.')
param subnetId string

@description('Client ID of the app registration.')
@minLength(36)
@maxLength(36)
param entraAppId string

@description('https URL of a custom domain, empty for Azure\'s name.')
param publicUrl string

@description('The handler\'s other settings by name; empty ones keep its defaults.')
param settings object

@description('Spread the instances over zones.')
param zoneRedundant bool

@description('Most instances of the app.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int

@description('Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('HTTP requests that an instance answers at a time.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int

@description('Instances that always wait for HTTP requests.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttp int

@description('Instances that always wait for jobs.')
@minValue(0)
@maxValue(20)
param alwaysReadyWorker int

// All HTTP functions share instances; each timer, and the worker, has its own.
// How many jobs one worker instance takes is maxConcurrentCalls in host.json.
var alwaysReady = concat(
  alwaysReadyHttp > 0 ? [{ name: 'http', instanceCount: alwaysReadyHttp }] : [],
  alwaysReadyWorker > 0 ? [{ name: 'function:syncworker', instanceCount: alwaysReadyWorker }] : []
)

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  // By this tag azd finds what to deploy the service of azure.yaml to.
  tags: union(tags, { 'azd-service-name': 'rollcall' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
    }
    functionAppConfig: {
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: alwaysReady
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
  }

  // azd deploys with the token of whoever deploys, never by password.
  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }
}

var url = empty(publicUrl) ? 'https://${app.properties.defaultHostName}' : publicUrl

// All settings at once: one that is not here, or was set by hand in the
// portal, is gone after the next azd provision.
resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(
    toObject(filter(items(settings), s => !empty(s.value)), s => s.key, s => s.value),
    {
      // The Functions host's own. The name of the account as well as its
      // endpoints: with the endpoints alone an instance of Flex Consumption may
      // begin without storage, and the name is the way round that (Azure
      // Functions host, issues 11782 and 11787). The endpoints alone are right
      // in every cloud (documented), and go before the name (inferred). No queue
      // endpoint: only blob triggers and Durable Functions would use one.
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identityClientId
      AzureWebJobsStorage__accountName: storageName
      AzureWebJobsStorage__blobServiceUri: blobEndpoint
      AzureWebJobsStorage__tableServiceUri: tableEndpoint
      ServiceBusConnection__credential: 'managedidentity'
      ServiceBusConnection__clientId: identityClientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'

      // Host and handler.
      ServiceBusConnection__fullyQualifiedNamespace: busHost

      // The handler's.
      PUBLIC_URL: url
      LINK_KEYS: '@Microsoft.KeyVault(SecretUri=${linkKeysUri})'
      AZURE_CLIENT_ID: identityClientId
      ENTRA_APP_ID: entraAppId
      KEY_VAULT_URL: vaultUri
      TABLES_ENDPOINT: tableEndpoint
    }
  )
}

output name string = app.name
output publicUrl string = url
