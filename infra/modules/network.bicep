// Optional: a network in which the app reaches storage and vault by private
// endpoints, so that both are closed to the internet.

@description('Name of the network and of the endpoints.')
@minLength(2)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the resources.')
param tags object

@description('Addresses of the network: a block twice as large as a subnet, or larger.')
param addressPrefix string

@description('Length of the subnets\' prefixes.')
@minValue(22)
@maxValue(27)
param subnetBits int

@description('Resource ID of the storage account.')
param storageId string

@description('Resource ID of the vault.')
param vaultId string

// What is reached, by which kind of endpoint, under which name. Source: Azure
// Private Link documentation, "Private endpoint DNS zone values".
var targets = [
  { kind: 'blob', id: storageId, zone: 'privatelink.blob.${environment().suffixes.storage}' }
  { kind: 'table', id: storageId, zone: 'privatelink.table.${environment().suffixes.storage}' }
  { kind: 'vault', id: vaultId, zone: 'privatelink.vaultcore.azure.net' }
]

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        // Each instance takes an address, and Azure keeps five: a prefix of 26
        // leaves 59, more than the 40 instances of the default maximum. The
        // name must have no underscore.
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, subnetBits, 0)
          delegations: [
            {
              name: 'flex'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, subnetBits, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource app 'subnets' existing = {
    name: 'app'
  }

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [for t in targets: {
  name: t.zone
  location: 'global'
  tags: tags
}]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (t, i) in targets: {
  parent: zone[i]
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = [for t in targets: {
  name: '${name}-${t.kind}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: network::endpoints.id
    }
    privateLinkServiceConnections: [
      {
        name: t.kind
        properties: {
          privateLinkServiceId: t.id
          groupIds: [t.kind]
        }
      }
    ]
  }
}]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [for (t, i) in targets: {
  parent: endpoint[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: t.kind
        properties: {
          privateDnsZoneId: zone[i].id
        }
      }
    ]
  }
}]

output appSubnetId string = network::app.id
