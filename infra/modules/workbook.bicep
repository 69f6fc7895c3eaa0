// One page to look at first: how the syncs go, what went wrong, what Microsoft
// put off. It asks the log alone, so that it needs no collector.

@description('What the workbook\'s name is made of.')
@minLength(1)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the workbook.')
param tags object

@description('Resource ID of the workspace with the log.')
param workspaceId string

var line = 'AppTraces | where tostring(Properties.Category) == "Host.Function.Console" | extend line = parse_json(Message)'

var charts = [
  {
    title: 'Runs that ended, by state'
    show: 'timechart'
    query: '${line} | where line.msg in ("run ended", "run failed") | extend state = iff(line.msg == "run failed", "failed", tostring(line.state)) | summarize runs = count() by state, bin(TimeGenerated, 1h)'
  }
  {
    title: 'People changed'
    show: 'timechart'
    query: '${line} | where line.msg == "run ended" | summarize created = sum(toint(line.created)), updated = sum(toint(line.updated)), archived = sum(toint(line.archived)), reactivated = sum(toint(line.reactivated)) by bin(TimeGenerated, 1h)'
  }
  {
    title: 'Tenants not synced for twice their interval'
    show: 'table'
    query: '${line} | where line.msg == "tenant not synced for twice its interval" | summarize arg_max(TimeGenerated, line) by connection = tostring(line.connection) | project connection, hours = toint(line.hours), status = tostring(line.status), seen = TimeGenerated | order by hours desc'
  }
  {
    title: 'Removals that were held'
    show: 'table'
    query: '${line} | where line.msg == "removals held" | project TimeGenerated, connection = tostring(line.connection), run = tostring(line.run), kind = tostring(line.kind), objects = toint(line.objects)'
  }
  {
    title: 'Runs put off by Microsoft'
    show: 'timechart'
    query: '${line} | where line.msg == "run waits" and line.kind == "throttled" | summarize waits = count(), connections = dcount(tostring(line.connection)) by bin(TimeGenerated, 1h)'
  }
  {
    title: 'Credentials that end, and waves of disconnections'
    show: 'table'
    query: '${line} | where line.msg in ("credential expires soon", "credential version refused", "disconnect wave") | project TimeGenerated, message = tostring(line.msg), what = tostring(line.what), name = tostring(line.name), days = toint(line.days), connections = toint(line.connections)'
  }
  {
    title: 'Warnings and errors, by message'
    show: 'table'
    query: '${line} | where line.level in ("WARN", "ERROR") | summarize times = count(), last = max(TimeGenerated) by message = tostring(line.msg) | order by times desc'
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Rollcall'
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: workspaceId
    serializedData: string({
      version: 'Notebook/1.0'
      fallbackResourceIds: [workspaceId]
      items: concat(
        [
          {
            type: 9
            name: 'range'
            content: {
              version: 'KqlParameterItem/1.0'
              parameters: [
                {
                  version: 'KqlParameterItem/1.0'
                  name: 'range'
                  label: 'Time'
                  type: 4
                  isRequired: true
                  value: { durationMs: 86400000 }
                  typeSettings: {
                    selectableValues: [
                      { durationMs: 3600000 }
                      { durationMs: 86400000 }
                      { durationMs: 604800000 }
                      { durationMs: 2592000000 }
                    ]
                  }
                }
              ]
            }
          }
        ],
        map(charts, c => {
          type: 3
          name: c.title
          content: {
            version: 'KqlItem/1.0'
            title: c.title
            query: c.query
            size: 0
            timeContextFromParameter: 'range'
            queryType: 0
            resourceType: 'microsoft.operationalinsights/workspaces'
            visualization: c.show
          }
        })
      )
    })
  }
}
