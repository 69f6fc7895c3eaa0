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

@description('Folder or URL of the runbooks, without a slash at its end.')
param runbooksUrl string

// The handler writes an object a line; the Functions host hands on each as a
// trace of this category.
var line = 'AppTraces | where tostring(Properties.Category) == "Host.Function.Console" | extend line = parse_json(Message)'

// A line may reach the workspace some minutes after it was written, so that each
// rule looks back further than to its last look.
//
// What lasts is said again and again, by the janitor every 15 minutes, and its
// alert ends by itself. Of several connections each has an alert of its own, by
// the column that "by" names: one that is known of does not hide the next.
//
// What happens once is one line ("once"). Its alert stays until somebody closes
// it, since a line that has passed does not say that all is well; and each look
// that finds a line sends a mail, two for each line mostly, so that nothing hides
// what comes later, and a day with many does not send a mail for each.
var rules = [
  {
    suffix: 'tenant-not-synced'
    title: 'A tenant was not synced for twice its interval'
    query: '${line} | where line.msg == "tenant not synced for twice its interval" | project TimeGenerated, connection = tostring(line.connection)'
    by: 'connection'
    once: false
    threshold: 0
    severity: 2
    every: 'PT30M'
    window: 'PT1H'
  }
  {
    suffix: 'credential-expiry'
    title: 'A credential ends within 30 days, or is refused'
    query: '${line} | where line.msg in ("credential expires soon", "credential version refused")'
    by: ''
    once: true
    threshold: 0
    severity: 2
    every: 'PT1H'
    window: 'PT2H'
  }
  {
    suffix: 'held-runs'
    title: 'Removals wait for a human'
    query: '${line} | where line.msg == "removals held"'
    by: ''
    once: true
    threshold: 0
    severity: 2
    every: 'PT15M'
    window: 'PT30M'
  }
  {
    suffix: 'disconnect-wave'
    title: 'Microsoft refuses the app in many tenants at once'
    query: '${line} | where line.msg == "disconnect wave"'
    by: ''
    once: true
    threshold: 0
    severity: 1
    every: 'PT15M'
    window: 'PT30M'
  }
  {
    // More than ten waits of one connection in six hours.
    suffix: 'throttled'
    title: 'Microsoft asks to slow down, for long'
    query: '${line} | where line.msg == "run waits" and line.kind == "throttled" | project TimeGenerated, connection = tostring(line.connection)'
    by: 'connection'
    once: false
    threshold: 10
    severity: 3
    every: 'PT1H'
    window: 'PT6H'
  }
  {
    // Without a line there is no row: the query counts, and finds none. A tick
    // or sweep that ran out of time has begun all the same.
    suffix: 'janitor-or-timer-silent'
    title: 'The timer that starts syncs, or the janitor, is silent'
    query: '${line} | summarize slots = countif(line.msg in ("slots started", "not all slots started; the next tick goes on")), sweeps = countif(line.msg in ("sweep ended", "sweep ended early; the next one goes on")) | where slots == 0 or sweeps == 0'
    by: ''
    once: false
    threshold: 0
    severity: 1
    every: 'PT15M'
    window: 'PT1H'
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
    description: 'What to do: ${runbooksUrl}/${r.suffix}.md'
    enabled: true
    severity: r.severity
    // A new workspace has no table AppTraces until the app has logged.
    skipQueryValidation: true
    scopes: [workspaceId]
    evaluationFrequency: r.every
    windowSize: r.window
    criteria: {
      allOf: [
        {
          query: r.query
          timeAggregation: 'Count'
          dimensions: empty(r.by) ? [] : [{ name: r.by, operator: 'Include', values: ['*'] }]
          operator: 'GreaterThan'
          threshold: r.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: !r.once
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
    description: 'What to do: ${runbooksUrl}/dead-letters.md'
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
