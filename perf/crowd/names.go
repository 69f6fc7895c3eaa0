package crowd

// The given names' initials are as uneven as those of people: many begin with
// a, j, m or s, few with q, u or x.
var (
	givenNames = []string{
		"Anna", "Andrea", "Alexander", "Amelie", "Ahmed", "Antonio", "Barbara", "Ben", "Bianca", "Carla", "Christian", "Charlotte",
		"Claudia", "Daniel", "David", "Diana", "Elena", "Emil", "Eva", "Felix", "Fatima", "Frank", "Georg", "Giulia", "Hannah",
		"Hiroshi", "Ines", "Ivan", "Jan", "Jana", "James", "Jennifer", "Johanna", "Julia", "Jonas", "Karin", "Kevin", "Klaus", "Laura",
		"Lena", "Lukas", "Maria", "Marco", "Martin", "Mehmet", "Mia", "Michael", "Mohammed", "Nadia", "Niklas", "Olga", "Oscar",
		"Paul", "Petra", "Pierre", "Quentin", "Rosa", "Robert", "Sabine", "Sarah", "Sofia", "Stefan", "Susanne", "Thomas", "Tina",
		"Ursula", "Valentina", "Viktor", "Wei", "Werner", "Xavier", "Yasmin", "Yusuf", "Zoe",
	}
	surnames = []string{
		"Abbott", "Andersen", "Bauer", "Becker", "Bianchi", "Carter", "Dubois", "Eriksson", "Fischer", "Fontaine", "Garcia", "Haas",
		"Hoffmann", "Ito", "Jansen", "Keller", "Kowalski", "Lang", "Lindqvist", "Maier", "Martinez", "Nowak", "Novotny", "Okafor",
		"Papadopoulos", "Peters", "Quinn", "Richter", "Rossi", "Sanders", "Schneider", "Schwarzenberger", "Silva", "Tanaka",
		"Thompson", "Ueda", "Vogel", "Wagner", "Weber", "Williams", "Yilmaz", "Zimmermann",
	}
	titles = []string{
		"Account Executive", "Accountant", "Business Analyst", "Chief Financial Officer", "Customer Success Manager", "Data Engineer",
		"Facility Manager", "Head of Procurement", "Human Resources Partner", "Legal Counsel", "Marketing Specialist", "Nurse",
		"Office Manager", "Product Owner", "Project Manager", "Quality Inspector", "Sales Representative", "Senior Software Engineer",
		"Software Engineer", "Support Technician", "Warehouse Associate", "Working Student",
	}
	departments = []string{
		"Accounting", "Customer Success", "Data Platform", "Facilities", "Finance", "Human Resources", "Information Technology", "Legal",
		"Logistics", "Marketing", "Operations", "Procurement", "Product Management", "Quality", "Research and Development", "Sales",
	}
	offices   = []string{"Amsterdam 2/114", "Berlin 18/2111", "Dublin 4/310", "Lisbon 1/007", "London 9/1204", "Munich 3/220", "Paris 5/517", "Vienna 6/601"}
	languages = []string{"de-DE", "en-GB", "en-US", "fr-FR", "it-IT", "pt-PT"}
	skus      = []string{
		"05e9a617-0261-4cee-bb44-138d3ef5d965", "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "184efa21-98c3-4e5d-95ab-d07053a96e67",
		"6fd2c87f-b296-42f0-b197-1e91e994b900", "c7df2760-2c81-4ef7-b578-5b5392b571df", "f30db892-07e9-47e9-837c-80727f46fd3d",
	}
)
