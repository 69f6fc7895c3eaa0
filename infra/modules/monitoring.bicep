// Logs and telemetry. Nobody writes or reads them by key: the app by its
// identity, people by their roles.

@description('Name of the workspace and of Application Insights.')
@minLength(4)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the resources.')
param tags object

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param retentionDays int

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
  }
}

output workspaceId string = workspace.id
output insightsName string = insights.name
// It tells where to send and as which component; DisableLocalAuth makes it
// worthless without a token.
output insightsConnection string = insights.properties.ConnectionString
