package connection

// PersonalTenant is the tenant of all personal Microsoft accounts, which no
// organization owns (documented: Microsoft identity platform, ID token claims,
// tid).
const PersonalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
