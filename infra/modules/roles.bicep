// Who may do what: the app's identity, at the narrowest scope that Azure has,
// and the readers of changes. Each assignment says why; people get no role.
import { consumer } from 'bus.bicep'

@description('Object ID of the app\'s identity.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Name of the storage account.')
param storageName string

@description('Name of the Service Bus namespace.')
param busName string

@description('Name of the queue of jobs.')
param queueName string

@description('Name of the topic of changes.')
param topicName string

@description('Name of the vault.')
param vaultName string

@description('Name of Application Insights.')
param insightsName string

@description('Who reads the topic.')
param consumers consumer[]

// Source: Azure RBAC documentation, "Azure built-in roles".
var storageBlobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var storageTableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
var serviceBusDataReceiver = '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
var serviceBusDataSender = '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
var keyVaultSecretsUser = '4633458b-17de-408a-874b-0445c86b69e6'
var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: busName

  resource queue 'queues' existing = {
    name: queueName
  }

  resource topic 'topics' existing = {
    name: topicName

    resource subscription 'subscriptions' existing = [for c in consumers: {
      name: c.name
    }]
  }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource blobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, principalId, storageBlobDataOwner)
  scope: storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataOwner)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The Functions host reads the package, and keeps timer leases and function keys in containers that it makes itself.'
  }
}

resource tables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, principalId, storageTableDataContributor)
  scope: storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageTableDataContributor)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The handler keeps connections, directories and runs in tables, and makes a table that is missing.'
  }
}

resource receiveJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(bus::queue.id, principalId, serviceBusDataReceiver)
  scope: bus::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', serviceBusDataReceiver)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The Functions host takes jobs from the queue; the handler takes dead letters, and discards what an offboarded connection left.'
  }
}

resource sendJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(bus::queue.id, principalId, serviceBusDataSender)
  scope: bus::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', serviceBusDataSender)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The handler sends jobs: those that are due, those asked for, and the next slice of a run.'
  }
}

resource sendChanges 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(bus::topic.id, principalId, serviceBusDataSender)
  scope: bus::topic
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', serviceBusDataSender)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The handler publishes the numbered changes of connections to the topic.'
  }
}

resource receiveChanges 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (c, i) in consumers: {
  name: guid(bus::topic::subscription[i].id, c.principalId, serviceBusDataReceiver)
  scope: bus::topic::subscription[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', serviceBusDataReceiver)
    principalId: c.principalId
    principalType: 'ServicePrincipal'
    description: 'The product that the parameter changeConsumers names receives changes from its own subscription.'
  }
}]

resource secrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, keyVaultSecretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', keyVaultSecretsUser)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The app reads the keys of links, the app registration\'s certificate or secret if there is one, and customers\' own. It can write none.'
  }
}

resource telemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, monitoringMetricsPublisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The Functions host sends telemetry by token, since keys are switched off.'
  }
}
