// The one identity of the app: of the Functions host, of the handler, and, as
// federated credential, of the app registrations. User-assigned, so that its
// roles are in place before the app exists, and outlive it.

@description('Name of the identity.')
@minLength(3)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the resource.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

output id string = identity.id
output clientId string = identity.properties.clientId
output principalId string = identity.properties.principalId
