// Alerts, each with its page in docs/runbooks. They look for single lines of
// the handler's log, which host.json keeps out of sampling, and at one metric of
// Service Bus. Whoever gets no mail finds them in the portal, under Alerts.

@description('What the alerts\' names begin with.')
@minLength(1)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the resources.')
param tags object

@description('Resource ID of the workspace with the log.')
param workspaceId string

@description('Resource ID of the Service Bus namespace.')
param busId string

@description('Name of the queue of jobs.')
param queueName string

@description('Mail addresses that hear of alerts.')
@maxLength(50)
param contacts string[]

// The handler writes an object a line; the Functions host hands on each as a
// trace of this category.
var line = 'AppTraces | where tostring(Properties.Category) == "Host.Function.Console" | extend line = parse_json(Message)'

// The janitor looks every 15 minutes, and at credentials once a day.
var rules = [
  {
    suffix: 'tenant-not-synced'
    title: 'Tenants were not synced for twice their interval'
    query: '${line} | where line.msg == "tenant not synced for twice its interval" | summarize by connection = tostring(line.connection)'
    severity: 2
    every: 'PT30M'
    window: 'PT30M'
  }
  {
    suffix: 'credential-expiry'
    title: 'A credential ends within 30 days, or is refused'
    query: '${line} | where line.msg in ("credential expires soon", "credential version refused")'
    severity: 2
    every: 'PT1H'
    window: 'PT1H'
  }
  {
    suffix: 'held-runs'
    title: 'Removals wait for a human'
    query: '${line} | where line.msg == "removals held"'
    severity: 2
    every: 'PT15M'
    window: 'PT15M'
  }
  {
    suffix: 'disconnect-wave'
    title: 'Microsoft refuses the app in many tenants at once'
    query: '${line} | where line.msg == "disconnect wave"'
    severity: 1
    every: 'PT15M'
    window: 'PT15M'
  }
  {
    suffix: 'throttled'
    title: 'Microsoft asks to slow down, for long'
    query: '${line} | where line.msg == "run waits" and line.kind == "throttled" | summarize waits = count() by connection = tostring(line.connection) | where waits > 10'
    severity: 3
    every: 'PT1H'
    window: 'PT6H'
  }
  {
    // Without a line there is no row: the query counts, and finds none.
    suffix: 'janitor-or-timer-silent'
    title: 'The timer that starts syncs is silent'
    query: '${line} | where line.msg == "slots started" | summarize lines = count() | where lines == 0'
    severity: 1
    every: 'PT15M'
    window: 'PT30M'
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(contacts)) {
  name: name
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'Rollcall'
    emailReceivers: [for (address, i) in contacts: {
      name: 'contact${i}'
      emailAddress: address
      useCommonAlertSchema: true
    }]
  }
}

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for r in rules: {
  name: '${name}-${r.suffix}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Rollcall: ${r.title}'
    description: 'What to do: docs/runbooks/${r.suffix}.md'
    enabled: true
    severity: r.severity
    scopes: [workspaceId]
    evaluationFrequency: r.every
    windowSize: r.window
    criteria: {
      allOf: [
        {
          query: r.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    actions: {
      actionGroups: empty(contacts) ? [] : [group.id]
    }
  }
}]

resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-dead-letters'
  location: 'global'
  tags: tags
  properties: {
    description: 'What to do: docs/runbooks/dead-letters.md'
    enabled: true
    severity: 2
    scopes: [busId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'dead letters'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'DeadletteredMessages'
          dimensions: [
            {
              name: 'EntityName'
              operator: 'Include'
              values: [queueName]
            }
          ]
          timeAggregation: 'Maximum'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: empty(contacts) ? [] : [{ actionGroupId: group.id }]
  }
}
