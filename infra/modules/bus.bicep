// The queue of sync jobs and the topic of directory changes. host.json and the
// handler rely on the figures here; a test holds them together.

@export()
@description('A product that reads directory changes.')
type consumer = {
  @description('Name of its subscription.')
  @minLength(1)
  @maxLength(50)
  name: string

  @description('Object ID of the managed identity or service principal that receives.')
  @minLength(36)
  @maxLength(36)
  principalId: string
}

@description('Name of the namespace.')
@minLength(6)
@maxLength(50)
param name string

@description('Azure region.')
param location string

@description('Tags of the namespace.')
param tags object

@description('Who reads the topic.')
param consumers consumer[]

var queueName = 'sync-jobs'
var topicName = 'directory-changes'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: 'Standard'
    tier: 'Standard'
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }

  resource queue 'queues' = {
    name: queueName
    properties: {
      // As long as Service Bus allows; the host renews it while a job runs.
      lockDuration: 'PT5M'
      // A job that ten deliveries did not end is a dead letter.
      maxDeliveryCount: 10
      // A job's ID names its slot, slice or request: sent twice, run once.
      requiresDuplicateDetection: true
      duplicateDetectionHistoryTimeWindow: 'P1D'
      // A run waits at most a week for Microsoft; longer is a fault to be seen.
      defaultMessageTimeToLive: 'P14D'
      deadLetteringOnMessageExpiration: true
    }
  }

  resource topic 'topics' = {
    name: topicName
    properties: {
      requiresDuplicateDetection: true
      duplicateDetectionHistoryTimeWindow: 'P1D'
      supportOrdering: true
      defaultMessageTimeToLive: 'P14D'
    }

    // A session is a connection: its changes arrive in order.
    resource subscription 'subscriptions' = [for c in consumers: {
      name: c.name
      properties: {
        requiresSession: true
        lockDuration: 'PT5M'
        maxDeliveryCount: 10
        deadLetteringOnMessageExpiration: true
      }
    }]
  }
}

output id string = namespace.id
output name string = namespace.name
output queueName string = queueName
output topicName string = topicName
// serviceBusEndpoint is https://<host>:443/, whatever the cloud.
output host string = split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]
