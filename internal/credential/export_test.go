package credential

// MakeCertificate is for the tests outside.
var MakeCertificate = certificate
