// The vault: the keys that sign links, and whatever certificate, secret or
// customers' own app registration is put there later. Access by role only.
// The keys are made once, here, at the first deployment, so that nobody has
// seen them: not in a parameter file, not in the deployment's record, not on
// the screen of whoever deploys. See docs/decisions/0016-keys-in-the-vault.md.

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the vault.')
param tags object

@description('Bring back a vault of this name that was deleted within the last 90 days.')
param recover bool

@description('Reachable from the internet, with a token; if not, by private endpoint only.')
param publicAccess bool

@description('Never set: half of the first key. Azure draws it at each deployment and records none; only the first is used.')
@secure()
param firstHalf string = newGuid()

@description('Never set: the other half of the first key.')
@secure()
param otherHalf string = newGuid()

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    createMode: recover ? 'recover' : 'default'
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      // Of the trusted services, Azure Resource Manager writes the key below.
      bypass: 'AzureServices'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

// 72 bytes with 244 random bits: the handler wants 32 bytes or more. Needs
// Bicep 0.38 or newer. A new value here would end every link that is out.
@onlyIfNotExists()
resource linkKeys 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  parent: vault
  name: 'rollcall-link-keys'
  properties: {
    value: base64('${firstHalf}${otherHalf}')
    contentType: 'keys that sign links, newest first; base 64, with a comma between'
  }
}

output id string = vault.id
output name string = vault.name
output uri string = vault.properties.vaultUri
// Without a version, so that a rotated key is found.
output linkKeysUri string = '${vault.properties.vaultUri}secrets/${linkKeys.name}'
