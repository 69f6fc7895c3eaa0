// Optional: a mail before the resource group costs more than expected. It
// stops nothing.

@description('Name of the budget.')
@minLength(1)
@maxLength(63)
param name string

@description('Amount a month, in the subscription\'s currency.')
@minValue(1)
@maxValue(1000000)
param amount int

@description('Mail addresses that hear of it.')
@minLength(1)
@maxLength(50)
param contacts string[]

@description('First day of the first month, empty for this month.')
@maxLength(10)
param start string

@description('Never set: the first day of the month in which this is deployed.')
param thisMonth string = '${utcNow('yyyy-MM')}-01'

var begin = empty(start) ? thisMonth : start

resource budget 'Microsoft.Consumption/budgets@2024-08-01' = {
  name: name
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: begin
    }
    notifications: {
      spent80: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: contacts
      }
      forecast100: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: contacts
      }
    }
  }
}

output start string = begin
