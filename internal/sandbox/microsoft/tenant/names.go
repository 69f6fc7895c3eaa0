package tenant

import "strings"

var companies = []string{"Contoso", "Fabrikam", "Northwind Traders", "Adatum", "Wingtip Toys", "Tailspin", "Litware", "Proseware", "Lucerne", "Trey Research"}

var givenNames = strings.Fields(`Adele Alex Amira Ana André Anna Aoife Ásta Beatriz Björn Carlos Chidi Chloé Claudia Dăn Diego
	Ebru Elif Emma Esra Fatima Felix François Giulia Grady Hiroshi Håkon Ines Irvin Isaiah Ivana Jens Joni José Jürgen Kaito
	Katarzyna Lars Lee Lidia Linh Łukasz Lynne Maja Małgorzata María Megan Miriam Mateus Nestor Ngozi Noé Olga Øyvind Patti
	Pradeep Priya Radka René Saoirse Søren Štěpán Thảo Tomáš Ümit Vlad Wei Xavier Yara Žofia Zoë`)

var surnames = strings.Fields(`Adams Agboola Andersson Archie Åkesson Bąk Becker Bowen Çelik Christie Costa Čapek Dennis Diaz
	Đorđević Dubois Eriksen Fernandez Fernández-García García Geiß Greene Holloway Ibáñez Jansen Johnson Jóhannsdóttir Kaya
	Kovács Langer Lefèvre Lorenz Mbeki Meyers Müller Nguyễn Novák Núñez O'Brien Öztürk Okafor Papadopoulos Petrović Pham
	Quinn Rosario Rossi Šimić Sánchez Sato Schröder Sherman Singh Sørensen Tanaka Țepeș Tremblay Ünal Vance Van-der-Berg
	Wagner Weiß Wilber Wójcik Yılmaz Young Zając Žižek`)

// plain maps letters to the ones that mail addresses are made of.
var plain = func() map[rune]rune {
	m := map[rune]rune{}
	for to, from := range map[rune]string{
		'a': "áàâäãåąăảÁÅ", 'c': "çčćČÇ", 'd': "đĐ", 'e': "éèêëěęễ", 'g': "ğ", 'i': "íîïıİ", 'l': "łŁ", 'n': "ñńň",
		'o': "óôöøőØÖ", 'r': "ř", 's': "šșşśŠß", 't': "țťȚ", 'u': "üúůűÜ", 'y': "ý", 'z': "žźżŽ",
	} {
		for _, c := range from {
			m[c] = to
		}
	}
	return m
}()

var titles = []string{"Account Manager", "Retail Manager", "Software Engineer", "Designer", "Controller", "Sales Engineer",
	"HR Business Partner", "Buchhalter/in", "Chargé d'affaires", "Field Technician", "CFO", "Intern", "Director, R&D", "Janitor"}

var departments = []string{"Engineering", "Sales", "Marketing", "Finance", "Human Resources", "Opérations", "Legal & Compliance", "Support", "Kundendienst"}

var offices = []string{"18/2111", "19/2109", "Berlin", "São Paulo", "Remote", "Zürich HB", "24/1106", "Kraków 3.OG", "東京"}

var languages = []string{"en-US", "en-GB", "de-DE", "fr-FR", "pl-PL", "pt-BR", "ja-JP", "tr-TR", "sv-SE", "zh-Hant-TW"}

// SKU and service plan IDs of common Microsoft 365 products (documented,
// "Product names and service plan identifiers for licensing").
const (
	skuE3      = "05e9a617-0261-4cee-bb44-138d3ef5d965"
	skuE5      = "06ebc4ee-1bb5-47dd-8120-11324bc54e06"
	skuF3      = "66b55226-6b4f-492c-910c-a3b7a3c9d993"
	skuVisio   = "c5928f49-12ba-48f7-ada3-0d743a3601d5"
	skuFlow    = "f30db892-07e9-47e9-837c-80727f46fd3d"
	skuProject = "53818b1b-4a27-454b-8896-0dba576410e6"
	skuBI      = "a403ebcc-fae0-4ca2-8c8c-7a907fd6c235"
	planSway   = "a23b959c-7ce8-4e57-9140-b90eb88a9e97"
	planYam    = "7547a3fe-08ee-4ccb-b430-5077c5041653"
	planTeams  = "57ff2da0-773e-42df-b2af-ffb7a2317929"
)

// bundles are the usual assignments; people share them, since nobody writes
// to a Person's slices.
var bundles = [][]License{
	{{SkuID: skuE3, DisabledPlans: []string{}}},
	{{SkuID: skuE3, DisabledPlans: []string{planSway, planYam}}, {SkuID: skuBI, DisabledPlans: []string{}}},
	{{SkuID: skuE5, DisabledPlans: []string{}}},
	{{SkuID: skuF3, DisabledPlans: []string{planTeams}}},
	{{SkuID: skuF3, DisabledPlans: []string{}}, {SkuID: skuVisio, DisabledPlans: []string{}}},
}

var everySKU = []License{
	{SkuID: skuE5, DisabledPlans: []string{planSway, planYam, planTeams}},
	{SkuID: skuE3, DisabledPlans: []string{}},
	{SkuID: skuF3, DisabledPlans: []string{planSway}},
	{SkuID: skuVisio, DisabledPlans: []string{}},
	{SkuID: skuBI, DisabledPlans: []string{}},
}
